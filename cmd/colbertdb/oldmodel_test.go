package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
)

// earlier is the bundled model of an earlier release: the same name and place,
// another fingerprint, other vectors.
type earlier struct{ encoder.Encoder }

func (e earlier) Info() encoder.Info {
	i := e.Encoder.Info()
	i.Name, i.Fingerprint, i.Location = "colbertdb-en", strings.Repeat("0a", 32), bundled.Location
	return i
}

// A store made with the bundled model of an earlier release opens. What needs the
// model says that reindex is the mend; everything else works, and so does reindex.
func TestStoreOfAnEarlierModel(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir() + "/db"
	enc := earlier{fake.New(64)}
	db, err := engine.Open(ctx, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	col, err := db.CreateCollection(ctx, "default", engine.CollectionConfig{Encoder: enc})
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{"an impeller drives the fluid of a pump", "remember to buy milk", "a queue of waiting people"} {
		if _, err := col.Upsert(ctx, engine.Document{ID: fmt.Sprint("d", i), Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	q, err := enc.EncodeQueries(ctx, []string{"milk"})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	query := t.TempDir() + "/query.json"
	writeVectors(t, query, q[0].Vectors)

	must := func(wantOut string, args ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		if status := run(ctx, append(args, "--db", dir), strings.NewReader(""), &out, &errs); status != exitOK || !strings.Contains(out.String(), wantOut) {
			t.Fatalf("colbertdb %v: status %d, no %q in\n%s%s", args, status, wantOut, out.String(), errs.String())
		}
	}
	refused := func(want string, args ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		if status := run(ctx, append(args, "--db", dir), strings.NewReader("new text"), &out, &errs); status != exitError || !strings.Contains(errs.String(), want) {
			t.Fatalf("colbertdb %v: status %d, no %q in\n%s%s", args, status, want, out.String(), errs.String())
		}
	}
	const mend = "colbertdb reindex -c default --model bundled"
	refused(mend, "search", "milk")
	refused(mend, "index", "-", "--source", "x", "--format", "text")
	must(`"id": "d1"`, "search", "--vectors", query, "-k", "1", "--json")
	must("remember to buy milk", "get", "d1")
	must("default", "stats")
	must("ok: 3 documents", "verify")
	must("into default-2", "reindex")
	must(`"id": "d1"`, "search", "where do I get milk", "-k", "1", "--json")
	must("from bundled", "stats")
}

func writeVectors(t *testing.T, path string, m encoder.Matrix) {
	t.Helper()
	var b strings.Builder
	b.WriteString("[")
	for i := range m.Len() {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(strings.ReplaceAll(fmt.Sprint(m.Row(i)), " ", ","))
	}
	b.WriteString("]")
	writeFile(t, path, b.String())
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
