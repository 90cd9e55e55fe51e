package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// ErrGone is Next's answer when the folder itself was removed or renamed.
var ErrGone = errors.New("the folder is not there any more")

// Folder is a folder that is watched.
type Folder struct {
	root    string
	settle  time.Duration
	events  *fsnotify.Watcher
	watched map[string]bool // folders, as they are on disk
}

// Open prepares to watch a folder; nothing is watched before Watch. Changes are
// reported when there was none for the time settle, and at the latest after ten times
// as long.
func Open(root string, settle time.Duration) (*Folder, error) {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("colbertdb: watching %s: %w", root, err)
	}
	return &Folder{root: root, settle: settle, events: events, watched: map[string]bool{}}, nil
}

// Close ends the watching.
func (f *Folder) Close() error { return f.events.Close() }

// Watch watches folders, the root or some in it, and reports whether one of them is
// new. A folder that has gone meanwhile is no error: its removal is reported.
func (f *Folder) Watch(folders []string) (added bool, err error) {
	for _, dir := range folders {
		if f.watched[dir] {
			continue
		}
		switch err := f.events.Add(dir); {
		case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrPermission):
			continue // gone, or not to be read either
		case errors.Is(err, syscall.ENOSPC):
			return added, fmt.Errorf("colbertdb: watching %s: the system's limit of watched folders is reached: raise fs.inotify.max_user_watches", dir)
		case err != nil:
			return added, fmt.Errorf("colbertdb: watching %s: %w", dir, err)
		}
		f.watched[dir] = true
		added = true
	}
	return added, nil
}

// Next waits for changes and returns the files and folders that are new, changed or
// gone, relative to the root, with slashes, sorted; "." where it cannot tell which, or
// where rules of the root have changed.
func (f *Folder) Next(ctx context.Context) ([]string, error) {
	parts := map[string]bool{}
	quiet := time.NewTimer(time.Hour)
	defer quiet.Stop()
	var latest time.Time
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-quiet.C:
			return slices.Sorted(maps.Keys(parts)), nil
		case e := <-f.events.Events:
			if err := f.note(e, parts); err != nil {
				return nil, err
			}
		case err := <-f.events.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return nil, fmt.Errorf("colbertdb: watching %s: %w", f.root, err)
			}
			parts["."] = true // some changes were not reported
		}
		if len(parts) == 0 {
			continue
		}
		if latest.IsZero() {
			latest = time.Now().Add(10 * f.settle)
		}
		quiet.Reset(max(0, min(f.settle, time.Until(latest))))
	}
}

// note adds what an event is about to the parts.
func (f *Folder) note(e fsnotify.Event, parts map[string]bool) error {
	if e.Op == fsnotify.Chmod {
		return nil
	}
	rel, err := filepath.Rel(f.root, e.Name)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return nil
	}
	rel = filepath.ToSlash(rel)
	if e.Has(fsnotify.Create) {
		// A folder that was renamed may be watched under this name already, if a walk met
		// it before the event did: the system takes both for one, and the end of the old
		// name ended both.
		f.forget(e.Name)
	}
	if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		f.forget(e.Name)
		if rel == "." {
			return fmt.Errorf("colbertdb: watching %s: %w", f.root, ErrGone)
		}
	}
	switch {
	case path.Base(rel) == ".gitignore":
		parts[path.Dir(rel)] = true // its rules are for the folder
	case rel == "." || !strings.HasPrefix(path.Base(rel), "."):
		parts[rel] = true
	}
	return nil
}

// forget gives up a folder that has gone, and those in it: they may be elsewhere now,
// under names that a walk meets.
func (f *Folder) forget(name string) {
	for dir := range f.watched {
		if dir == name || strings.HasPrefix(dir, name+string(filepath.Separator)) {
			_ = f.events.Remove(dir) // an error: it is not watched any more
			delete(f.watched, dir)
		}
	}
}
