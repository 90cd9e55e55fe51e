package hub

import (
	"cmp"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Manifest says what a fetched folder is.
type Manifest struct {
	Name     string    `json:"name"`
	Revision string    `json:"revision"` // that was asked for
	Commit   string    `json:"commit"`
	License  string    `json:"license,omitempty"`
	Fetched  time.Time `json:"fetched"`
	Files    []File    `json:"files"`
}

// Size returns the bytes of all files.
func (m *Manifest) Size() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// manifestName is hidden, so that it is no part of the model.
const manifestName = ".colbertdb-model"

// CacheFolder is where models are kept where nothing else is said.
func CacheFolder() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "colbertdb", "models"), nil
}

func (c *Client) folder(name, commit string) string {
	return filepath.Join(c.Cache, filepath.FromSlash(name), commit)
}

func readManifest(dir string) (*Manifest, error) {
	b, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return nil, err
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrHub, filepath.Join(dir, manifestName), err)
	}
	return &m, nil
}

func writeManifest(dir string, m Manifest) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, manifestName)
	if err := os.WriteFile(path+".part", append(b, '\n'), 0o666); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// contains reports whether a folder has all of some files.
func contains(have, want []File) bool {
	return !slices.ContainsFunc(want, func(f File) bool { return !slices.Contains(have, f) })
}

// Entry is a folder of the cache.
type Entry struct {
	Manifest
	Dir     string
	Partial bool  // a pull of it has not ended
	Bytes   int64 // on the disk
}

// List returns the folders of a cache, by name and newest first. A cache that is
// not there is empty.
func List(cache string) ([]Entry, error) {
	dirs, err := filepath.Glob(filepath.Join(globQuote(cache), "*", "*", "*"))
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, dir := range dirs {
		rel, err := filepath.Rel(cache, dir)
		if err != nil {
			return nil, err
		}
		parts := strings.Split(filepath.ToSlash(rel), "/")
		commit, partial := strings.CutSuffix(parts[2], ".partial")
		if !commitPattern.MatchString(commit) {
			continue // somebody else's
		}
		e := Entry{Manifest: Manifest{Name: parts[0] + "/" + parts[1], Commit: commit}, Dir: dir, Partial: partial}
		if !partial {
			m, err := readManifest(dir)
			if err != nil {
				return nil, err
			}
			e.Manifest = *m
		}
		if e.Bytes, err = sizeOf(dir); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), b.Fetched.Compare(a.Fetched))
	})
	return out, nil
}

func sizeOf(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

func globQuote(s string) string {
	if filepath.Separator == '\\' {
		return s // no quoting there
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// Find returns the folder that was fetched for a reference: the newest of its
// revision, or the one of a commit or its beginning.
func Find(cache string, ref Ref) (Entry, error) {
	all, err := List(cache)
	if err != nil {
		return Entry{}, err
	}
	for _, e := range all {
		if e.Name == ref.Name && !e.Partial && e.names(ref.Revision) {
			return e, nil
		}
	}
	return Entry{}, fmt.Errorf("%w: %s is not in %s; colbertdb model pull %s fetches it", ErrHub, ref, cache, strings.TrimSuffix(ref.String(), "@main"))
}

func (e *Entry) names(revision string) bool {
	return e.Revision == revision || len(revision) >= 7 && strings.HasPrefix(e.Commit, revision)
}

// Remove removes the folders that were fetched for a model, or for one revision of
// it, with those that are not complete, and returns what it removed.
func Remove(cache, name, revision string) ([]Entry, error) {
	all, err := List(cache)
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, e := range all {
		if e.Name != name || revision != "" && !e.names(revision) {
			continue
		}
		// Never half a folder under a whole one's name.
		gone := e.Dir
		if !e.Partial {
			gone += ".partial"
			if err := errors.Join(os.RemoveAll(gone), os.Rename(e.Dir, gone)); err != nil {
				return out, err
			}
		}
		if err := os.RemoveAll(gone); err != nil {
			return out, err
		}
		out = append(out, e)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: %s is not in %s", ErrHub, strings.TrimSuffix(name+"@"+revision, "@"), cache)
	}
	for _, dir := range []string{filepath.Join(cache, filepath.FromSlash(name)), filepath.Join(cache, filepath.Dir(filepath.FromSlash(name)))} {
		if left, err := os.ReadDir(dir); err == nil && len(left) == 0 {
			if err := os.Remove(dir); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

// check compares a file on the disk with what the hub says of it.
func (f File) check(path string) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close() // it was only read
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if info.Size() != f.Size {
		return fmt.Errorf("it has %d bytes, the hub says %d", info.Size(), f.Size)
	}
	var h hash.Hash
	want := f.SHA256
	if want != "" {
		h = sha256.New()
	} else {
		h, want = sha1.New(), f.Blob
		fmt.Fprintf(h, "blob %d\x00", f.Size)
	}
	if _, err := io.Copy(h, in); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("its checksum is %s, the hub says %s", got, want)
	}
	return nil
}
