package watch

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func folders(t *testing.T, root string) (out []string) {
	t.Helper()
	do(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			out = append(out, p)
		}
		return err
	}))
	return out
}

// What is created, written, renamed and removed is named, however the reports are
// grouped; hidden files are not, and rules stand for their folder.
func TestParts(t *testing.T) {
	root := t.TempDir()
	do(t, os.MkdirAll(filepath.Join(root, "a", "b"), 0o700))
	f, err := Open(root, 5*time.Millisecond)
	do(t, err)
	defer f.Close()
	if added, err := f.Watch(folders(t, root)); err != nil || !added {
		t.Fatal(added, err)
	}
	if added, err := f.Watch(folders(t, root)); err != nil || added {
		t.Fatal("a second time", added, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	wanted := map[string]bool{} // so far: of one change there may be two reports
	met := func(want ...string) {
		t.Helper()
		seen := map[string]bool{}
		for _, w := range want {
			wanted[w] = true
		}
		for slices.ContainsFunc(want, func(w string) bool { return !seen[w] }) {
			parts, err := f.Next(ctx)
			if err != nil {
				t.Fatalf("%v; met %v, want %v", err, seen, want)
			}
			for _, p := range parts {
				if !wanted[p] {
					t.Errorf("%q has not changed", p)
				}
				seen[p] = true
			}
		}
	}
	write := func(name string) { do(t, os.WriteFile(filepath.Join(root, name), []byte("text"), 0o600)) }
	write("a/b/new.txt")
	met("a/b/new.txt")
	write("a/.new.txt.swp")
	write("a/b/new.txt")
	write("one.txt")
	met("a/b/new.txt", "one.txt")
	do(t, os.Rename(filepath.Join(root, "one.txt"), filepath.Join(root, "a", "two.txt")))
	met("one.txt", "a/two.txt")
	write("a/.gitignore")
	met("a")
	do(t, os.Remove(filepath.Join(root, "a", "two.txt")))
	met("a/two.txt")

	// A folder under another name is known under that one.
	do(t, os.Rename(filepath.Join(root, "a", "b"), filepath.Join(root, "c")))
	met("a/b", "c")
	if added, err := f.Watch(folders(t, root)); err != nil || !added {
		t.Fatal(added, err)
	}
	write("c/later.txt")
	met("c/later.txt")

	do(t, os.RemoveAll(root))
	for err == nil {
		_, err = f.Next(ctx)
	}
	if !errors.Is(err, ErrGone) {
		t.Error(err)
	}
}

func TestFoldersThatAreGone(t *testing.T) {
	root := t.TempDir()
	f, err := Open(root, time.Millisecond)
	do(t, err)
	defer f.Close()
	if added, err := f.Watch([]string{filepath.Join(root, "none")}); added || err != nil {
		t.Error(added, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := f.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
