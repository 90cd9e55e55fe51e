package segment

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/internal/envelope"
)

// FuzzTextBlock: a block is as long as the document table says or is refused, and
// neither makes a reader take memory that the other does not vouch for.
func FuzzTextBlock(f *testing.F) {
	enc, _ := zstdCodec()
	for _, text := range []string{"", "a", strings.Repeat("a bomb ", 100_000)} {
		f.Add(enc.EncodeAll([]byte(text), nil), uint32(len(text)))
		f.Add(enc.EncodeAll([]byte(text), nil), uint32(len(text))+1)
		f.Add(enc.EncodeAll([]byte(text), nil), uint32(1<<30))
	}
	f.Add([]byte("(\xb5/\xfd"), uint32(1<<30))
	f.Fuzz(func(t *testing.T, packed []byte, want uint32) {
		n := int(want % (maxFields + 1))
		var before, after runtime.MemStats
		if n > 16<<20 {
			runtime.ReadMemStats(&before)
		}
		raw, err := unpack(packed, n)
		if err == nil && len(raw) != n {
			t.Errorf("%d bytes, want %d", len(raw), n)
		}
		if n > 16<<20 {
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; err != nil && used > 64<<20+256*uint64(len(packed)) {
				t.Errorf("%d bytes of memory for %d packed ones that are no block of %d", used, len(packed), n)
			}
		}
	})
}

func FuzzPostingsMeta(f *testing.F) {
	m := &PostingsMeta{Routing: 2, Codebook: 1, Centroids: 64, Postings: 100, Chunks: 1}
	_, body, err := envelope.Open(m.encode(), postingsMagic, Version)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"centroids":-1,"chunks":1e30}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := decodePostingsMeta(body); err == nil {
			t.Error("accepted without an envelope")
		}
		m, err := decodePostingsMeta(seal(postingsMagic, body))
		if err != nil || m.validate(m.Routing, &Meta{CodebookID: m.Codebook, Tokens: 1 << 40}) != nil {
			return
		}
		if m.Centroids < 0 || m.Postings < 0 || m.Chunks < 0 || int64(m.Chunks) > m.Postings {
			t.Errorf("accepted %+v", m)
		}
	})
}

func FuzzDocumentRef(f *testing.F) {
	f.Add(EncodeDocumentRef(7))
	f.Add(appendSum(nil, []byte("short")))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, appendSum(nil, slices.Clone(b))} {
			n, err := DecodeDocumentRef(b)
			if err != nil {
				if !errors.Is(err, ErrCorruption) {
					t.Error(err)
				}
			} else if !bytes.Equal(EncodeDocumentRef(n), b) {
				t.Errorf("%x reads as %d", b, n)
			}
		}
	})
}

func FuzzIndexMeta(f *testing.F) {
	m := &indexMeta{ID: 1, Path: "a.b", Docs: 100, Values: 3, Postings: 90, Chunks: 1, Bytes: 50}
	_, body, err := envelope.Open(m.encode(), indexMagic, Version)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"path":"a","docs":4611686018427387904,"values":9,"postings":10,"chunks":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := decodeIndexMeta(body); err == nil {
			t.Error("accepted without an envelope")
		}
		m, err := decodeIndexMeta(seal(indexMagic, body))
		if err == nil && (m.Chunks < 0 || m.Chunks > m.Values || int64(m.Values) > m.Postings) {
			t.Errorf("accepted %+v", m)
		}
	})
}
