package reliability

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// R14: a store of every released format opens, holds what it held, is sound,
// takes writes and opens again. testdata/store-v<format>.tar.gz is the fixed
// workload as that format's program left it on disk, with a log to be replayed;
// COLBERTDB_GOLDEN=write writes that of today's format.
func TestR14StoresOfEveryFormat(t *testing.T) {
	want := State{}
	for _, op := range fixedWorkload() {
		want.Apply(op)
	}
	if os.Getenv("COLBERTDB_GOLDEN") == "write" {
		writeGoldenStore(t)
	}
	stores, err := filepath.Glob("testdata/store-v*.tar.gz")
	if err != nil || len(stores) != engine.FormatVersion {
		t.Fatalf("%d stores of %d formats: %v", len(stores), engine.FormatVersion, err)
	}
	for _, name := range stores {
		t.Run(filepath.Base(name), func(t *testing.T) {
			disk := untar(t, name)
			state := want.Clone()
			for _, op := range []Op{
				{},
				{Kind: Upsert, Collection: "a", Docs: []engine.Document{{ID: "new", Text: "after the upgrade", Vectors: engine.Matrix{Dim: 8, Data: []float32{1, 2, 3, 4, 5, 6, 7, 8}}}}},
				{Kind: Delete, Collection: "b", IDs: []string{"d020"}},
				{Kind: CompactAll},
			} {
				db, closed, err := openTracked(disk, fixedOptions())
				if err != nil {
					t.Fatal(err)
				}
				if op.Collection != "" || op.Kind != Upsert {
					_, err = op.Run(ctx, db)
					state.Apply(op)
				}
				if err := errors.Join(err, Check(ctx, db, state), closed()); err != nil {
					t.Fatalf("%s: %v", op, err)
				}
			}
		})
	}
}

// writeGoldenStore runs the fixed workload and keeps the files.
func writeGoldenStore(t *testing.T) {
	disk := vfs.NewMem()
	db, closed, err := openTracked(disk, fixedOptions())
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range fixedWorkload() {
		if _, err := op.Run(ctx, db); err != nil {
			t.Fatal(errors.Join(err, closed()))
		}
	}
	if err := closed(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	zw, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	tw := tar.NewWriter(zw)
	addFiles(t, tw, disk, "db")
	if err := errors.Join(tw.Close(), zw.Close(), os.WriteFile("testdata/store-v1.tar.gz", out.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func addFiles(t *testing.T, w *tar.Writer, fs vfs.FS, dir string) {
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		p := fs.PathJoin(dir, n)
		info, err := fs.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			addFiles(t, w, fs, p)
			continue
		}
		f, err := fs.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		err = errors.Join(err, f.Close(), w.WriteHeader(&tar.Header{Name: p, Mode: 0o644, Size: int64(len(b))}))
		if err == nil {
			_, err = w.Write(b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// untar lays a golden store on a disk.
func untar(t *testing.T, name string) *vfs.MemFS {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	zr, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	disk := vfs.NewMem()
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return disk
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err == nil {
			err = disk.MkdirAll(path.Dir(h.Name), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		f, err := disk.Create(h.Name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write(b)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
