package segment_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
)

var update = flag.Bool("update", false, "write the golden files of the current format version anew")

// golden is the segment in testdata/segment-v1.golden: every column, every form
// of a document's fields, bytes of no meaning in the token records.
func golden() *fixture {
	const centroids = 70
	f := &fixture{cfg: segment.Config{
		Dim: 8, Profile: codec.Balanced, RetainRaw: true, CollectionID: 9,
		Codebook: &codec.Codebook{ID: 3, Dim: 8, Cells: make([]int16, 200*8)},
		Routing:  &codec.Routing{ID: 4, CodebookID: 3, Dim: 8, Centroids: make([]int8, centroids*8)},
	}}
	fill := func(n, seed int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(7*i + seed)
		}
		return b
	}
	for i := range 3 {
		n := i + 1
		v := codec.View{
			Tokens: n, Exp: uint8(i), Codes: make([]byte, 2*n), A: fill(3*n, i), B: fill(3*n, 40+i), Raw: fill(16*n, 80+i),
		}
		for t := range n {
			v.Codes[2*t] = byte(10*i + t)
		}
		f.docs = append(f.docs, segment.Document{
			Num: segment.DocNum(1000 + 3*i), ID: strings.Repeat("\x00é", i), Seq: uint64(1)<<40 - uint64(i),
			Encoded: &codec.Encoded{View: v, Centroids: []uint32{uint32(i), 0, 69}[:n]},
		})
	}
	f.docs[1].Text, f.docs[1].HasText, f.docs[1].Attributes = "late interaction", true, []byte(`{"year":2020}`)
	f.docs[2].HasText = true // and empty
	return f
}

// Version 1 of the format reads as it did when it was written, and this program
// writes the same bytes. Compressed text is compared by what it reads as: zstd
// may find a shorter form of it, which also changes the size in the metadata.
func TestGoldenSegment(t *testing.T) {
	const path = "testdata/segment-v1.golden"
	f := golden()
	db, fs := openMem(t)
	f.build(t, db, fs, 258)
	built := dump(t, db, segment.Span(258))
	if *update {
		writeGolden(t, path, built)
	}
	stored := readGolden(t, path)
	for key, want := range stored {
		got, ok := built[key]
		if !ok {
			t.Errorf("%q is not written any more", key)
		}
		switch key[10] {
		case 'T':
		case 'M':
			if diff := cmp.Diff(decodeMeta(t, want), decodeMeta(t, got)); diff != "" {
				t.Error(diff)
			}
		default:
			if !bytes.Equal(got, want) {
				t.Errorf("%q: wrote %x, the format has %x", key, got, want)
			}
		}
	}
	if len(built) != len(stored) {
		t.Errorf("%d values, the format has %d", len(built), len(stored))
	}

	old, _ := openMem(t)
	for key, value := range stored {
		if err := old.Set([]byte(key), value, nil); err != nil {
			t.Fatal(err)
		}
	}
	r, err := segment.Open(old, 258)
	if err != nil {
		t.Fatal(err)
	}
	f.check(t, r)
	f.checkPostings(t, r)
	if err := f.verify(r); err != nil {
		t.Error(err)
	}
}

func decodeMeta(t *testing.T, value []byte) *segment.Meta {
	t.Helper()
	m, err := segment.DecodeMeta(value[:len(value)-4]) // without the value's checksum
	if err != nil {
		t.Fatal(err)
	}
	m.Bytes = 0
	return m
}

// Keys and the small values that lie beside segments.
func TestGoldenKeys(t *testing.T) {
	const path = "testdata/keys-v1.golden"
	live := segment.NewBitset(300, true)
	for _, dead := range []int{0, 1, 2, 3, 70, 299} {
		live.Clear(dead)
	}
	built := map[string][]byte{
		"manifest":         segment.ManifestKey(),
		"collection":       segment.CollectionKey(0x01020304),
		"codebook":         segment.CodebookKey(0x01020304, 5),
		"routing":          segment.RoutingKey(0x01020304, 6),
		"write":            segment.WriteKey(0x01020304, [16]byte{5, 6, 7}),
		"document":         segment.DocumentKey(0x01020304, "a\x00b"),
		"document value":   segment.EncodeDocumentRef(0x0102030405060708),
		"deletes":          segment.DeletesKey(0x0102030405060708, 9),
		"deletes value":    segment.EncodeDeletes(live),
		"no deletes value": segment.EncodeDeletes(nil),
		"postings start":   segment.PostingsSpan(0x0102030405060708, 0x090a0b0c).Start,
		"segment start":    segment.Span(0x0102030405060708).Start,
		"segment end":      segment.Span(0x01020304050607ff).End,
	}
	if *update {
		writeGolden(t, path, built)
	}
	stored := readGolden(t, path)
	for name, want := range stored {
		if !bytes.Equal(built[name], want) {
			t.Errorf("%s: %x, the format has %x", name, built[name], want)
		}
	}
	if len(built) != len(stored) {
		t.Errorf("%d entries, the format has %d", len(built), len(stored))
	}
	if num, err := segment.DecodeDocumentRef(stored["document value"]); err != nil || num != 0x0102030405060708 {
		t.Errorf("document value: %d, %v", num, err)
	}
	back, err := segment.DecodeDeletes(stored["deletes value"], 300)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if back.Get(i) != live.Get(i) {
			t.Errorf("deletes value: document %d", i)
		}
	}
}

// A golden file has a line for each entry: quoted name, value in hexadecimal.
func writeGolden(t *testing.T, path string, entries map[string][]byte) {
	t.Helper()
	var b bytes.Buffer
	names := make([]string, 0, len(entries))
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "%+q %x\n", name, entries[name])
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readGolden(t *testing.T, path string) map[string][]byte {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	out := map[string][]byte{}
	for s := bufio.NewScanner(file); s.Scan(); {
		var name, value string
		if _, err := fmt.Sscanf(s.Text(), "%q %s", &name, &value); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if out[name], err = hex.DecodeString(value); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	return out
}
