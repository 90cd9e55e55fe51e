package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// VerifyTable reads an sstable from the file system, past every cache, and
// checks the checksums of all its blocks. It returns the size of the file;
// damage is a CorruptionError that names it.
func VerifyTable(ctx context.Context, fsys vfs.FS, path string) (size int64, err error) {
	r, size, err := openTable(ctx, fsys, path)
	if err != nil {
		return size, err
	}
	defer closeTable(r, &err)
	if err := r.ValidateBlockChecksums(); err != nil {
		return size, corrupt(path, 0, "%w", err)
	}
	return size, nil
}

// TableHas reports whether an sstable holds one of some keys, ascending, in any
// form: a value, or the mark of a delete.
func TableHas(ctx context.Context, fsys vfs.FS, path string, keys [][]byte) (has bool, err error) {
	r, _, err := openTable(ctx, fsys, path)
	if err != nil {
		return false, err
	}
	defer closeTable(r, &err)
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return false, corrupt(path, 0, "%w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for _, key := range keys {
		kv := it.SeekGE(key, 0)
		if kv == nil {
			return false, it.Error()
		}
		if bytes.Equal(kv.K.UserKey, key) {
			return true, nil
		}
	}
	return false, it.Error()
}

func openTable(ctx context.Context, fsys vfs.FS, path string) (r *sstable.Reader, size int64, err error) {
	f, err := fsys.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		_ = f.Close()
		return nil, 0, fmt.Errorf("colbertdb: reading %s: %w", path, err)
	}
	o := PebbleOptions()
	o.FS = fsys
	o.EnsureDefaults()
	if r, err = sstable.NewReader(ctx, readable, o.MakeReaderOptions()); err != nil {
		return nil, info.Size(), corrupt(path, 0, "%w", err)
	}
	return r, info.Size(), nil
}

func closeTable(r *sstable.Reader, err *error) {
	if cerr := r.Close(); *err == nil {
		*err = cerr
	}
}
