package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/segment"
	"github.com/colbertdb-go/colbertdb/wal"
)

// Descriptor says what a checkpoint or a backup holds: every file with its size and
// checksums. Those of a checkpoint are the store's; a backup has log files, and the
// content of Pebble by segment and record (backupkeys.go). A checkpoint keeps it in
// the file CHECKPOINT, a backup begins with it. docs/format/backup.md.
type Descriptor struct {
	Format  int    `json:"format"` // of the store
	StoreID string `json:"store_id"`
	// Kind is empty for a store, "segment" for an exported segment.
	Kind    string    `json:"kind,omitempty"`
	ID      string    `json:"id"`               // of this checkpoint or backup
	Parent  string    `json:"parent,omitempty"` // id of the backup that an incremental one adds to
	Created time.Time `json:"created"`
	Seq     uint64    `json:"seq"` // last sequence number that it holds
	Files   []File    `json:"files"`
}

// File is one file of a Descriptor.
type File struct {
	Path   string `json:"path"` // with slashes; of a checkpoint, from its folder
	Size   int64  `json:"size"`
	CRC32C uint32 `json:"crc32c"`
	SHA256 string `json:"sha256"`
	// Elsewhere says that an earlier backup of the chain holds the content.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

const (
	descriptorMagic = "CDBI"
	descriptorName  = "CHECKPOINT"
	incompleteName  = "INCOMPLETE"
)

func newDescriptor(storeID string, seq uint64) (*Descriptor, error) {
	id, err := newID()
	if err != nil {
		return nil, err
	}
	return &Descriptor{Format: FormatVersion, StoreID: storeID, ID: id, Created: time.Now().UTC().Truncate(time.Second), Seq: seq}, nil
}

// newID returns 128 random bits in hex.
func newID() (string, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", err
	}
	return hex.EncodeToString(id[:]), nil
}

// Bytes is the size of the store that the descriptor describes; Stored is the
// part whose content is with the descriptor.
func (d *Descriptor) Bytes() (n int64) {
	for _, f := range d.Files {
		n += f.Size
	}
	return n
}

// Stored is the size of the files that are not Elsewhere.
func (d *Descriptor) Stored() (n int64) {
	for _, f := range d.Files {
		if !f.Elsewhere {
			n += f.Size
		}
	}
	return n
}

func (d *Descriptor) encode() []byte { return encodeJSON(descriptorMagic, d) }

// filePath is what a path of a descriptor may be: nothing that leaves the folder.
var filePath = regexp.MustCompile(`^(pebble|wal|segment|segments|records)/[A-Za-z0-9][A-Za-z0-9._-]*$`)

func decodeDescriptor(b []byte, where string) (*Descriptor, error) {
	d := new(Descriptor)
	if err := decodeJSON(descriptorMagic, where, b, d); err != nil {
		return nil, err
	}
	if d.Format > FormatVersion {
		return nil, fmt.Errorf("%w: %s has format %d, this program reads up to %d", ErrFormatTooNew, where, d.Format, FormatVersion)
	}
	seen := map[string]bool{}
	for _, f := range d.Files {
		if !filePath.MatchString(f.Path) || strings.Contains(f.Path, "..") || f.Size < 0 || seen[f.Path] {
			return nil, &segment.CorruptionError{Where: where, Err: fmt.Errorf("file %.100q of %d bytes", f.Path, f.Size)}
		}
		seen[f.Path] = true
	}
	return d, nil
}

// readDescriptor reads the descriptor of the checkpoint in dir;
// fs.ErrNotExist where dir is no checkpoint.
func readDescriptor(fsys vfs.FS, dir string) (*Descriptor, error) {
	path := fsys.PathJoin(dir, descriptorName)
	b, err := readAll(fsys, path)
	if err != nil {
		return nil, err
	}
	return decodeDescriptor(b, path)
}

// checkSizes reports the first file of the checkpoint in dir that is missing, has
// another size, or is a log file too many.
func (d *Descriptor) checkSizes(fsys vfs.FS, dir string) error {
	logs := map[string]bool{}
	for _, f := range d.Files {
		path := fsys.PathJoin(dir, f.Path)
		info, err := fsys.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return &segment.CorruptionError{Where: path, Err: errors.New("missing, though the checkpoint's descriptor names it")}
		}
		if err != nil {
			return err
		}
		if info.Size() != f.Size {
			return &segment.CorruptionError{Where: path, Offset: min(info.Size(), f.Size), Err: fmt.Errorf("%d bytes, the checkpoint's descriptor says %d", info.Size(), f.Size)}
		}
		logs[f.Path] = true
	}
	names, err := wal.List(fsys, fsys.PathJoin(dir, "wal"))
	if err != nil {
		return err
	}
	for _, n := range names {
		if path := logPath(n); !logs[path] {
			return &segment.CorruptionError{Where: fsys.PathJoin(dir, path), Err: errors.New("the checkpoint's descriptor does not name it")}
		}
	}
	return nil
}

// verify reads every file of the checkpoint in dir and returns all that differ
// from the descriptor.
func (d *Descriptor) verify(ctx context.Context, fsys vfs.FS, dir string) (problems []error, err error) {
	for _, want := range d.Files {
		path := fsys.PathJoin(dir, want.Path)
		got, err := sumFile(ctx, fsys, path, want.Path, nil)
		if ctx.Err() != nil {
			return problems, ctx.Err()
		}
		switch {
		case err != nil:
			problems = append(problems, &segment.CorruptionError{Where: path, Err: err})
		case got != (File{Path: want.Path, Size: want.Size, CRC32C: want.CRC32C, SHA256: want.SHA256}):
			problems = append(problems, &segment.CorruptionError{Where: path, Err: fmt.Errorf(
				"%d bytes with crc32c %08x, the checkpoint's descriptor says %d with %08x", got.Size, got.CRC32C, want.Size, want.CRC32C)})
		}
	}
	return problems, nil
}

// describeFiles fills Files with what is in the folders of a store.
func (d *Descriptor) describeFiles(ctx context.Context, fsys vfs.FS, dir string, progress func(int64)) error {
	paths, err := storeFiles(fsys, dir)
	if err != nil {
		return err
	}
	for _, p := range paths {
		f, err := sumFile(ctx, fsys, fsys.PathJoin(dir, p), p, progress)
		if err != nil {
			return err
		}
		d.Files = append(d.Files, f)
	}
	return nil
}

// storeFiles lists the files of a store that is not being written, sorted.
func storeFiles(fsys vfs.FS, dir string) ([]string, error) {
	var out []string
	for _, sub := range []string{"pebble", "wal"} {
		names, err := fsys.List(fsys.PathJoin(dir, sub))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("colbertdb: listing %q: %w", fsys.PathJoin(dir, sub), err)
		}
		for _, n := range names {
			if n != "LOCK" {
				out = append(out, sub+"/"+n)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

func logPath(n wal.FileNum) string { return "wal/" + wal.FileName(n) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// summer computes both checksums of a file.
type summer struct {
	crc  uint32
	sha  hash.Hash
	size int64
}

func newSummer() *summer { return &summer{sha: sha256.New()} }

func (s *summer) Write(b []byte) (int, error) {
	s.crc = crc32.Update(s.crc, castagnoli, b)
	s.sha.Write(b)
	s.size += int64(len(b))
	return len(b), nil
}

func (s *summer) file(path string) File {
	return File{Path: path, Size: s.size, CRC32C: s.crc, SHA256: hex.EncodeToString(s.sha.Sum(nil))}
}

// sumFile reads a file and describes it under the given name.
func sumFile(ctx context.Context, fsys vfs.FS, path, name string, progress func(int64)) (out File, err error) {
	f, err := fsys.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return File{}, fmt.Errorf("colbertdb: opening %q: %w", path, err)
	}
	defer closeInto(&err, f)
	s := newSummer()
	for chunk, err := range chunks(ctx, f, 1<<20) {
		if err != nil {
			return File{}, fmt.Errorf("colbertdb: reading %q: %w", path, err)
		}
		s.Write(chunk)
		if progress != nil {
			progress(int64(len(chunk)))
		}
	}
	return s.file(name), nil
}

// chunks yields what r has in pieces of size bytes, valid until the next.
func chunks(ctx context.Context, r io.Reader, size int) func(func([]byte, error) bool) {
	return func(yield func([]byte, error) bool) {
		buf := make([]byte, size)
		for {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			n, err := io.ReadFull(r, buf)
			if n > 0 && !yield(buf[:n], nil) {
				return
			}
			switch {
			case err == nil:
			case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
				return
			default:
				yield(nil, err)
				return
			}
		}
	}
}

func closeInto(err *error, c io.Closer) { *err = errors.Join(*err, c.Close()) }

func readAll(fsys vfs.FS, path string) (b []byte, err error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	defer closeInto(&err, f)
	return io.ReadAll(f)
}

// writeFile creates a file with the given content and syncs it, not its folder.
func writeFile(fsys vfs.FS, path string, content []byte) (err error) {
	f, err := fsys.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("colbertdb: creating %q: %w", path, err)
	}
	defer closeInto(&err, f)
	if _, err := f.Write(content); err != nil {
		return fmt.Errorf("colbertdb: writing %q: %w", path, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("colbertdb: syncing %q: %w", path, err)
	}
	return nil
}
