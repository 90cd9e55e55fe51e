package engine_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// Every structure of a store with codebook, deletes and a log can be printed; a
// store that is open elsewhere is refused; a damaged log is printed around the
// damage.
func TestDump(t *testing.T) {
	fs := vfs.NewMem()
	db := mustOpen(t, fs, small())
	col := mustCollection(t, db, engine.CollectionConfig{Profile: engine.Balanced})
	r := rand.New(rand.NewPCG(71, 1))
	for i := range 230 {
		if _, err := col.Upsert(ctx, document(r, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := col.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := col.Idempotent("a key").Delete(ctx, "doc-003", "doc-004"); err != nil {
		t.Fatal(err)
	}
	if err := col.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Checkpoint(ctx, "copy"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := col.Upsert(ctx, document(r, 500+i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := engine.Dump(ctx, io.Discard, fs, "db", "manifest"); err == nil {
		t.Error("a store that is open was dumped")
	}
	mustClose(t, db)
	dir := "db"
	dump := func(what string, args ...string) string {
		t.Helper()
		var b bytes.Buffer
		if err := engine.Dump(ctx, &b, fs, dir, what, args...); err != nil {
			t.Fatalf("dump %s %v: %v", what, args, err)
		}
		return b.String()
	}
	lines := strings.Split(strings.TrimSpace(dump("segments")), "\n")
	var id, name string
	var docs int
	if _, err := fmt.Sscan(lines[len(lines)-1], &id, &name, &docs); err != nil || name != "test" {
		t.Fatalf("%q: %v", lines, err)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{`"codebook": 1`, []string{"collections"}},
		{"codebook 1: ", []string{"codebook", "1"}},
		{"centroids, ", []string{"codebook", "1"}},
		{"version 1: 3 4", []string{"deletes", id}},
		{`"doc-003"  deleted`, []string{"documents", id}},
		{" centroids, ", []string{"postings", id}}, // of routing 1 or, if growth was met at the time, a later one
		{"column codes, 2 bytes a token", []string{"document", id, "7"}},
		{"postings  ", []string{"segment", id}},
		{`upsert "doc-502" (number 232, `, []string{"log"}},
		{`"doc-005" number 5`, []string{"ids", "1"}},
		{"of collection 1: change 231 at ", []string{"keys"}},
		{"up to change 231, ", []string{"copies"}},
	} {
		if got := dump(c.args[0], c.args[1:]...); !strings.Contains(got, c.want) || strings.Contains(got, "BAD") || strings.Contains(got, "DAMAGE") {
			t.Errorf("dump %v: no %q in\n%.2000s", c.args, c.want, got)
		}
	}
	dir = "copy"
	if got := dump("checkpoint"); !strings.Contains(got, `"wal/`) {
		t.Errorf("descriptor:\n%s", got)
	}
	dir = "db"
	if err := engine.Dump(ctx, io.Discard, fs, dir, "checkpoint"); err == nil {
		t.Error("a store is dumped as a checkpoint")
	}
	// A byte of the first record of the last file that has one.
	names, err := fs.List("db/wal")
	if err != nil {
		t.Fatal(err)
	}
	flipped := false
	for _, n := range names {
		f, err := fs.OpenReadWrite("db/wal/"+n, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, []byte("doc-500")); at > 0 {
			flipped = true
			if _, err := f.WriteAt([]byte{'x'}, int64(at)); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	got := dump("log")
	if !flipped || !strings.Contains(got, "DAMAGE: checksum mismatch") || !strings.Contains(got, `upsert "doc-502"`) {
		t.Errorf("flipped %t:\n%s", flipped, got)
	}
}
