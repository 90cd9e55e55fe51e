package engine

import (
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
	collection, got, err := decodeBatch(appendBatch(nil, 300, ops))
	if err != nil || collection != 300 || len(got) != len(ops) {
		t.Fatalf("%d operations of collection %d, %v", len(got), collection, err)
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
	f.Add(appendBatch(nil, 1, sampleOps()))
	f.Add([]byte{1, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, ops, err := decodeBatch(b)
		if err != nil {
			return
		}
		for _, o := range ops {
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
