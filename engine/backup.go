package engine

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// BackupOptions say what Backup writes.
type BackupOptions struct {
	// Since is the descriptor of an earlier backup: only files with content
	// that it lacks are written, and Restore needs both. Default: everything.
	Since *Descriptor
	// Name says where the backup goes, for those who look for it after a purge, such
	// as the name of its file. Default: none.
	Name string
	// Progress is called with the bytes of files read so far and in all.
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
	from := e.dir
	if e.opts.ReadOnly { // nobody writes and nothing needs to be held
		if d, err = e.newCopy(copyBackup, o.Name, e.seq); err != nil {
			return nil, err
		}
	} else {
		id, err := newID()
		if err != nil {
			return nil, err
		}
		from = filepath.Join(e.dir, backupPrefix+id+backupSuffix)
		if err := e.fs.MkdirAll(from, 0o755); err != nil {
			return nil, fmt.Errorf("colbertdb: creating %q: %w", from, err)
		}
		defer func() { _ = e.fs.RemoveAll(from) }() // Open removes what stays
		if d, err = e.linkFiles(ctx, from, copyBackup, o.Name); err != nil {
			return nil, fmt.Errorf("colbertdb: backup: %w", err)
		}
	}
	return d, e.writeBackup(ctx, w, from, d, o)
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

// writeBackup reads the files twice: to describe them, then to store those that
// the earlier backup lacks.
func (e *Engine) writeBackup(ctx context.Context, w io.Writer, from string, d *Descriptor, o BackupOptions) error {
	p := &progress{f: o.Progress}
	total, err := e.sizeOf(from)
	if err != nil {
		return err
	}
	p.total = 2 * total
	if err := d.describeFiles(ctx, e.fs, from, p.add); err != nil {
		return err
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
	p.total = total + d.Stored()
	out, err := newBackupWriter(w, d)
	if err != nil {
		return fmt.Errorf("colbertdb: writing backup: %w", err)
	}
	for i, f := range d.Files {
		if f.Elsewhere {
			continue
		}
		if err := e.backupFile(ctx, out, uint32(i), filepath.Join(from, f.Path), p); err != nil {
			return fmt.Errorf("colbertdb: backup of %s: %w", f.Path, err)
		}
	}
	if err := out.end(); err != nil {
		return fmt.Errorf("colbertdb: writing backup: %w", err)
	}
	return nil
}

func (e *Engine) backupFile(ctx context.Context, out *backupWriter, number uint32, path string, p *progress) (err error) {
	f, err := e.fs.Open(path)
	if err != nil {
		return err
	}
	defer closeInto(&err, f)
	var offset int64
	for raw, err := range chunks(ctx, f, blockSize) {
		if err != nil {
			return err
		}
		if err := out.block(number, offset, raw); err != nil {
			return err
		}
		offset += int64(len(raw))
		p.add(int64(len(raw)))
	}
	return nil
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
