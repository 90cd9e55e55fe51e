package engine

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/segment"
)

// A store of a newer format is refused by name and left as it is.
func TestNewerFormatIsRefused(t *testing.T) {
	ctx, fs := context.Background(), vfs.NewMem()
	db, err := Open(ctx, "db", &Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	newer := db.state()
	newer.Format = FormatVersion + 1
	if err := errors.Join(db.db.Set(segment.ManifestKey(), newer.encode(), pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	for _, o := range []*Options{{FS: fs}, {FS: fs, ReadOnly: true}} {
		db, err := Open(ctx, "db", o)
		if !errors.Is(err, ErrFormatTooNew) || !strings.Contains(err.Error(), `"db"`) {
			t.Errorf("read-only %t: %v, want ErrFormatTooNew with the store's name", o.ReadOnly, err)
		}
		if err == nil {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
