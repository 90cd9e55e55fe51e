// Command watchcost measures how soon colbertdb watch makes a changed file searchable:
// in a tree of many files, kept in step with a collection of colbertdb serve, files are changed one after the other, and each is searched for until
// it is found with what is new in it.
//
//	go run ./scripts/watchcost [-files 10000] [-times 50] [-model bundled]
//
// The status is 1 where one is not found, or where more is encoded than was written.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
)

func main() {
	files := flag.Int("files", 10_000, "files of the tree")
	times := flag.Int("times", 50, "files changed")
	model := flag.String("model", "bundled", "model of the server")
	flag.Parse()
	if err := run(*files, *times, *model); err != nil {
		fmt.Fprintln(os.Stderr, "watchcost:", err)
		os.Exit(1)
	}
}

// name and text are those of a file, with what was last written to it.
func name(n int) string { return fmt.Sprintf("part%02d/section%02d/note%d.md", n%20, n/20%20, n) }
func text(n int, last string) string {
	return fmt.Sprintf("# Note %d\n\nWhat is known of matter %d, which belongs to group %d.\n\nLast seen: %s.\n", n, n, n%37, last)
}

func run(files, times int, model string) (err error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "watchcost-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	tree := filepath.Join(dir, "tree")
	write := func(n int, last string) error {
		file := filepath.Join(tree, filepath.FromSlash(name(n)))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		whole := filepath.Join(filepath.Dir(file), ".whole") // so that no half of it is seen
		if err := os.WriteFile(whole, []byte(text(n, last)), 0o600); err != nil {
			return err
		}
		return os.Rename(whole, file)
	}
	for n := range files {
		if err := write(n, "never"); err != nil {
			return err
		}
	}
	command := filepath.Join(dir, "colbertdb")
	build := exec.Command("go", "build", "-o", command, "./cmd/colbertdb")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return err
	}
	line, _, stop, err := start(command, "serve", "--quiet", "--model", model, "--db", filepath.Join(dir, "db"), "--listen", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer stop()
	url := strings.TrimSpace(line[strings.Index(line, "http"):])
	began := time.Now()
	line, lines, stop, err := start(command, "watch", "--quiet", "--server", url, tree)
	if err != nil {
		return err
	}
	defer stop()
	first := time.Since(began)
	db, err := remote.Open(ctx, url, nil)
	if err != nil {
		return err
	}
	col, err := db.Collection(ctx, "default")
	if err != nil {
		return err
	}
	fmt.Printf("%d files, model %s, %d processors; the first sync took %.0f s: %s\n", files, model, runtime.NumCPU(), first.Seconds(), strings.TrimSpace(line))
	var took []time.Duration
	for i := range times {
		n := i * 7919 % files
		word := fmt.Sprintf("sighting%dof%d", i, n)
		began := time.Now()
		if err := write(n, word); err != nil {
			return err
		}
		for {
			res, err := col.Search(ctx, engine.SearchRequest{Text: word, Mode: engine.ModeBM25, K: 1})
			if err != nil {
				return err
			}
			if len(res.Hits) == 1 && strings.Contains(res.Hits[0].Text, word) {
				break
			}
			if time.Since(began) > time.Minute {
				return fmt.Errorf("%s is not found after a minute", name(n))
			}
			time.Sleep(5 * time.Millisecond)
		}
		took = append(took, time.Since(began))
		if got, want := strings.TrimSpace(<-lines), "added 0, changed 1, removed 0; encoded 1 texts"; got != want {
			return fmt.Errorf("%s: %q, want %q", name(n), got, want)
		}
	}
	slices.Sort(took)
	at := func(q float64) time.Duration {
		return took[min(int(q*float64(len(took))), len(took)-1)].Round(time.Millisecond)
	}
	fmt.Printf("a changed file is found after: median %v, p95 %v, at most %v, of which the watcher waits 100ms for further changes; one text encoded for each\n", at(.5), at(.95), at(1))
	return nil
}

// start starts a command and returns the first line that it prints, and the others.
func start(command string, args ...string) (first string, lines chan string, stop func(), err error) {
	c := exec.Command(command, args...)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return "", nil, nil, err
	}
	if err := c.Start(); err != nil {
		return "", nil, nil, err
	}
	lines = make(chan string, 1000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	first, ok := <-lines
	if !ok {
		return "", nil, nil, errors.Join(fmt.Errorf("%s %s has printed nothing", command, args[0]), c.Wait())
	}
	return first, lines, func() {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
	}, nil
}
