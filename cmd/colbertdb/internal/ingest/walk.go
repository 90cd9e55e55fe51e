package ingest

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// walker lists the files of a folder that are worth reading. It leaves out hidden
// files and folders (version control among them), dependencies, what .gitignore
// names, links, and files of unknown kind. Line-based data files are read only
// when Options.Format asks for them: a folder's logs and tables are rarely
// passages.
type walker struct {
	in         *Input
	root, base string
	rules      ignoreRules
}

// walk lists the folder, or the parts of it that Options.Only names.
func (in *Input) walk(root, base string) error {
	if in.opts.Only == nil {
		w := walker{in: in, root: root, base: base}
		return filepath.WalkDir(root, w.visit)
	}
	for _, rel := range outermost(in.opts.Only) {
		w := walker{in: in, root: root, base: base}
		if !w.enterAbove(rel) {
			continue
		}
		if err := filepath.WalkDir(filepath.Join(root, filepath.FromSlash(rel)), w.visit); err != nil {
			return err
		}
	}
	return nil
}

// outermost drops the paths that are below others.
func outermost(paths []string) (out []string) {
	for _, p := range paths {
		if p = path.Clean(p); !slices.ContainsFunc(paths, func(q string) bool { q = path.Clean(q); return q != p && Below(p, q) }) && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// Below reports whether a path is another, or in that folder; both relative, "." is
// the root.
func Below(p, folder string) bool {
	return p == folder || folder == "." || strings.HasPrefix(p, folder+"/")
}

// enterAbove reads the rules of the folders that a path lies in, and reports whether
// a walk from the root would have come to it.
func (w *walker) enterAbove(rel string) bool {
	if rel == "." {
		return true
	}
	dir := "."
	for {
		info, err := os.Lstat(filepath.Join(w.root, filepath.FromSlash(dir)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.unlisted(dir, err)
		}
		if err != nil || !info.IsDir() || !w.enter(dir) {
			return false
		}
		rest := strings.TrimPrefix(rel, dir+"/")
		if dir == "." {
			rest = rel
		}
		name, _, deeper := strings.Cut(rest, "/")
		if !deeper {
			return true
		}
		dir = path.Join(dir, name)
	}
}

// enter reports whether a folder is walked, and reads its rules.
func (w *walker) enter(rel string) bool {
	name := path.Base(rel)
	if rel != "." && (strings.HasPrefix(name, ".") || skippedDirs[name] || w.rules.ignored(rel, true)) {
		return false
	}
	disk := filepath.Join(w.root, filepath.FromSlash(rel))
	if data, err := os.ReadFile(filepath.Join(disk, ".gitignore")); err == nil {
		w.rules.add(rel, string(data))
	}
	w.in.folders = append(w.in.folders, disk)
	return true
}

// unlisted notes a file or folder that could not be looked at: it, and what is in it,
// may be there still.
func (w *walker) unlisted(rel string, err error) {
	w.in.files = append(w.in.files, entry{name: path.Join(w.base, rel), err: err})
}

// visit is called by filepath.WalkDir.
func (w *walker) visit(disk string, d fs.DirEntry, err error) error {
	in := w.in
	if err != nil {
		if disk == w.root {
			return err
		}
		if errors.Is(err, fs.ErrNotExist) { // gone since its folder was listed
			return nil
		}
	}
	rel, rerr := filepath.Rel(w.root, disk)
	if rerr != nil {
		return rerr
	}
	rel = filepath.ToSlash(rel)
	if err != nil {
		w.unlisted(rel, err)
		return nil
	}
	if d.IsDir() {
		if !w.enter(rel) {
			return fs.SkipDir
		}
		return nil
	}
	form := FormatOf(d.Name())
	wanted := form == in.opts.Format
	if in.opts.Format == Auto {
		wanted = form != Auto && form != JSONL && form != TSV
	}
	if strings.HasPrefix(d.Name(), ".") || !wanted || !d.Type().IsRegular() || w.rules.ignored(rel, false) {
		in.skipped++
		return nil
	}
	info, err := d.Info()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.unlisted(rel, err)
		return nil
	}
	if err != nil || info.Size() == 0 || info.Size() > in.opts.MaxFileBytes && form.lines() == nil || binaryFile(disk) {
		in.skipped++
		return nil
	}
	in.add(disk, path.Join(w.base, rel), form, info.Size())
	return nil
}

// skippedDirs hold other people's files, or files made from these.
var skippedDirs = map[string]bool{"node_modules": true, "vendor": true, "__pycache__": true, "testdata": true, "third_party": true, "CVS": true}

func binaryFile(disk string) bool {
	f, err := os.Open(disk)
	if err != nil {
		return false // reading it will say why
	}
	defer f.Close()
	head := make([]byte, 8000)
	n, _ := f.Read(head)
	return isBinary(head[:n])
}
