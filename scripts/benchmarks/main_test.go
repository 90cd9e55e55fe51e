package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What cannot be measured here is named, and nothing else is left out.
func TestMissing(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "there"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DATA", dir)
	t.Setenv("VECTORS", filepath.Join(dir, "not yet"))
	t.Setenv("PYTHON", "")
	for command, want := range map[string]string{
		"colbertdb eval $DATA/there --vectors $VECTORS/eval": "",
		"colbertdb eval $DATA/absent":                        filepath.Join(dir, "absent") + " is not there",
		"colbertdb eval ${DATA}/there ${DATA}/absent":        filepath.Join(dir, "absent") + " is not there",
		"interop --python $PYTHON":                           "PYTHON is not set",
		"go test -run '^$' ./internal/simd":                  "",
	} {
		if got := missing([]string{"true", command}); got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	if got := missing(nil); got != "it has no command" {
		t.Errorf("no command: %q", got)
	}
}

// A section has its commands, the machine, and what was printed: tables as they are,
// other output as it stands. A command that fails gives none.
func TestMeasure(t *testing.T) {
	text, err := measure(context.Background(), []string{"printf '| a |\n|---|\n'", "echo plain"}, "1234567")
	if err != nil {
		t.Skip("no shell: ", err)
	}
	for _, want := range []string{"    printf '| a |", "    echo plain\n", "commit 1234567", "\n| a |\n|---|\n", "```\nplain\n```"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if _, err := measure(context.Background(), []string{"echo half; exit 3"}, ""); err == nil {
		t.Error("a command that failed made a section")
	}
}
