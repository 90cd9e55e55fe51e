package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ScratchSpan is the range of the keys of ScratchTables.
func ScratchSpan() KeyRange { return prefixRange([]byte(scratchPrefix)) }

// ScratchTables writes n sstables that mean nothing, to be ingested and excised
// again: Pebble begins a new MANIFEST when the old one is large and as many tables
// have come and gone as there are, and has no other way to be asked for one. Their
// keys are long enough to make it large.
func ScratchTables(fsys vfs.FS, dir string, n int) (paths []string, err error) {
	padding := bytes.Repeat([]byte{'.'}, manifestBytes/(2*n)+1)
	for i := range n {
		path := filepath.Join(dir, fmt.Sprintf("scratch-%d.sst", i))
		f, err := fsys.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return paths, fmt.Errorf("colbertdb: creating %s: %w", path, err)
		}
		paths = append(paths, path)
		w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), writerOptions(fsys))
		for end := range byte(2) { // the first key and the last
			key := binary.BigEndian.AppendUint32([]byte(scratchPrefix), uint32(i))
			if err := w.Set(append(append(key, end), padding...), nil); err != nil {
				return paths, err
			}
		}
		if err := w.Close(); err != nil {
			return paths, fmt.Errorf("colbertdb: writing %s: %w", path, err)
		}
	}
	return paths, nil
}
