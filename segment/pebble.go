package segment

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// FormatMajorVersion is the version of Pebble's own formats that a store is
// created with and that the sstables of segments are written for. It is named
// rather than Pebble's newest, so that an upgrade of the library alone does not
// make stores that older programs cannot open.
const FormatMajorVersion = pebble.FormatValueSeparation

// PebbleOptions are the options of a store's Pebble that the format depends on.
// The others are the caller's. Defaults are left to pebble.Open: the default
// handlers of an EventListener belong to the Logger that is set when they are
// filled in, and those of the default logger end the process when Pebble reads
// damaged data.
func PebbleOptions() *pebble.Options {
	return &pebble.Options{
		FormatMajorVersion: FormatMajorVersion,
		Cleaner:            cleaner{},
		// A MANIFEST names the first and last key of each sstable, and keeps what
		// was so: a new one must be within reach (ScratchTables).
		MaxManifestFileSize: manifestBytes,
	}
}

const manifestBytes = 64 << 10

// cleaner removes obsolete files. Pebble overwrites old files of its log instead,
// bit by bit, unless a cleaner says that it needs what is in them, as that of
// archives does: bytes that were purged would stay for long.
type cleaner struct {
	pebble.DeleteCleaner
	needsContents
}

// needsContents is one level further away than DeleteCleaner, so that nothing but
// what that one lacks comes from it.
type needsContents struct{ pebble.ArchiveCleaner }

// writerOptions are those of sstables that Ingest puts into the last level as
// they are. Codes do not compress and text is compressed already.
func writerOptions(fs vfs.FS) sstable.WriterOptions {
	o := PebbleOptions()
	o.FS = fs
	o.EnsureDefaults()
	wo := o.MakeWriterOptions(len(o.Levels)-1, FormatMajorVersion.MaxTableFormat())
	wo.Compression = sstable.NoCompression
	return wo
}

// readError is a failed read of a place in the store. What Pebble's own
// checksums find is damage like what ours find.
func readError(where string, err error) error {
	if pebble.IsCorruptionError(err) {
		return corrupt(where, 0, "%w", err)
	}
	return fmt.Errorf("colbertdb: reading %s: %w", where, err)
}
