package engine_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
)

// The child of TestKill: it changes a store and prints a line for each change
// that was acknowledged.
func TestKillChild(t *testing.T) {
	dir := os.Getenv("COLBERTDB_KILL_DIR")
	if dir == "" {
		t.Skip("runs as a child of TestKill")
	}
	db, err := engine.Open(ctx, dir, killOptions())
	if err != nil {
		t.Fatal(err)
	}
	col, err := db.Collection("test")
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range killChanges() {
		if c.delete != "" {
			_, err = col.Delete(ctx, c.delete)
		} else {
			_, err = col.Upsert(ctx, c.doc)
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("ack %d\n", i)
	}
	time.Sleep(time.Hour) // to be killed
}

func killOptions() *engine.Options {
	return &engine.Options{SealDocuments: 1000, TrainTokens: 10_000, TrainSample: 20_000}
}

type change struct {
	doc    engine.Document
	delete string
}

// killChanges are 500 upserts, of which 250 replace, and 250 deletes.
func killChanges() []change {
	r := rand.New(rand.NewPCG(11, 11))
	var out []change
	for i := range 250 {
		out = append(out, change{doc: document(r, 10_000+i)}, change{doc: document(r, r.IntN(5000))}, change{delete: fmt.Sprintf("doc-%03d", r.IntN(5000))})
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// 5,000 documents, then changes one by one, kill -9 between acknowledgements:
// every acknowledged change is there after a reopen, at most the one in flight
// is there besides, and nothing else.
func TestKill(t *testing.T) {
	rounds := 4
	if testing.Short() {
		rounds = 1
	}
	changes := killChanges()
	for round := range rounds {
		dir := t.TempDir()
		db, err := engine.Open(ctx, dir, killOptions())
		if err != nil {
			t.Fatal(err)
		}
		col, err := db.CreateCollection(ctx, "test", engine.CollectionConfig{Dim: dim})
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(12, uint64(round)))
		m := model{}
		for i := 0; i < 5000; i += 100 {
			batch := make([]engine.Document, 100)
			for j := range batch {
				batch[j] = document(r, i+j)
			}
			if _, err := col.Upsert(ctx, batch...); err != nil {
				t.Fatal(err)
			}
			m.put(batch...)
		}
		mustClose(t, db)

		killAt := 1 + rand.New(rand.NewPCG(13, uint64(round))).IntN(len(changes)-1)
		acked := runAndKill(t, dir, killAt)
		apply := func(c change) {
			if c.delete != "" {
				delete(m, c.delete)
			} else {
				m.put(c.doc)
			}
		}
		for _, c := range changes[:acked] {
			apply(c)
		}
		if db, err = engine.Open(ctx, dir, killOptions()); err != nil {
			t.Fatal(err)
		}
		if col, err = db.Collection("test"); err != nil {
			t.Fatal(err)
		}
		// The change in flight may have reached the log.
		if acked < len(changes) && reached(t, col, changes[acked]) {
			apply(changes[acked])
		}
		t.Logf("killed after %d of %d acknowledgements; %d documents", acked, len(changes), len(m))
		m.check(t, col)
		mustClose(t, db)
	}
}

// reached reports whether a change is there.
func reached(t *testing.T, col *engine.Collection, c change) bool {
	t.Helper()
	if c.delete != "" {
		_, err := col.Get(ctx, c.delete)
		return err != nil
	}
	d, err := col.Get(ctx, c.doc.ID)
	return err == nil && d.Text == c.doc.Text && string(d.Attributes) == string(c.doc.Attributes) && d.Vectors.Len() == c.doc.Vectors.Len()
}

// runAndKill runs the child until it has acknowledged so many changes, kills
// it, and returns how many it had acknowledged.
func runAndKill(t *testing.T, dir string, at int) (acked int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillChild$", "-test.v")
	cmd.Env = append(os.Environ(), "COLBERTDB_KILL_DIR="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, killed := bufio.NewScanner(out), false
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "ack ") {
			acked++
		}
		if acked == at && !killed {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	} // to the end: what was acknowledged before the signal arrived counts
	_ = cmd.Wait()
	if acked < at {
		t.Fatalf("the child acknowledged %d changes\n%s", acked, stderr.String())
	}
	return acked
}
