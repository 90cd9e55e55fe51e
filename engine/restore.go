package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// RestoreOptions say how Restore writes.
type RestoreOptions struct {
	// FS is the file system. Default: the operating system's.
	FS vfs.FS
	// Progress is called with the bytes of files read so far and in all.
	Progress func(done, total int64)
}

// Restore writes the store of a backup to the folder dir, which must not exist
// or be empty. An incremental backup needs its chain: the full backup, then each
// that adds to the one before; ErrBrokenChain names what does not fit. Damage
// is an ErrCorruption that names backup, file and offset. After an error, or a
// crash, Open refuses what there is of the folder. The restored store is a
// checkpoint (Engine.Checkpoint) until it is opened for writing.
func Restore(ctx context.Context, dir string, chain []io.Reader, o RestoreOptions) (d *Descriptor, err error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	backups, total, err := openChain(chain)
	if err != nil {
		return nil, err
	}
	last := backups[len(backups)-1].d
	r := &restorer{fs: o.FS, dir: dir, needs: map[string][]string{}}
	for _, f := range last.Files {
		r.needs[f.SHA256] = append(r.needs[f.SHA256], f.Path)
		if isKeys(f.Path) && r.keys == nil {
			r.keys = &keysRestorer{fs: o.FS, dir: dir}
		}
	}
	if err := r.keys.expect(last.Files); err != nil {
		return nil, err
	}
	if err := beginFolder(o.FS, dir, "restore"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			discardFolder(o.FS, dir)
		}
	}()
	for _, sub := range []string{"pebble", "wal"} {
		if err := o.FS.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	if err := r.run(ctx, backups, &progress{f: o.Progress, total: total}); err != nil {
		return nil, err
	}
	whole := *last
	whole.Parent, whole.Files = "", append([]File(nil), last.Files...)
	for i := range whole.Files {
		whole.Files[i].Elsewhere = false
	}
	if r.keys != nil {
		whole.Files = nil
		if err := whole.describeFiles(ctx, o.FS, dir, nil); err != nil {
			return nil, err
		}
	}
	if err := describeFolder(o.FS, dir, &whole); err != nil {
		return nil, err
	}
	return &whole, finishFolder(o.FS, dir)
}

// openChain reads the headers of a chain and checks that each backup adds to
// the one before.
func openChain(chain []io.Reader) (out []*backupReader, total int64, err error) {
	if len(chain) == 0 {
		return nil, 0, fmt.Errorf("%w: no backups", ErrInvalid)
	}
	for i, in := range chain {
		b, err := newBackupReader(in)
		if err != nil {
			return nil, 0, fmt.Errorf("backup %d of %d: %w", i+1, len(chain), err)
		}
		switch {
		case b.d.Kind != "":
			return nil, 0, fmt.Errorf("%w: file %d of %d is an exported %s, not a backup", ErrInvalid, i+1, len(chain), b.d.Kind)
		case i == 0 && b.d.Parent != "":
			return nil, 0, fmt.Errorf("%w: backup %s adds to backup %s, which comes before it in the chain and was not given", ErrBrokenChain, b.d.ID, b.d.Parent)
		case i > 0 && b.d.Parent == "":
			return nil, 0, fmt.Errorf("%w: backup %d of %d, %s, is a full one; give it alone or first", ErrBrokenChain, i+1, len(chain), b.d.ID)
		case i > 0 && b.d.Parent != out[i-1].d.ID:
			return nil, 0, fmt.Errorf("%w: backup %d of %d, %s, adds to backup %s, the one before it is %s", ErrBrokenChain, i+1, len(chain), b.d.ID, b.d.Parent, out[i-1].d.ID)
		}
		out, total = append(out, b), total+b.d.Stored()
	}
	return out, total, nil
}

// restorer writes what the last backup of a chain names.
type restorer struct {
	fs    vfs.FS
	dir   string
	needs map[string][]string // content to the paths that are to have it
	keys  *keysRestorer       // nil: the backup has Pebble's folder as files
}

func (r *restorer) run(ctx context.Context, chain []*backupReader, p *progress) (err error) {
	if r.keys != nil {
		if err := r.keys.begin(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.keys.close()) }()
	}
	for _, b := range chain {
		if err := b.extract(ctx, p.add, r.open); err != nil {
			return err
		}
	}
	for _, f := range chain[len(chain)-1].d.Files {
		if _, missing := r.needs[f.SHA256]; missing {
			return fmt.Errorf("%w: no backup of the chain has the content of %s", ErrBrokenChain, f.Path)
		}
	}
	if r.keys == nil {
		return nil
	}
	return r.keys.finish(ctx)
}

// open takes the content of a file where it is needed.
func (r *restorer) open(f File) (fileSink, error) {
	paths := r.needs[f.SHA256]
	if len(paths) == 0 {
		return nil, nil
	}
	if isKeys(paths[0]) {
		delete(r.needs, f.SHA256)
		return r.keys.open(paths)
	}
	out, err := r.fs.Create(filepath.Join(r.dir, paths[0]), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("colbertdb: restoring %s: %w", paths[0], err)
	}
	return &restoredFile{File: out, r: r, sha: f.SHA256}, nil
}

// restoredFile is a file being restored.
type restoredFile struct {
	vfs.File
	r   *restorer
	sha string
}

func (f *restoredFile) done() error {
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("colbertdb: restoring: %w", err)
	}
	paths := f.r.needs[f.sha]
	for _, p := range paths[1:] { // other files of the same content, such as empty ones
		if err := vfs.Copy(f.r.fs, filepath.Join(f.r.dir, paths[0]), filepath.Join(f.r.dir, p)); err != nil {
			return fmt.Errorf("colbertdb: restoring %s: %w", p, err)
		}
	}
	delete(f.r.needs, f.sha)
	return nil
}

func (f *restoredFile) abort() { _ = f.Close() }

// discardFolder removes what was begun; the marker goes last, so that no crash
// leaves a part without it.
func discardFolder(fsys vfs.FS, dir string) {
	for _, name := range []string{"pebble", "wal", descriptorName} {
		if fsys.RemoveAll(fsys.PathJoin(dir, name)) != nil {
			return
		}
	}
	if syncDir(fsys, dir) == nil {
		_ = fsys.RemoveAll(dir)
	}
}
