package plaid

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/npy"
)

// The folders of testdata are made by the programs themselves: scripts/interop.
func goldens(t testing.TB) []string {
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != "fuzz" {
			out = append(out, e.Name())
		}
	}
	if len(out) != 10 {
		t.Fatalf("%d golden folders, want 10", len(out))
	}
	return out
}

type document struct {
	id      string
	records []byte
}

func read(t testing.TB, dir string) (*Index, []document) {
	t.Helper()
	x, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []document
	for d, err := range x.Each(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if d.Number != len(out) {
			t.Fatalf("document %d after %d", d.Number, len(out)-1)
		}
		out = append(out, document{d.ID, bytes.Clone(d.Records)})
	}
	return x, out
}

func TestGoldenFolders(t *testing.T) {
	for _, name := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", name)
			x, docs := read(t, dir)
			i := strings.LastIndexByte(name, '-')
			form, bits := name[:i], name[i+1:]
			if string(x.Form) != form || fmt.Sprint(x.Codebook.Bits) != bits {
				t.Errorf("form %s with %d bits, want %s with %s", x.Form, x.Codebook.Bits, form, bits)
			}
			if len(docs) != 41 || x.Documents != 41 || x.Tokens != 349 || x.Empty != 0 {
				t.Errorf("%d documents, %d tokens, %d empty", x.Documents, x.Tokens, x.Empty)
			}
			if form[:2] == "py" && docs[40].id != "line-41" || form[:2] != "py" && docs[40].id != "40" {
				t.Errorf("the last id is %q", docs[40].id)
			}
			checkRanking(t, dir, x, docs)
		})
	}
}

// checkRanking compares MaxSim over the decoded vectors with what the program
// itself ranks from this folder. Some compute in float16.
func checkRanking(t *testing.T, dir string, x *Index, docs []document) {
	var want struct {
		Dim  int
		Lens []int
		Top  [][][2]float64
	}
	b, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	queries, _, err := npy.ReadFloats(filepath.Join(dir, "queries.npy"))
	if err != nil {
		t.Fatal(err)
	}
	p := x.Codebook
	vectors := make([][]float32, len(docs))
	for i, d := range docs {
		vectors[i] = make([]float32, len(d.records)/p.RecordBytes()*p.Dim)
		if err := p.Decode(vectors[i], d.records); err != nil {
			t.Fatal(err)
		}
	}
	for q, n := range want.Lens {
		query := queries[:n*p.Dim]
		queries = queries[n*p.Dim:]
		scores := make([]float64, len(docs))
		order := make([]int, len(docs))
		for i, v := range vectors {
			order[i] = i
			for a := 0; a < len(query); a += p.Dim {
				best := math.Inf(-1)
				for b := 0; b < len(v); b += p.Dim {
					var dot float64
					for d := range p.Dim {
						dot += float64(query[a+d]) * float64(v[b+d])
					}
					best = max(best, dot)
				}
				scores[i] += best
			}
		}
		sort.SliceStable(order, func(i, j int) bool { return scores[order[i]] > scores[order[j]] })
		for rank, hit := range want.Top[q] {
			got := scores[order[rank]]
			if math.Abs(got-hit[1]) > 0.02 || math.Abs(scores[int(hit[0])]-hit[1]) > 0.02 {
				t.Errorf("query %d, rank %d: document %d with %.4f, the program has %v", q, rank, order[rank], got, hit)
			}
		}
	}
}

// Every tensor that a golden folder has, the written one has, bit by bit.
func TestRoundTrip(t *testing.T) {
	for _, name := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			dir, out := filepath.Join("testdata", name), filepath.Join(t.TempDir(), "out")
			x, docs := read(t, dir)
			o := WriterOptions{Metadata: x.Metadata}
			if len(x.chunks) == 3 { // as the script made it
				o.ChunkDocuments = 20
			}
			write(t, out, x.Form, x, docs, o)
			again, same := read(t, out)
			if again.Form != x.Form || !slices.EqualFunc(docs, same, func(a, b document) bool { return a.id == b.id && bytes.Equal(a.records, b.records) }) {
				t.Error("the documents differ")
			}
			if n := compareFiles(t, x.dir, again.dir); n < 6 {
				t.Errorf("%d files were compared", n)
			}
		})
	}
}

func write(t testing.TB, dir string, form Form, x *Index, docs []document, o WriterOptions) {
	t.Helper()
	w, err := Create(dir, form, x.Codebook, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		if err := w.Add(d.id, d.records); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// compareFiles compares the tensors and the JSON of two folders.
func compareFiles(t *testing.T, want, got string) (n int) {
	entries, err := os.ReadDir(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		a, b := filepath.Join(want, e.Name()), filepath.Join(got, e.Name())
		switch ext := filepath.Ext(e.Name()); {
		case e.Name() == "queries.npy" || e.Name() == "expected.json" || strings.HasSuffix(e.Name(), "inv_norms.npy"): // what next-plaid derives from the rest
			continue
		case ext == ".npy" || ext == ".pt":
			if w, g := tensorsOf(t, a), tensorsOf(t, b); w != g {
				t.Errorf("%s: %.200s\nwant %.200s", e.Name(), g, w)
			}
		case ext == ".json" && e.Name() != "plan.json":
			var w, g any
			readJSONFile(t, a, &w)
			readJSONFile(t, b, &g)
			if fmt.Sprint(w) != fmt.Sprint(g) {
				t.Errorf("%s: %v\nwant %v", e.Name(), g, w)
			}
		default:
			continue
		}
		n++
	}
	return n
}

func readJSONFile(t *testing.T, path string, v any) {
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// tensorsOf prints types, shapes and bytes.
func tensorsOf(t *testing.T, path string) string {
	f, err := os.Open(path)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer f.Close()
	var all []*array
	if filepath.Ext(path) == ".pt" {
		all, err = openTorch(f, path)
	} else {
		var a *array
		a, err = openNPY(f, path)
		all = []*array{a}
	}
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, a := range all {
		b, err := io.ReadAll(a.data)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s %v %x\n", a.dtype, a.shape, b)
	}
	return out.String()
}

// An index of any form can be written in any other and keeps its codes and bits.
func TestOtherForms(t *testing.T) {
	x, docs := read(t, "testdata/stanford-4")
	for _, form := range Forms {
		dir := filepath.Join(t.TempDir(), "out")
		write(t, dir, form, x, docs, WriterOptions{ChunkTokens: 100})
		y, got := read(t, dir)
		if y.Form != form || len(y.chunks) < 4 {
			t.Errorf("%s was read as %s with %d chunks", form, y.Form, len(y.chunks))
		}
		if !slices.EqualFunc(docs, got, func(a, b document) bool { return bytes.Equal(a.records, b.records) }) {
			t.Errorf("%s: the records differ", form)
		}
	}
}

// From begins anywhere.
func TestFrom(t *testing.T) {
	x, docs := read(t, "testdata/stanford-2")
	for first := range len(docs) + 2 {
		at := first
		for d, err := range x.From(context.Background(), first) {
			if err != nil || !bytes.Equal(d.Records, docs[at].records) {
				t.Fatalf("document %d of those from %d: %v", at, first, err)
			}
			at++
		}
		if at != max(first, len(docs)) {
			t.Errorf("from %d: ended at %d", first, at)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range x.Each(ctx) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled reading gave %v", err)
		}
	}
}

// fast-plaid moves the rows of all chunks into one file, with rows to spare.
func TestMergedFiles(t *testing.T) {
	x, docs := read(t, "testdata/fast-plaid-4")
	dir := filepath.Join(t.TempDir(), "out")
	write(t, dir, FastPlaid, x, docs, WriterOptions{ChunkDocuments: 15})
	var codes []uint32
	var residuals []byte
	for _, d := range docs {
		for at := 0; at < len(d.records); at += x.Codebook.RecordBytes() {
			codes = append(codes, uint32(d.records[at])|uint32(d.records[at+1])<<8)
			residuals = append(residuals, d.records[at+4:at+x.Codebook.RecordBytes()]...)
		}
	}
	w := &Writer{form: FastPlaid, sub: dir, p: x.Codebook}
	rows := int64(len(codes)) + 5
	err := errors.Join(
		w.tensor("merged_codes", torchTensor{int64s, []int64{rows}, append(appendIntegers(nil, int64s, codes), make([]byte, 5*8)...)}),
		w.tensor("merged_residuals", torchTensor{uint8s, []int64{rows, int64(x.Codebook.ResidualBytes())}, append(residuals, make([]byte, 5*x.Codebook.ResidualBytes())...)}),
	)
	for i := range 3 {
		err = errors.Join(err, os.Remove(filepath.Join(dir, fmt.Sprintf("%d.codes.npy", i))), os.Remove(filepath.Join(dir, fmt.Sprintf("%d.residuals.npy", i))))
	}
	if err != nil {
		t.Fatal(err)
	}
	_, got := read(t, dir)
	if !slices.EqualFunc(docs, got, func(a, b document) bool { return bytes.Equal(a.records, b.records) }) {
		t.Error("the records differ")
	}
}

// An interrupted writer leaves nothing in the folder's place.
func TestWriterIsAtomic(t *testing.T) {
	x, docs := read(t, "testdata/stanford-2")
	dir := filepath.Join(t.TempDir(), "out")
	w, err := Create(dir, Stanford, x.Codebook, WriterOptions{ChunkDocuments: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range docs[:25] {
		if err := w.Add(d.id, d.records); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is there before Close: %v", err)
	}
	bad := bytes.Clone(docs[0].records)
	bad[3] = 0xff
	if err := w.Add("bad", bad); err == nil {
		t.Error("a code beyond the centroids was taken")
	}
	if err := w.Close(); err == nil {
		t.Error("Close forgot the error")
	}
	if _, err := os.Stat(dir + ".tmp"); !os.IsNotExist(err) {
		t.Errorf("the unfinished folder is still there: %v", err)
	}
	if _, err := Create("testdata", Stanford, x.Codebook, WriterOptions{}); err == nil {
		t.Error("a folder with files in it was taken")
	}
}

func TestCodebookOfManyCentroidTypes(t *testing.T) {
	x, _ := read(t, "testdata/next-plaid-2")
	if x.Codebook.Centroids.Type != codec.Float32 {
		t.Errorf("next-plaid's centroids have %d bytes", x.Codebook.Centroids.Type)
	}
	if y, _ := read(t, "testdata/stanford-2"); y.Codebook.Centroids.Type != codec.Float16 {
		t.Errorf("ColBERT's centroids have %d bytes", y.Codebook.Centroids.Type)
	}
}
