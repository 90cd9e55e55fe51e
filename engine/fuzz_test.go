package engine

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/envelope"
	"github.com/colbertdb-go/colbertdb/segment"
)

// FuzzDecodeRecords hands every decoder of small records bytes behind a checksum
// that is right: they are refused as damage or as a newer format, and what is
// accepted writes and reads as the same.
func FuzzDecodeRecords(f *testing.F) {
	alias, reindex := aliasRecord{Collection: 1, Previous: 2}, reindexRecord{Source: 3, Next: 4}
	write := writeRecord{seq: 5, at: 6, deleted: 7}
	for _, b := range [][]byte{alias.encode(), reindex.encode(), write.encode()} {
		f.Add(b[envelope.HeaderSize:])
	}
	f.Add([]byte(`{"files":[{"path":"../x","size":-1}],"format":1}`))
	f.Add([]byte(`{"files":[{"path":"pebble/000001.sst","size":10}],"format":99}`))
	f.Add(collectionNote{Dropped: 3}.record().Payload)
	f.Fuzz(func(t *testing.T, body []byte) {
		frame := func(magic string) []byte {
			return envelope.Append(nil, magic, FormatVersion, func(b []byte) []byte { return append(b, body...) })
		}
		for name, decode := range map[string]func() error{
			"alias":   func() error { _, err := decodeAlias(frame(aliasMagic)); return err },
			"reindex": func() error { _, err := decodeReindex(frame(reindexMagic)); return err },
			"write": func() error {
				r, err := decodeWriteRecord(frame(writeMagic))
				if err == nil && !bytes.Equal(r.encode(), frame(writeMagic)) {
					t.Errorf("%x reads as %+v", body, r)
				}
				return err
			},
			"descriptor": func() error {
				d, err := decodeDescriptor(frame(descriptorMagic), "descriptor")
				for i := 0; err == nil && i < len(d.Files); i++ {
					if p := d.Files[i].Path; strings.Contains(p, "..") || strings.HasPrefix(p, "/") || d.Files[i].Size < 0 {
						t.Errorf("accepted file %q", p)
					}
				}
				return err
			},
			"note":   func() error { _, err := decodeCollectionNote(body); return err },
			"time":   func() error { decodeTimeNote(body); return nil },
			"plain":  func() error { _, err := decodeAlias(body); return err },
			"plain2": func() error { _, err := decodeWriteRecord(body); return err },
		} {
			if err := decode(); err != nil && !errors.Is(err, segment.ErrCorruption) && !errors.Is(err, ErrFormatTooNew) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// FuzzExportedDocument: a document of an exported segment has its columns whole,
// or is damage.
func FuzzExportedDocument(f *testing.F) {
	doc := func(id string, tokens int, columns ...int) []byte {
		b := appendBytes(appendBytes(appendBytes(nil, id), "text"), `{"a":1}`)
		b = append(b, byte(tokens), 0)
		for _, n := range columns {
			b = appendBytes(b, string(make([]byte, n)))
		}
		return b
	}
	f.Add(doc("a", 3, 0, 0, 0, 24, 0), false)
	f.Add(doc("a", 3, 0, 0, 0, 24, 48), true)
	f.Add(doc("a", 0, 0, 0, 0, 0, 0), false)
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, false)
	f.Fuzz(func(t *testing.T, b []byte, raw bool) {
		a := &attachment{id: "x", meta: &SegmentFile{Dim: 8, Profile: "exact", RetainRaw: raw}}
		a.plane = codec.Representation(codec.Exact, raw, false)
		d, v, err := a.decode(b)
		if err != nil {
			if !errors.Is(err, ErrCorruption) {
				t.Error(err)
			}
			return
		}
		codec.Reconstruct(a.codebook, 8, v, a.plane, &d.Vectors)
		if d.Vectors.Dim != 8 || d.Vectors.Len() < 1 || d.Vectors.Len()*8 > len(b) {
			t.Errorf("%d vectors of dimension %d from %d bytes", d.Vectors.Len(), d.Vectors.Dim, len(b))
		}
	})
}

// FuzzPebbleLog: whatever the bytes of Pebble's log, looking for damage ends, and
// what is reported lies within.
func FuzzPebbleLog(f *testing.F) {
	chunk := func(dst []byte, num byte, synced byte, payload string) []byte {
		h := make([]byte, logHeader)
		h[4], h[6], h[7], h[11] = byte(len(payload)), 9, num, synced
		h = append(h, payload...)
		sum := maskedSum(h[6:])
		h[0], h[1], h[2], h[3] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
		return append(dst, h...)
	}
	whole := chunk(chunk(nil, 1, 0, "first"), 1, 24, "second")
	f.Add(whole)
	damaged := bytes.Clone(whole)
	damaged[logHeader] ^= 1
	f.Add(damaged)
	f.Fuzz(func(t *testing.T, b []byte) {
		if at := logDamage(b, 1); at >= len(b) {
			t.Errorf("damage at %d of %d", at, len(b))
		}
	})
	if at := logDamage(whole, 1); at >= 0 {
		f.Errorf("damage at %d of a whole log", at)
	}
	if at := logDamage(damaged, 1); at != 0 {
		f.Errorf("damage in the first chunk is seen at %d", at)
	}
}
