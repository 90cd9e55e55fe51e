// Package layering keeps the rules about who may import whom.
package layering

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/colbertdb-go/colbertdb/"

// allowed lists, for each package, the packages of this module that it may
// import. A package that is not here is an error: decide where it belongs.
var allowed = map[string][]string{
	"internal/simd":                   nil,
	"internal/envelope":               nil,
	"internal/failpoint":              nil,
	"internal/layering":               nil,
	"internal/lexical":                nil,
	"internal/testdata":               {"codec"},
	"internal/outside":                nil,
	"internal/reliability":            {"engine", "internal/crashmem"},
	"codec":                           {"internal/pace", "internal/simd", "internal/envelope"},
	"wal":                             {"internal/failpoint"},
	"segment":                         {"codec", "internal/attribute", "internal/envelope", "internal/lexical", "internal/offheap"},
	"internal/offheap":                nil,
	"scripts/peers/colbertdb":         {"engine", "internal/npy"},
	"segment/plaid":                   {"codec", "internal/npy"},
	"query":                           {"codec", "segment", "query/filter", "internal/lexical"},
	"query/filter":                    {"segment", "internal/attribute"},
	"query/eval":                      nil,
	"compaction":                      {"codec", "segment", "internal/pace"},
	"encoder":                         {"codec", "encoder/tokenizer", "internal/protofield", "internal/simd"},
	"encoder/tokenizer":               nil,
	"encoder/tokenizer/internal/dump": {"encoder/tokenizer"},
	"encoder/tokenizer/hf":            {"encoder/tokenizer"},
	"encoder/onnx":                    {"encoder", "internal/simd"},
	"encoder/hub":                     nil,
	"encoder/multivector":             {"encoder"},
	"encoder/bert":                    {"encoder", "internal/protofield", "internal/simd"},
	"encoder/bundled":                 {"encoder", "encoder/bert", "encoder/onnx", "internal/simd"},
	"encoder/fake":                    {"encoder", "codec"},
	"engine":                          {"wal", "segment", "segment/plaid", "compaction", "query", "query/filter", "internal/attribute", "codec", "encoder", "internal/envelope", "internal/failpoint", "internal/lexical", "internal/pace"},
	"cmd/colbertdb":                   {"engine", "engine/remote", "encoder", "encoder/hub", "encoder/multivector", "encoder/onnx", "encoder/tokenizer", "encoder/tokenizer/hf", "encoder/bundled", "encoder/fake", "query/eval", "cmd/colbertdb/internal/bench", "cmd/colbertdb/internal/ingest", "cmd/colbertdb/internal/judged", "cmd/colbertdb/internal/render", "cmd/colbertdb/internal/server", "cmd/colbertdb/internal/vectorfile", "cmd/colbertdb/internal/watch", "cmd/colbertdb/internal/mcp", "internal/benchdoc"},
	"cmd/colbertdb/internal/server":   {"engine", "encoder", "internal/wire", "internal/npy", "cmd/colbertdb/internal/render"},
	"cmd/colbertdb/internal/bench":    {"engine", "codec", "query/eval", "internal/benchdoc", "internal/resample", "internal/npy"},
	"cmd/colbertdb/internal/ingest":   {"encoder", "engine", "internal/npy", "cmd/colbertdb/internal/vectorfile"},
	"cmd/colbertdb/internal/judged":   {"cmd/colbertdb/internal/ingest", "query/eval"},
	"internal/npy":                    nil,
	"internal/benchdoc":               {"codec"},
	"scripts/benchmarks":              {"internal/benchdoc"},
	"cmd/colbertdb/internal/render":   {"encoder", "engine"},
	"cmd/colbertdb/internal/watch":    nil,
	"cmd/colbertdb/internal/mcp":      {"engine", "engine/remote"},
	"internal/wire":                   {"engine"},
	"engine/remote":                   {"engine", "internal/wire"},
	"internal/adapter":                {"engine", "engine/remote"},
	"internal/adapter/adaptertest":    {"encoder", "encoder/bundled", "engine", "engine/remote"},
	"internal/attribute":              nil,
	"internal/pace":                   nil,
	"internal/protofield":             nil,
	"internal/bytecount":              nil,
	"internal/crashmem":               nil,
	"internal/resample":               {"engine"},
	"scripts/internal/background":     {"engine"},
	"scripts/internal/beir":           nil,
	"scripts/cancelcost":              {"engine", "encoder", "encoder/bundled", "internal/resample"},
	"scripts/bulkload":                {"engine", "codec", "internal/bytecount", "internal/resample"},
	"scripts/changecost":              {"engine", "encoder", "encoder/bundled", "internal/bytecount", "scripts/internal/background", "internal/resample"},
	"scripts/lifecost":                {"engine", "internal/bytecount", "scripts/internal/background", "internal/resample"},
	"scripts/watchcost":               {"engine", "engine/remote"},
	"scripts/serverload":              {"engine", "engine/remote"},
	"scripts/encodespeed":             {"encoder", "encoder/onnx"},
	"scripts/democheck":               {"engine", "encoder/bundled", "encoder/onnx"},
	"scripts/mutants":                 {"internal/failpoint"},
	"scripts/notices":                 nil,
	"scripts/quality":                 {"engine", "encoder", "encoder/bundled", "internal/simd", "query/eval", "scripts/internal/beir"},
	"scripts/churn":                   {"engine", "encoder", "encoder/bundled", "codec", "query/eval", "scripts/internal/beir"},
	"scripts/benchmark":               {"engine", "encoder", "encoder/bundled", "encoder/onnx", "codec", "query/eval", "scripts/internal/beir"},

	"cmd/colbertdb/internal/vectorfile": {"engine", "internal/npy"},
	"scripts/interop":                   {"engine", "segment/plaid", "internal/npy"},
}

// pebbleUsers are the packages that may name Pebble.
var pebbleUsers = []string{"wal", "segment", "engine", "internal/reliability", "internal/bytecount", "internal/crashmem"}

// pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	CgoFiles   []string
	Standard   bool
}

// violations returns what breaks the rules among the module's packages.
func violations(pkgs []pkg) []string {
	var out []string
	cgo := map[string]bool{}
	for _, p := range pkgs {
		cgo[p.ImportPath] = len(p.CgoFiles) > 0 && !p.Standard
	}
	for _, p := range pkgs {
		name, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue
		}
		may, known := allowed[name]
		if !known {
			out = append(out, name+" is in no rule")
			continue
		}
		for _, imp := range p.Imports {
			if short, ours := strings.CutPrefix(imp, module); ours && !slices.Contains(may, short) {
				out = append(out, name+" imports "+short)
			}
			if strings.HasPrefix(imp, "github.com/cockroachdb/pebble") && !slices.Contains(pebbleUsers, name) {
				out = append(out, name+" names Pebble")
			}
		}
		if name == "engine" {
			for _, dep := range p.Deps {
				if cgo[dep] && !optionalCgo[dep] {
					out = append(out, "engine needs cgo through "+dep)
				}
			}
		}
	}
	return out
}

// optionalCgo are dependencies that use cgo where it is there and do without
// elsewhere; the builds without cgo prove it.
var optionalCgo = map[string]bool{"github.com/DataDog/zstd": true, "github.com/cockroachdb/pebble/v2/internal/manual": true, "github.com/cockroachdb/swiss": true, "github.com/getsentry/sentry-go": true}

func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Deps,CgoFiles,Standard", "./...")
	cmd.Dir = "../.."
	stdout, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var pkgs []pkg
	dec := json.NewDecoder(strings.NewReader(string(stdout)))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	for _, v := range violations(pkgs) {
		t.Error(v)
	}
}

func TestRulesHavePower(t *testing.T) {
	got := violations([]pkg{
		{ImportPath: module + "codec", Imports: []string{module + "engine", "fmt"}},
		{ImportPath: module + "query", Imports: []string{module + "codec", "github.com/cockroachdb/pebble/v2"}},
		{ImportPath: module + "stray"},
		{ImportPath: "x.org/c", CgoFiles: []string{"c.go"}},
		{ImportPath: module + "engine", Imports: []string{module + "wal"}, Deps: []string{"x.org/c"}},
	})
	want := []string{"codec imports engine", "query names Pebble", "stray is in no rule", "engine needs cgo through x.org/c"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
