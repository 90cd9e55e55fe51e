// Package testdata finds the real test collections, which are not part of the
// project, and reads the token vectors among them. It is for tests only.
package testdata

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/colbertdb-go/colbertdb/codec"
)

// Dir returns the folder of a collection, or skips the test where it is absent.
// The collections are in $COLBERTDB_TESTDATA, else in shared/data beside the
// repository.
func Dir(tb testing.TB, name string) string {
	tb.Helper()
	root := os.Getenv("COLBERTDB_TESTDATA")
	if root == "" {
		root = filepath.Join(repository(tb), "..", "shared", "data")
	}
	dir := filepath.Join(root, name)
	if _, err := os.Stat(dir); err != nil {
		tb.Skipf("test collection %s is not on this machine (set COLBERTDB_TESTDATA)", name)
	}
	return dir
}

// repository walks up to go.mod.
func repository(tb testing.TB) string {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	tb.Fatalf("no go.mod above the test: %v", err)
	return ""
}

// Lotte returns the real ColBERT vectors of lotte-500-colbert: 100 queries of
// [32][128] and 500 documents, 56,658 vectors in all.
func Lotte(tb testing.TB) (queries, documents []codec.Matrix) {
	tb.Helper()
	dir := filepath.Join(Dir(tb, "lotte-500-colbert"), "emb")
	q := read(tb, dir, "queries.f32")
	for at := 0; at < len(q); at += 4 * 32 * 128 {
		m := codec.NewMatrix(32, 128)
		for i := range m.Data {
			m.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(q[at+4*i:]))
		}
		queries = append(queries, m)
	}
	recon := read(tb, dir, "docs_recon.f16")
	lens := read(tb, dir, "doclens.i32")
	for at := 0; at < len(lens); at += 4 {
		m := codec.NewMatrix(int(binary.LittleEndian.Uint32(lens[at:])), 128)
		codec.DecodeF16(m.Data, recon)
		recon = recon[2*len(m.Data):]
		documents = append(documents, m)
	}
	return queries, documents
}

func read(tb testing.TB, dir, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
