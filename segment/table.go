package segment

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// VerifyTable reads an sstable from the file system, past every cache, and
// checks the checksums of all its blocks. It returns the size of the file;
// damage is a CorruptionError that names it.
func VerifyTable(ctx context.Context, fsys vfs.FS, path string) (size int64, err error) {
	f, err := fsys.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return 0, err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		_ = f.Close()
		return 0, fmt.Errorf("colbertdb: reading %s: %w", path, err)
	}
	o := PebbleOptions()
	o.FS = fsys
	o.EnsureDefaults()
	r, err := sstable.NewReader(ctx, readable, o.MakeReaderOptions())
	if err != nil {
		return info.Size(), corrupt(path, 0, "%w", err)
	}
	defer func() {
		if cerr := r.Close(); err == nil {
			err = cerr
		}
	}()
	if err := r.ValidateBlockChecksums(); err != nil {
		return info.Size(), corrupt(path, 0, "%w", err)
	}
	return info.Size(), nil
}
