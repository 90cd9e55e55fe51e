package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/segment"
)

// keysRestorer builds Pebble's folder of the files of keys of a backup: records as
// they come, segments as sstables that are ingested once all are there, and then
// the numbers of documents by their ids.
type keysRestorer struct {
	fs     vfs.FS
	dir    string
	parts  []segment.Part // all that there will be
	engine *Engine        // has what it takes to open Pebble, no more
	tables []string
}

// restoreBatch is about how much is written to Pebble at a time.
const restoreBatch = 4 << 20

// expect notes the parts that will come.
func (k *keysRestorer) expect(files []File) error {
	for _, f := range files {
		name, ok := strings.CutPrefix(f.Path, partFolder)
		if !ok {
			continue
		}
		p, ok := segment.ParsePart(name)
		if !ok {
			return &segment.CorruptionError{Where: "descriptor of the backup", Err: fmt.Errorf("file %.100q is no part of a segment", f.Path)}
		}
		k.parts = append(k.parts, p)
	}
	return nil
}

func (k *keysRestorer) begin() (err error) {
	k.engine = &Engine{fs: k.fs, dir: k.dir, guard: newGuard(slog.New(slog.DiscardHandler)), opts: (&Options{FS: k.fs}).withDefaults()}
	if err := k.fs.MkdirAll(k.engine.asideDir(), 0o755); err != nil {
		return err
	}
	k.engine.db, err = k.engine.openPebble()
	return err
}

// close closes Pebble, where begin has opened it, and removes what was built aside.
func (k *keysRestorer) close() (err error) {
	if k.engine.db != nil {
		err = k.engine.db.Close()
	}
	return errors.Join(err, k.fs.RemoveAll(k.engine.asideDir()))
}

// open takes the content of a file of keys.
func (k *keysRestorer) open(paths []string) (fileSink, error) {
	if len(paths) > 1 { // the keys of two files differ
		return nil, &segment.CorruptionError{Where: "descriptor of the backup", Err: fmt.Errorf("%q have the same content", paths)}
	}
	r := &keysReader{where: "backup, file " + paths[0]}
	if name, ok := strings.CutPrefix(paths[0], partFolder); ok {
		part, _ := segment.ParsePart(name) // expect has seen it
		w := segment.NewPartWriter(k.fs, k.engine.asideDir(), part, k.parts)
		r.add, r.drop = w.Add, w.Abort
		r.end = func() error {
			tables, err := w.Finish()
			k.tables = append(k.tables, tables...)
			return err
		}
		return r, nil
	}
	b := k.engine.db.NewBatch()
	r.add = func(key, value []byte) error {
		if !segment.IsRecord(key) {
			return r.damaged("key %q is no record's", key)
		}
		return b.Set(key, value, nil)
	}
	r.end = func() error { return errors.Join(b.Commit(pebble.NoSync), b.Close()) }
	r.drop = func() { _ = b.Close() }
	return r, nil
}

// finish is what can be done once everything is there.
func (k *keysRestorer) finish(ctx context.Context) error {
	db, e := k.engine.db, k.engine
	if len(k.tables) > 0 {
		if err := e.ingest(ctx, k.tables); err != nil {
			return fmt.Errorf("colbertdb: restoring: %w", err)
		}
	}
	ids := &idWriter{db: db}
	err := eachGoodKey(db, segment.CollectionKeys(), func(key, value []byte) error {
		if !segment.IsCollectionKey(key) {
			return nil
		}
		r, err := decodeCollection(value)
		if err != nil {
			return err
		}
		for i := range r.Segments {
			if err := ids.add(ctx, r.ID, &r.Segments[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, ids.flush()); err != nil {
		return fmt.Errorf("colbertdb: restoring: %w", damage(err))
	}
	return e.guard.flush(ctx, db)
}

// idWriter writes the numbers of documents by their ids.
type idWriter struct {
	db *pebble.DB
	b  *pebble.Batch
}

// add writes those of the live documents of a segment.
func (w *idWriter) add(ctx context.Context, collection uint32, s *segmentRecord) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := segment.Open(w.db, s.ID)
	if err != nil {
		return err
	}
	defer r.Close()
	live := segment.NewBitset(r.Len(), true)
	if s.Deletes != 0 {
		live, err = load(w.db, segment.DeletesKey(s.ID, s.Deletes), func(b []byte) (*segment.Bitset, error) {
			return segment.DecodeDeletes(b, r.Len())
		})
		if err != nil {
			return err
		}
	}
	for ord := range r.Len() {
		if !live.Get(ord) {
			continue
		}
		if w.b == nil {
			w.b = w.db.NewBatch()
		}
		if err := w.b.Set(segment.DocumentKey(collection, r.ExternalID(ord)), segment.EncodeDocumentRef(r.Num(ord)), nil); err != nil {
			return err
		}
		if w.b.Len() > restoreBatch {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *idWriter) flush() error {
	if w.b == nil {
		return nil
	}
	b := w.b
	w.b = nil
	return errors.Join(b.Commit(pebble.NoSync), b.Close())
}
