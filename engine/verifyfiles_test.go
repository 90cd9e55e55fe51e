package engine_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// contents reads every file under dir.
func contents(t testing.TB, fsys vfs.FS, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	names, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		p := fsys.PathJoin(dir, n)
		info, err := fsys.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			for k, v := range contents(t, fsys, p) {
				out[k] = v
			}
			continue
		}
		f, err := fsys.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		out[p] = b
	}
	return out
}

// storeOf makes a file system with these files.
func storeOf(t testing.TB, files map[string][]byte) vfs.FS {
	t.Helper()
	mem := vfs.NewMem()
	fill(t, mem, files)
	return mem
}

// fill writes files, as contents returned them, to a file system.
func fill(t testing.TB, mem vfs.FS, files map[string][]byte) {
	t.Helper()
	for p, b := range files {
		if err := mem.MkdirAll(path.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := mem.Create(p, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write(slices.Clone(b)) // the file system of tests may change what it is given
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// found opens a store and verifies it: what is wrong, and whether it was found
// to be damage.
func found(t testing.TB, fsys vfs.FS, dir string) (report *engine.VerifyReport, err error) {
	t.Helper()
	db, err := engine.Open(ctx, dir, &engine.Options{FS: fsys, ReadOnly: true, MustExist: true})
	if err != nil {
		return nil, err
	}
	report, err = db.Verify(ctx)
	if cerr := db.Close(); cerr != nil {
		t.Fatal(cerr)
	}
	return report, err
}

// richStore is a store with every kind of file and value: segments with
// codebooks, delete sets, documents in the log; closed in order.
func richStore(t testing.TB) (*vfs.MemFS, model) {
	t.Helper()
	mem := vfs.NewMem()
	o := small()
	o.DisableAutoCompaction = true
	db := mustOpen(t, mem, o)
	col := mustCollection(t, db, engine.CollectionConfig{Profile: engine.Balanced, RetainRaw: true})
	h := &history{changes: map[uint64]change{}}
	r := rand.New(rand.NewPCG(12, 12))
	more := func(n int) {
		for range n {
			if _, err := h.change(col, r, 200); err != nil {
				t.Fatal(err)
			}
		}
	}
	more(200)
	if err := col.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	more(60)
	if err := col.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	more(30)
	if col.Info().Cells == 0 {
		t.Fatal("no codebook: the test has no power")
	}
	mustClose(t, db)
	return mem, h.at(h.acked)
}

// Every flipped byte that a checksum covers is found: by Open, or by Verify. In
// a checkpoint that is every byte of every file.
func TestVerifyFindsEveryByte(t *testing.T) {
	perFile := 12
	if thorough() {
		perFile = 2000
	}
	mem, want := richStore(t)
	db := mustOpen(t, mem, &engine.Options{})
	if _, err := db.Checkpoint(ctx, "ck"); err != nil {
		t.Fatal(err)
	}
	mustClose(t, db)
	r := rand.New(rand.NewPCG(13, 13))
	for _, dir := range []string{"db", "ck"} {
		files := contents(t, mem, dir)
		report, err := found(t, storeOf(t, files), dir)
		if err != nil || !report.Ok() || report.TornBytes != 0 || report.Files == 0 {
			t.Fatalf("%s is not clean: %+v, %v", dir, report, err)
		}
		flips, unseen := map[string]int{}, map[string]int{}
		manifest := ""
		for p := range files {
			if strings.HasPrefix(path.Base(p), "MANIFEST-") {
				manifest = max(manifest, p)
			}
		}
		for p, b := range files {
			if strings.HasPrefix(path.Base(p), "MANIFEST-") && p != manifest {
				continue // superseded, not yet removed
			}
			kind := path.Ext(p)
			if kind == "" || len(path.Base(p)) > 20 {
				kind, _, _ = strings.Cut(path.Base(p), "-")
			}
			for i := range flipsOf(len(b), perFile) {
				at := r.IntN(len(b))
				if len(b) <= 3*perFile {
					at = i
				}
				bad := slices.Clone(b)
				bad[at] ^= 1 << r.IntN(8)
				changed := map[string][]byte{}
				for q, c := range files {
					changed[q] = c
				}
				changed[p] = bad
				fsys := storeOf(t, changed)
				report, err := found(t, fsys, dir)
				flips[kind]++
				switch {
				case err != nil && errors.Is(err, engine.ErrCorruption):
				case err != nil && kind != "OPTIONS":
					t.Errorf("%s: byte %d of %d: %v", p, at, len(b), err)
				case err != nil || !report.Ok() || report.TornBytes > 0:
				case dir == "ck":
					t.Errorf("%s: byte %d of %d: flipped and not found", p, at, len(b))
				default:
					// Nothing covers it: then it must not matter.
					unseen[kind]++
					ck, err := engine.Open(ctx, dir, &engine.Options{FS: fsys, ReadOnly: true})
					if err != nil {
						t.Fatal(err)
					}
					col, err := ck.Collection("test")
					if err != nil {
						t.Fatalf("%s: byte %d of %d: %v", p, at, len(b), err)
					}
					want.checkSame(t, col)
					if err := ck.Close(); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		t.Logf("%s: flipped %v, of no effect %v", dir, flips, unseen)
		if unseen[".sst"]+unseen["MANIFEST"] > 0 {
			t.Errorf("flips in sstables or the manifest were not found: %v", unseen)
		}
	}
}

// flipsOf is how many bytes of a file are flipped: small ones are gone through.
func flipsOf(size, perFile int) int {
	if size <= 3*perFile {
		return size
	}
	return perFile
}
