package vectorfile

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
)

// safetensorsTypes are the types that are read.
var safetensorsTypes = map[string]struct {
	kind  byte
	width int
}{
	"F16": {'f', 2}, "BF16": {'b', 2}, "F32": {'f', 4}, "F64": {'f', 8},
	"I8": {'i', 1}, "I16": {'i', 2}, "I32": {'i', 4}, "I64": {'i', 8},
	"U8": {'u', 1}, "U16": {'u', 2}, "U32": {'u', 4}, "U64": {'u', 8},
}

// readSafetensors reads a file: the length of a header, the header, which is JSON,
// and the tensors. Ids of the packed layout are JSON in its metadata.
func readSafetensors(path string, f func(Document) bool) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	var size [8]byte
	if _, err := io.ReadFull(file, size[:]); err != nil {
		return errors.New("the header is cut off")
	}
	n := binary.LittleEndian.Uint64(size[:])
	if n > maxHeader || int64(n) > info.Size()-8 {
		return fmt.Errorf("this is not a safetensors file: a header of %d bytes", n)
	}
	head, err := readN(file, int64(n))
	if err != nil {
		return err
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(head, &entries); err != nil {
		return fmt.Errorf("the header is no JSON object: %w", err)
	}
	var ids []string
	if raw, ok := entries["__metadata__"]; ok {
		var meta map[string]string
		if err := json.Unmarshal(raw, &meta); err != nil {
			return fmt.Errorf("__metadata__: %w", err)
		}
		if list, ok := meta["ids"]; ok {
			if err := json.Unmarshal([]byte(list), &ids); err != nil {
				return fmt.Errorf("the ids in __metadata__ are no JSON list of strings: %w", err)
			}
		}
		delete(entries, "__metadata__")
	}
	arrays, err := safetensorsArrays(file, 8+int64(n), info.Size(), entries)
	if err != nil {
		return err
	}
	return readArrays(arrays, ids, f)
}

// safetensorsArrays lists the tensors, in the order of the file.
func safetensorsArrays(file *os.File, start, end int64, entries map[string]json.RawMessage) ([]*array, error) {
	var arrays []*array
	at := map[string]int64{}
	for name, raw := range entries {
		var e safetensorsEntry
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t, ok := safetensorsTypes[e.Type]
		if !ok {
			return nil, fmt.Errorf("%s: type %q is not read", name, e.Type)
		}
		a := &array{name: name, kind: t.kind, width: t.width, shape: e.Shape}
		n, err := a.size()
		if err != nil {
			return nil, err
		}
		from, to := e.Offsets[0], e.Offsets[1]
		if from < 0 || to < from || to > end-start || to-from != n*int64(t.width) {
			return nil, fmt.Errorf("%s: shape %v of %s does not fit bytes %d to %d of %d", name, e.Shape, e.Type, from, to, end-start)
		}
		a.open = func() (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(file, start+from, to-from)), nil
		}
		at[name] = from
		arrays = append(arrays, a)
	}
	sort.Slice(arrays, func(i, j int) bool {
		a, b := arrays[i].name, arrays[j].name
		return at[a] < at[b] || at[a] == at[b] && a < b
	})
	return arrays, nil
}
