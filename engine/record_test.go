package engine

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"

	"github.com/colbertdb-go/colbertdb/segment"
)

func sampleOps() []op {
	return []op{
		{kind: opUpsert, id: "a", num: 7, text: "text", attrs: []byte(`{"x":1}`), dim: 8, raw: make([]byte, 32)},
		{kind: opDelete, id: "b\x00\xff"},
		{kind: opUpsert, id: "c", num: 8, attrs: []byte{}, dim: 16, raw: make([]byte, 32)},
	}
}

func TestBatchRoundTrip(t *testing.T) {
	ops := sampleOps()
	key := &writeKey{name: keyHash{1, 2}, content: keyHash{3}, at: 1 << 60, before: 5}
	back, err := decodeBatch((&loggedBatch{collection: 300, key: key, ops: ops}).append(nil))
	got := back.ops
	if err != nil || back.collection != 300 || len(got) != len(ops) || !reflect.DeepEqual(back.key, key) {
		t.Fatalf("%d operations of collection %d, key %+v, %v", len(got), back.collection, back.key, err)
	}
	for i := range ops {
		got[i].attrs = append([]byte{}, got[i].attrs...)
		ops[i].attrs = append([]byte{}, ops[i].attrs...)
		if !reflect.DeepEqual(got[i], ops[i]) {
			t.Errorf("operation %d: %+v, want %+v", i, got[i], ops[i])
		}
	}
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add((&loggedBatch{collection: 1, ops: sampleOps()}).append(nil))
	f.Add((&loggedBatch{collection: 1, key: &writeKey{}}).append(nil))
	f.Add([]byte{1, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, b []byte) {
		batch, err := decodeBatch(b)
		if err != nil {
			return
		}
		for _, o := range batch.ops {
			if o.kind == opUpsert && o.tokens() < 1 {
				t.Errorf("accepted %+v", o)
			}
		}
	})
}

func FuzzDecodeManifest(f *testing.F) {
	s := storeState{Format: 1, StoreID: "x", NextSegment: 3}
	r := collectionRecord{ID: 1, Name: "n", Dim: 8, Segments: []segmentRecord{{ID: 2}}}
	f.Add(s.encode())
	f.Add(r.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, decode := range []func() error{
			func() error { _, err := decodeState(b); return err },
			func() error { _, err := decodeCollection(b); return err },
		} {
			if err := decode(); err != nil && !errors.Is(err, segment.ErrCorruption) && !errors.Is(err, ErrFormatTooNew) {
				t.Error(err)
			}
		}
	})
}

// A manifest of the next version is refused as such, not as damage.
func TestNewerFormatIsNamed(t *testing.T) {
	s := storeState{Format: FormatVersion}
	b := s.encode()
	if _, err := decodeState(b); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := decodeState(b); !errors.Is(err, segment.ErrCorruption) {
		t.Errorf("damaged: %v", err)
	}
}

// The value under i/ of format version 1.
func TestGoldenWriteRecord(t *testing.T) {
	const golden = "4344425901002800000000000000e71ed7260102030405060708090a0b0c0d0e0f10" +
		"1112131415161718" + "2122232425262728" + "0300000000000000"
	r := writeRecord{
		content: keyHash{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		seq:     0x1817161514131211, at: 0x2827262524232221, deleted: 3,
	}
	if got := hex.EncodeToString(r.encode()); got != golden {
		t.Errorf("%s, the format has %s", got, golden)
	}
	stored, err := hex.DecodeString(golden)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := decodeWriteRecord(stored); err != nil || back != r {
		t.Errorf("%+v, %v", back, err)
	}
	for i := range stored {
		bad := bytes.Clone(stored)
		bad[i] ^= 1
		if _, err := decodeWriteRecord(bad); !errors.Is(err, ErrCorruption) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
}
