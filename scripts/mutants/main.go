// Command mutants shows that the reliability harness finds bugs: it plants each
// of those in package failpoint, runs the tests of the short lane until one
// fails, and prints which did and after how many runs. It fails where a bug goes
// unseen, or where the tests fail without one.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"github.com/colbertdb-go/colbertdb/internal/failpoint"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "reliability.test")
	build := exec.Command("go", "test", "-tags", "colbertdb_failpoints", "-c", "-o", bin, "./internal/reliability")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building the tests: %w", err)
	}
	out, took, failed := try(bin, "")
	if failed {
		return fmt.Errorf("the tests fail without a planted bug:\n%s", out)
	}
	fmt.Printf("no bug: all pass in %.0f s\n\n| bug | found by | runs to detection | seconds |\n|---|---|---|---|\n", took.Seconds())
	survivors := 0
	for _, bug := range failpoint.All {
		out, took, failed := try(bin, bug)
		by, runs := found(out)
		if !failed {
			survivors++
			by, runs = "NOTHING", "-"
		}
		fmt.Printf("| %s | %s | %s | %.1f |\n", bug, by, runs, took.Seconds())
		if os.Getenv("COLBERTDB_MUTANTS_VERBOSE") != "" {
			fmt.Fprintln(os.Stderr, string(out))
		}
	}
	if survivors > 0 {
		return fmt.Errorf("%d bugs go unseen", survivors)
	}
	return nil
}

// try runs the tests with a bug planted, until the first failure.
func try(bin, bug string) (out []byte, took time.Duration, failed bool) {
	start := time.Now()
	cmd := exec.Command(bin, "-test.failfast", "-test.timeout", "4m") // a bug may end in a test that waits for ever
	cmd.Dir = filepath.Join("internal", "reliability")
	cmd.Env = append(os.Environ(), "COLBERTDB_FAILPOINT="+bug)
	out, err := cmd.CombinedOutput()
	return out, time.Since(start), err != nil
}

var (
	testName = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	hanging  = regexp.MustCompile(`(?m)^\s*running tests:\s+(Test\w+)`)
	runCount = regexp.MustCompile(`run (\d+)`)
)

// found reads which test failed, and in which of its runs.
func found(out []byte) (by, runs string) {
	by, runs = "a crash", "1"
	if m := testName.FindSubmatch(out); m != nil {
		by = string(m[1])
	} else if m := hanging.FindSubmatch(out); m != nil {
		by = string(m[1]) + ", which waits for ever"
	}
	if m := runCount.FindSubmatch(out); m != nil {
		runs = string(m[1])
	}
	return by, runs
}
