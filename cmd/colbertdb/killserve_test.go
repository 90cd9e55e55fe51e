//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
)

// TestKillServe kills serve without warning while clients write, again and again.
// Every write that was answered is there after the next start, and one that was not
// answered is made by its repetition with the same idempotency key, once.
func TestKillServe(t *testing.T) {
	const writers = 4
	cycles := 4
	if os.Getenv("COLBERTDB_RELIABILITY") == "full" {
		cycles = 100
	}
	ctx := context.Background()
	r := rand.New(rand.NewPCG(4, uint64(cycles)))
	db := filepath.Join(t.TempDir(), "db")
	acknowledged := [writers]int{} // writer w has the answers of its writes below
	for range cycles {
		cmd, url := startServe(t, "--db", db, "--model", "fake:32", "--quiet", "serve", "--listen", "127.0.0.1:0")
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: writers}}
		c, err := remote.Open(ctx, url, &remote.Options{HTTP: client, Retries: -1})
		if err != nil {
			t.Fatal(err)
		}
		col, err := c.CreateCollection(ctx, "killed", engine.CollectionConfig{})
		if err != nil {
			t.Fatal(err)
		}
		before := acknowledged
		for w := range writers {
			for n := range acknowledged[w] {
				d, err := col.Get(ctx, name(w, n))
				if err != nil || d.Text != "text of "+name(w, n) {
					t.Fatalf("a write that was answered: %v, %v", d, err)
				}
			}
		}
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for { // the first repeats what was not answered
					id := name(w, acknowledged[w])
					_, err := remote.Idempotent(col, id).Upsert(ctx, engine.Document{ID: id, Text: "text of " + id})
					if err != nil {
						return
					}
					acknowledged[w]++
				}
			})
		}
		time.Sleep(time.Duration(20+r.IntN(300)) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		_ = cmd.Wait()
		client.CloseIdleConnections()
		if acknowledged == before {
			t.Log("a start was killed before it wrote")
		}
	}
	total := 0
	for _, n := range acknowledged {
		total += n
	}
	var v verifyOutput
	runJSON(t, &v, "--db", db, "verify")
	if !v.OK || v.Documents < int64(total) || v.Documents > int64(total+writers) || total == 0 {
		t.Errorf("%d writes were answered: %+v", total, v)
	}
	t.Logf("%d kills, %d writes answered, none lost", cycles, total)
}

func name(writer, n int) string { return fmt.Sprintf("w%d-%d", writer, n) }

// startServe starts a server and returns the address that it prints.
func startServe(t *testing.T, args ...string) (*exec.Cmd, string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		cmd := exec.Command("colbertdb", args...)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if at := strings.Index(line, "http"); err == nil && at >= 0 {
			return cmd, strings.TrimSpace(line[at:])
		}
		_ = cmd.Wait() // the killed one may hold the store's lock for a moment more
		if time.Now().After(deadline) {
			t.Fatalf("serve did not start: %q, %v", line, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
