package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/vectorfile"
)

// Options say how an input is read. The zero value is ready to use.
type Options struct {
	// Format of the input. Default: Auto, by file name.
	Format Format
	// Prefix is put in front of every id. Default: none.
	Prefix string
	// Only are the parts of a folder to read: files and folders in it, relative to
	// it, with slashes. What is not there is left out. Default: all of it.
	Only []string
	// NoTitle leaves the titles of JSON lines out of their texts. Default: a title is
	// put before the text.
	NoTitle bool
	// MaxFileBytes bounds one file of a format that is read as a whole, and one
	// line of the others. Default: 64 MiB.
	MaxFileBytes int64
}

// Input is an opened file, folder or stream.
type Input struct {
	opts    Options
	source  string
	stdin   io.Reader
	root    string   // the folder, links followed; "" for others
	folders []string // that were walked
	files   []entry
	tree    *goTree // Format GoDoc
	total   int64
	done    atomic.Int64
	skipped int
}

// entry is one file to be read.
type entry struct {
	disk string // where it is; "" for standard input
	name string // Passage.Path
	form Format
	size int64
	err  error // it could not be looked at, for this reason
}

// Open prepares an input: the name of a file or folder, or "-" for stdin, which
// needs Options.Format. It lists folders and reads no file.
func Open(name string, o Options, stdin io.Reader) (*Input, error) {
	if o.MaxFileBytes == 0 {
		o.MaxFileBytes = 64 << 20
	}
	if o.Format == "" {
		o.Format = Auto
	}
	in := &Input{opts: o}
	if name == "-" {
		if o.Format == Auto || o.Format == GoDoc || o.Format == BEIR || o.Format.hasVectors() {
			return nil, errors.New("standard input needs --format text, markdown, html, code, jsonl or tsv")
		}
		in.source, in.stdin = "stdin", stdin
		in.files = []entry{{name: "stdin", form: o.Format}}
		return in, nil
	}
	abs, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(abs)
	if err != nil {
		return nil, err
	}
	in.source = filepath.ToSlash(abs)
	base := filepath.Base(abs)
	if abs, err = filepath.EvalSymlinks(abs); err != nil { // listing a folder does not follow the link to it
		return nil, err
	}
	switch {
	case !info.IsDir():
		form := o.Format
		if form == Auto {
			if form = Format(vectorfile.FormatOf(base)); !form.hasVectors() {
				form = FormatOf(base)
			}
			if form == Auto {
				form = Text
			}
		}
		if form == GoDoc || form == BEIR {
			return nil, fmt.Errorf("format %s needs a folder, %s is a file", form, name)
		}
		in.add(abs, base, form, info.Size())
	case o.Format == GoDoc:
		in.source = "go-doc:" + in.source
		in.tree, err = openGoTree(abs)
		if err == nil {
			in.total = in.tree.bytes
		}
	case o.Format == NPY || o.Format == Auto && vectorfile.FormatOf(abs) == vectorfile.NPY:
		if info, err = os.Stat(filepath.Join(abs, "docs.npy")); err == nil {
			in.add(abs, base, NPY, info.Size())
		}
	case o.Format.hasVectors():
		return nil, fmt.Errorf("format %s needs a file, %s is a folder", o.Format, name)
	case o.Format == BEIR || o.Format == Auto && isBEIR(abs):
		corpus := filepath.Join(abs, "corpus.jsonl")
		if info, err = os.Stat(corpus); err == nil {
			in.add(corpus, path.Join(base, "corpus.jsonl"), JSONL, info.Size())
		}
	default:
		in.root = abs
		err = in.walk(abs, base)
	}
	if err != nil {
		return nil, err
	}
	return in, nil
}

func (in *Input) add(disk, name string, form Format, size int64) {
	in.files = append(in.files, entry{disk: disk, name: name, form: form, size: size})
	in.total += size
}

func isBEIR(dir string) bool {
	for _, f := range []string{"corpus.jsonl", "queries.jsonl"} {
		if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
			return false
		}
	}
	return true
}

// Source names the input for later syncs: its absolute path, or "stdin".
func (in *Input) Source() string { return in.source }

// Files is the number of files that will be read.
func (in *Input) Files() int {
	if in.tree != nil {
		return len(in.tree.dirs)
	}
	return len(in.files)
}

// Root is the folder of files that is read, without links on the way to it; "" where
// the input is anything else.
func (in *Input) Root() string { return in.root }

// Base is the folder's name, with which the paths of its passages begin.
func (in *Input) Base() string { return path.Base(in.source) }

// Lines reports whether files are read line by line, which may bring vectors.
func (in *Input) Lines() bool { return in.opts.Format.lines() != nil }

// Folders are the folders that were looked into, as they are on disk.
func (in *Input) Folders() []string { return in.folders }

// Skipped is the number of files that a folder has and this input leaves out.
func (in *Input) Skipped() int { return in.skipped }

// Progress returns the bytes read so far and in all; total is 0 for a stream.
func (in *Input) Progress() (done, total int64) { return in.done.Load(), in.total }

// yieldFunc takes a passage or an error, and says whether to go on.
type yieldFunc func(Passage, error) bool

// Passages yields everything in the input, in the same order every time. An
// error that is a *Problem concerns one line or file and reading goes on after
// it; any other ends the sequence.
func (in *Input) Passages(ctx context.Context) iter.Seq2[Passage, error] {
	return func(yield func(Passage, error) bool) {
		seen := map[string]struct{}{}
		checked := func(p Passage, err error) bool {
			if e := ctx.Err(); e != nil {
				yield(Passage{}, e)
				return false
			}
			if err != nil {
				return yield(Passage{}, err)
			}
			p.ID = in.opts.Prefix + p.ID
			if _, dup := seen[p.ID]; dup {
				return yield(Passage{}, &Problem{p.Path, p.Line, fmt.Errorf("id %q occurs a second time; the first one stands", p.ID)})
			}
			seen[p.ID] = struct{}{}
			return yield(p, nil)
		}
		if in.tree != nil {
			in.tree.read(&in.done, checked)
			return
		}
		for i := range in.files {
			if !in.readEntry(&in.files[i], checked) {
				return
			}
		}
	}
}

func (in *Input) readEntry(e *entry, yield yieldFunc) bool {
	if e.err != nil {
		return yield(Passage{}, &Problem{e.name, 0, plainPathError(e.err)})
	}
	if e.form.hasVectors() {
		defer in.done.Add(e.size)
		return readVectorFile(e, yield)
	}
	var r io.Reader = in.stdin
	if e.disk != "" {
		f, err := os.Open(e.disk)
		if err != nil {
			return yield(Passage{}, &Problem{e.name, 0, plainPathError(err)})
		}
		defer f.Close()
		r = f
	}
	r = &countingReader{r, &in.done}
	if readLines := e.form.lines(); readLines != nil {
		l := newLineReader(r, e.name, in.opts.MaxFileBytes)
		l.noTitle = in.opts.NoTitle
		return readLines(l, yield)
	}
	data, err := io.ReadAll(io.LimitReader(r, in.opts.MaxFileBytes+1))
	switch {
	case err != nil:
		return yield(Passage{}, &Problem{e.name, 0, plainPathError(err)})
	case int64(len(data)) > in.opts.MaxFileBytes:
		return yield(Passage{}, &Problem{e.name, 0, fmt.Errorf("larger than %d bytes", in.opts.MaxFileBytes)})
	case isBinary(data):
		return yield(Passage{}, &Problem{e.name, 0, errors.New("not text")})
	}
	for _, p := range e.form.whole()(e.name, decodeText(data)) {
		if !yield(p, nil) {
			return false
		}
	}
	return true
}

// plainPathError drops the operation and path that os puts before an error.
func plainPathError(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

type countingReader struct {
	r io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// isBinary looks for NUL in the first bytes, as git does.
func isBinary(data []byte) bool {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return false // UTF-16 with its mark
	}
	return bytes.IndexByte(data[:min(len(data), 8000)], 0) >= 0
}

// decodeText honours a byte order mark, turns CRLF into LF, and replaces what
// is not UTF-8 by U+FFFD.
func decodeText(data []byte) string {
	if d, _, err := transform.Bytes(unicode.BOMOverride(transform.Nop), data); err == nil {
		data = d
	}
	s := string(data)
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if strings.Contains(s, "\r") {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	}
	return strings.ReplaceAll(s, "\x00", "")
}
