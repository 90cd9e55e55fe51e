package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// Every setting of serve has one name: the flag's, which is the file's too and, with
// capitals, the environment's. What config prints is such a file with all of them.
func TestNamesOfSettings(t *testing.T) {
	for _, e := range os.Environ() {
		if name, value, _ := strings.Cut(e, "="); strings.HasPrefix(name, "COLBERTDB_") {
			t.Setenv(name, value) // is set back
			os.Unsetenv(name)
		}
	}
	var cl commandLine
	parser, err := kong.New(&cl, kong.Configuration(readConfig))
	if err != nil {
		t.Fatal(err)
	}
	print := func(args ...string) (string, map[string]any) {
		t.Helper()
		var out, errs bytes.Buffer
		if status := run(context.Background(), append([]string{"config"}, args...), strings.NewReader(""), &out, &errs); status != exitOK {
			t.Fatalf("config %v: status %d: %s", args, status, errs.String())
		}
		var m map[string]any
		if err := json.Unmarshal(out.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		return out.String(), m
	}
	text, printed := print()
	n := 0
	for _, node := range parser.Model.Leaves(false) {
		if node.Name != "serve" {
			continue
		}
		for _, group := range node.AllFlags(false) {
			for _, f := range group {
				if slices.Contains([]string{"help", "config", "json", "quiet", "verbose", "color", "width", "collection"}, f.Name) {
					continue // of how verbs print
				}
				n++
				want := "COLBERTDB_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
				if len(f.Envs) != 1 || f.Envs[0] != want {
					t.Errorf("--%s has the environment's names %v, want %s", f.Name, f.Envs, want)
				}
				if _, ok := printed[f.Name]; !ok {
					t.Errorf("config does not print %s", f.Name)
				}
			}
		}
	}
	if n < 40 || n != len(printed) {
		t.Errorf("%d settings, config prints %d", n, len(printed))
	}
	file := filepath.Join(t.TempDir(), "settings.json")
	writeFile(t, file, text)
	if again, _ := print("--config", file); again != text {
		t.Errorf("the file that config has printed comes out as\n%s", again)
	}
	t.Setenv("COLBERTDB_MODEL_IDLE", "7m")
	if _, m := print("--config", file); m["model-idle"] != "7m0s" {
		t.Errorf("the environment goes before the file: %v", m["model-idle"])
	}
	if _, m := print("--config", file, "--model-idle", "8m"); m["model-idle"] != "8m0s" {
		t.Errorf("flags go before the environment: %v", m["model-idle"])
	}
}
