package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/wal"
)

// BackupOptions say what Backup writes.
type BackupOptions struct {
	// Since is the descriptor of an earlier backup: only segments and records whose
	// content it lacks are written, and Restore needs both. Default: everything.
	Since *Descriptor
	// Name says where the backup goes, for those who look for it after a purge, such
	// as the name of its file. Default: none.
	Name string
	// Progress is called with the bytes read so far and in all, which is an estimate
	// until all has been read once.
	Progress func(done, total int64)
}

// Backup writes the store to w as one stream, compressed and checksummed: every
// change that was acknowledged before the call, none that starts after the
// files were linked. Reads and writes go on. The descriptor returned is what a
// later incremental backup needs; ReadBackup reads it from the stream.
func (e *Engine) Backup(ctx context.Context, w io.Writer, o BackupOptions) (d *Descriptor, err error) {
	if o.Since != nil && o.Since.StoreID != e.storeID {
		return nil, fmt.Errorf("%w: the earlier backup %s is of store %s, this is %s; make a full backup", ErrBrokenChain, o.Since.ID, o.Since.StoreID, e.storeID)
	}
	if e.opts.ReadOnly { // nobody writes and nothing needs to be held
		if err := e.enter(); err != nil {
			return nil, err
		}
		defer e.exit()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(e.ctx, cancel)()
		if d, err = e.newCopy(copyBackup, o.Name, e.seq); err != nil {
			return nil, err
		}
		return d, e.writeBackup(ctx, w, e.db, e.dir, d, o)
	}
	id, err := newID()
	if err != nil {
		return nil, err
	}
	links := filepath.Join(e.dir, backupPrefix+id+backupSuffix)
	if err := e.fs.MkdirAll(links, 0o755); err != nil {
		return nil, fmt.Errorf("colbertdb: creating %q: %w", links, err)
	}
	defer func() { _ = e.fs.RemoveAll(links) }() // Open removes what stays
	if d, err = e.linkFiles(ctx, links, copyBackup, o.Name); err != nil {
		return nil, fmt.Errorf("colbertdb: backup: %w", err)
	}
	linked := &Engine{dir: links, fs: e.fs, opts: e.opts, guard: newGuard(e.opts.Logger)}
	linked.opts.ReadOnly, linked.opts.MemoryBudget = true, 0
	db, err := linked.openPebble()
	if err != nil {
		return nil, fmt.Errorf("colbertdb: backup: %w", damage(err))
	}
	return d, errors.Join(e.writeBackup(ctx, w, db, links, d, o), db.Close())
}

// The folder of links that a Backup reads from.
const (
	backupPrefix = "backup-"
	backupSuffix = ".tmp"
)

// removeBackups removes the links that interrupted backups left.
func (e *Engine) removeBackups() {
	names, _ := e.fs.List(e.dir)
	for _, n := range names {
		if strings.HasPrefix(n, backupPrefix) && strings.HasSuffix(n, backupSuffix) {
			_ = e.fs.RemoveAll(filepath.Join(e.dir, n)) // in nobody's way if it stays
		}
	}
}

// writeBackup reads what is in db and the log files of a folder twice: to describe
// it, then to store what the earlier backup lacks.
func (e *Engine) writeBackup(ctx context.Context, w io.Writer, db *pebble.DB, dir string, d *Descriptor, o BackupOptions) error {
	total, err := e.sizeOf(dir)
	if err != nil {
		return err
	}
	p := &progress{f: o.Progress, total: 2 * total}
	contents, err := keyContents(ctx, db)
	if err != nil {
		return fmt.Errorf("colbertdb: backup: %w", err)
	}
	logs, err := wal.List(e.fs, filepath.Join(dir, "wal"))
	if err != nil {
		return err
	}
	for _, n := range logs {
		contents = append(contents, fileContent(e.fs, dir, logPath(n)))
	}
	slices.SortFunc(contents, func(a, b content) int { return strings.Compare(a.path, b.path) })
	if err := d.describe(ctx, contents, p); err != nil {
		return fmt.Errorf("colbertdb: backup: %w", err)
	}
	if o.Since != nil {
		d.Parent = o.Since.ID
		have := map[string]bool{}
		for _, f := range o.Since.Files {
			have[f.SHA256] = true
		}
		for i, f := range d.Files {
			d.Files[i].Elsewhere = have[f.SHA256]
		}
	}
	p.total = p.done + d.Stored()
	return d.write(ctx, w, contents, p)
}

func (e *Engine) sizeOf(dir string) (total int64, err error) {
	paths, err := storeFiles(e.fs, dir)
	for _, path := range paths {
		info, err := e.fs.Stat(filepath.Join(dir, path))
		if err != nil {
			return 0, err
		}
		total += info.Size()
	}
	return total, err
}

// content is what a file of a backup will have: write writes the same bytes
// whenever it is called.
type content struct {
	path  string
	write func(context.Context, io.Writer) error
}

// fileContent is a file of a folder as it is.
func fileContent(fsys vfs.FS, dir, path string) content {
	return content{path, func(ctx context.Context, w io.Writer) (err error) {
		f, err := fsys.Open(fsys.PathJoin(dir, path), vfs.SequentialReadsOption)
		if err != nil {
			return err
		}
		defer closeInto(&err, f)
		for chunk, err := range chunks(ctx, f, blockSize) {
			if err == nil {
				_, err = w.Write(chunk)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}}
}

// describe fills Files with contents.
func (d *Descriptor) describe(ctx context.Context, contents []content, p *progress) error {
	for _, c := range contents {
		sum := newSummer()
		if err := c.write(ctx, io.MultiWriter(sum, p)); err != nil {
			return fmt.Errorf("%s: %w", c.path, err)
		}
		d.Files = append(d.Files, sum.file(c.path))
	}
	return nil
}

// write writes the stream of a described backup.
func (d *Descriptor) write(ctx context.Context, w io.Writer, contents []content, p *progress) error {
	out, err := newBackupWriter(w, d)
	if err != nil {
		return fmt.Errorf("colbertdb: writing backup: %w", err)
	}
	for i, c := range contents {
		if d.Files[i].Elsewhere {
			continue
		}
		b := &blockWriter{out: out, file: uint32(i)}
		if err := errors.Join(c.write(ctx, io.MultiWriter(b, p)), b.flush()); err != nil {
			return fmt.Errorf("colbertdb: writing backup, %s: %w", c.path, err)
		}
	}
	if err := out.end(); err != nil {
		return fmt.Errorf("colbertdb: writing backup: %w", err)
	}
	return nil
}

// progress adds up what has been done.
type progress struct {
	f           func(done, total int64)
	done, total int64
}

func (p *progress) add(n int64) {
	p.done += n
	if p.f != nil {
		p.f(p.done, p.total)
	}
}

// Write counts what passes.
func (p *progress) Write(b []byte) (int, error) {
	p.add(int64(len(b)))
	return len(b), nil
}

// ReadBackup reads the descriptor at the start of a backup.
func ReadBackup(r io.Reader) (*Descriptor, error) {
	b, err := newBackupReader(r)
	if err != nil {
		return nil, err
	}
	return b.d, nil
}

// VerifyBackup reads a backup and checks every byte of it. Damage is an
// ErrCorruption that names the file and the offset. Of an incremental backup it
// checks what that adds: Restore checks the chain.
func VerifyBackup(ctx context.Context, r io.Reader, report func(done, total int64)) (*Descriptor, error) {
	b, err := newBackupReader(r)
	if err != nil {
		return nil, err
	}
	p := &progress{f: report, total: b.d.Stored()}
	return b.d, b.extract(ctx, p.add, func(File) (fileSink, error) { return nil, nil })
}
