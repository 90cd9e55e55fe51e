package ingest

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// walk lists the files of a folder that are worth reading. It leaves out hidden
// files and folders (version control among them), dependencies, what .gitignore
// names, links, and files of unknown kind. Line-based data files are read only
// when Options.Format asks for them: a folder's logs and tables are rarely
// passages.
func (in *Input) walk(root, base string) error {
	rules := ignoreRules{}
	return filepath.WalkDir(root, func(disk string, d fs.DirEntry, err error) error {
		if err != nil {
			if disk == root {
				return err
			}
			in.skipped++
			return nil
		}
		rel, err := filepath.Rel(root, disk)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		hidden := rel != "." && strings.HasPrefix(d.Name(), ".")
		if d.IsDir() {
			if hidden || skippedDirs[d.Name()] && rel != "." || rel != "." && rules.ignored(rel, true) {
				return fs.SkipDir
			}
			if data, err := os.ReadFile(filepath.Join(disk, ".gitignore")); err == nil {
				rules.add(rel, string(data))
			}
			return nil
		}
		form := FormatOf(d.Name())
		wanted := form == in.opts.Format
		if in.opts.Format == Auto {
			wanted = form != Auto && form != JSONL && form != TSV
		}
		if hidden || !wanted || !d.Type().IsRegular() || rules.ignored(rel, false) {
			in.skipped++
			return nil
		}
		info, err := d.Info()
		if err != nil || info.Size() == 0 || info.Size() > in.opts.MaxFileBytes && form.lines() == nil || binaryFile(disk) {
			in.skipped++
			return nil
		}
		in.add(disk, path.Join(base, rel), form, info.Size())
		return nil
	})
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
