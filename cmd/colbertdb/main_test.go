package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"colbertdb": main})
}

// TestScripts drives the real command with the fake model: hashed words, so
// that a passage is found by words it shares with the query.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("COLBERTDB_DB", e.WorkDir+"/db")
			e.Setenv("COLBERTDB_MODEL", "")
			e.Setenv("NO_COLOR", "1")
			return nil
		},
	})
}
