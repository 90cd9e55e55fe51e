package server

import (
	"cmp"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// snapshots are checkpoints in one folder, a folder each.
type snapshots struct {
	dir string // "": there are none
	mu  sync.Mutex
}

var snapshotName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// path is the folder of a snapshot.
func (s *snapshots) path(name string) (string, error) {
	if s.dir == "" {
		return "", failf(http.StatusNotImplemented, "no_snapshots", "the server has no folder for snapshots: start it with --snapshots DIR")
	}
	if !snapshotName.MatchString(name) {
		return "", unprocessable("a snapshot's name has small letters, digits, - and _, at most 63; %.80q has not", name)
	}
	return filepath.Join(s.dir, name), nil
}

func wireSnapshot(name string, d *engine.Descriptor) wire.Snapshot {
	return wire.Snapshot{Name: name, ID: d.ID, Created: d.Created.UTC().Format(time.RFC3339), Seq: d.Seq, Files: len(d.Files), Bytes: d.Bytes()}
}

// makeSnapshot makes a checkpoint of the store: everything that was acknowledged
// before the request.
func makeSnapshot(q *request) error {
	var body wire.NewSnapshot
	if q.r.ContentLength != 0 {
		if err := q.readJSON(&body, true); err != nil {
			return err
		}
	}
	s := q.s.snaps
	name := cmp.Or(body.Name, strings.ToLower(time.Now().UTC().Format("20060102t150405-000000")))
	path, err := s.path(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(failf(http.StatusConflict, "snapshot_exists", "there is a snapshot %q", name), err)
	}
	d, err := q.s.db.Checkpoint(q.r.Context(), path)
	if err != nil {
		return err
	}
	q.json(http.StatusCreated, wireSnapshot(name, d))
	return nil
}

// listSnapshots lists the whole checkpoints of the folder.
func listSnapshots(q *request) error {
	s := q.s.snaps
	if _, err := s.path("x"); err != nil {
		return err
	}
	out := wire.Snapshots{Snapshots: []wire.Snapshot{}}
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if !snapshotName.MatchString(e.Name()) {
			continue
		}
		if d := readDescriptor(filepath.Join(s.dir, e.Name())); d != nil {
			out.Snapshots = append(out.Snapshots, wireSnapshot(e.Name(), d))
		}
	}
	q.json(http.StatusOK, out)
	return nil
}

// dropSnapshot removes the folder of a snapshot, and nothing that is none.
func dropSnapshot(q *request) error {
	s := q.s.snaps
	path, err := s.path(q.r.PathValue("s"))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if readDescriptor(path) == nil {
		return failf(http.StatusNotFound, "not_found", "there is no snapshot %q", q.r.PathValue("s"))
	}
	gone := path + ".gone" // no name of a snapshot: a removal that is cut off leaves none
	if err := errors.Join(os.RemoveAll(gone), os.Rename(path, gone), os.RemoveAll(gone)); err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

// readDescriptor returns the descriptor of a checkpoint's folder, nil where it is
// none.
func readDescriptor(dir string) *engine.Descriptor {
	d, err := engine.ReadCheckpoint(dir)
	if err != nil {
		return nil
	}
	return d
}
