package segment

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Copy writes a segment of db, byte for byte, to an sstable for another store to
// ingest under the same id.
func Copy(ctx context.Context, db *pebble.DB, id ID, fs vfs.FS, dir string) (path string, err error) {
	path = fs.PathJoin(dir, fmt.Sprintf("%d-copy.sst", id))
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return "", fmt.Errorf("colbertdb: creating %s: %w", path, err)
	}
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), writerOptions(fs))
	defer func() { err = errors.Join(err, w.Close()) }()
	span := Span(id)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for it.First(); it.Valid(); it.Next() {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		val, err := it.ValueAndErr()
		if err != nil {
			return "", readError(describe(it.Key()), err)
		}
		if err := w.Set(it.Key(), val); err != nil {
			return "", err
		}
	}
	return path, it.Error()
}
