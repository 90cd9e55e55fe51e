package engine_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// slowLog is a file system whose log files, once hold is set, say that a Sync
// has begun and wait to be let go.
type slowLog struct {
	vfs.FS
	hold  atomic.Bool
	begun chan struct{}
	goOn  chan struct{}
}

func (s *slowLog) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	if err == nil && strings.HasSuffix(name, ".wal") {
		f = slowFile{f, s}
	}
	return f, err
}

type slowFile struct {
	vfs.File
	fs *slowLog
}

func (f slowFile) Sync() error {
	if f.fs.hold.Load() {
		select {
		case f.fs.begun <- struct{}{}:
		default:
		}
		<-f.fs.goOn
	}
	return f.File.Sync()
}

// While a commit group waits for the disk, reads and searches answer from what
// is visible, and the group's own documents are not.
func TestReadsDoNotWaitForTheLog(t *testing.T) {
	fs := &slowLog{FS: vfs.NewMem(), begun: make(chan struct{}, 1), goOn: make(chan struct{})}
	db := mustOpen(t, fs, small())
	col := mustCollection(t, db, engine.CollectionConfig{})
	r := rand.New(rand.NewPCG(31, 1))
	old, fresh := document(r, 1), document(r, 2)
	seq, err := col.Upsert(ctx, old)
	if err != nil {
		t.Fatal(err)
	}
	fs.hold.Store(true)
	done := make(chan error, 1)
	go func() {
		_, err := col.Upsert(ctx, fresh)
		done <- err
	}()
	<-fs.begun // the group is in the log and not yet durable
	if _, err := col.Get(ctx, old.ID); err != nil {
		t.Error(err)
	}
	if _, err := col.Get(ctx, fresh.ID); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a document that is not durable: %v", err)
	}
	res, err := col.Search(ctx, engine.SearchRequest{Vectors: vectors(r, 3)})
	if err != nil || len(res.Hits) != 1 || res.Seq != seq {
		t.Errorf("%+v, %v", res, err)
	}
	if info := col.Info(); info.Documents != 1 {
		t.Errorf("%d documents", info.Documents)
	}
	close(fs.goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := col.Get(ctx, fresh.ID); err != nil {
		t.Error(err)
	}
	mustClose(t, db)
}
