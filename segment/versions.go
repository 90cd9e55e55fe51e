package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/codec"
)

// WriteVersions writes a codebook and a routing of a collection, nil where there is
// nothing to write, as a synced sstable in a folder, for Pebble to ingest. They have
// megabytes and would, set by a batch, lie between small keys that change with every
// seal, and be written again by each compaction of those.
func WriteVersions(fs vfs.FS, dir string, collection uint32, cb *codec.Codebook, rt *codec.Routing) (paths []string, err error) {
	if cb == nil && rt == nil {
		return nil, nil
	}
	path := fs.PathJoin(dir, fmt.Sprintf("versions-%d.sst", collection))
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("colbertdb: creating %s: %w", path, err)
	}
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), writerOptions(fs))
	if cb != nil {
		err = w.Set(CodebookKey(collection, cb.ID), cb.AppendBinary(nil))
	}
	if rt != nil && err == nil {
		err = w.Set(RoutingKey(collection, rt.ID), rt.AppendBinary(nil))
	}
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = fs.Remove(path)
		return nil, fmt.Errorf("colbertdb: writing %s: %w", path, err)
	}
	return []string{path}, nil
}

// ParseVersionKey tells what a key of CollectionKeys holds: a codebook or a routing,
// the other being 0. ok is false for what is neither.
func ParseVersionKey(key []byte) (collection, codebook, routing uint32, ok bool) {
	n := len(collectionPrefix) + 4
	if len(key) != n+5 || !bytes.HasPrefix(key, []byte(collectionPrefix)) {
		return 0, 0, 0, false
	}
	collection, id := binary.BigEndian.Uint32(key[len(collectionPrefix):]), binary.BigEndian.Uint32(key[n+1:])
	switch key[n] {
	case 'b':
		return collection, id, 0, true
	case 'r':
		return collection, 0, id, true
	}
	return 0, 0, 0, false
}
