package plaid

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pickles that a reader which executes them would suffer from.
func TestPickleExecutesNothing(t *testing.T) {
	for name, p := range map[string]string{
		"os.system":        "\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.",
		"eval":             "\x80\x04\x8c\x08builtins\x8c\x04eval\x93X\x01\x00\x00\x001\x85R.",
		"an object":        "\x80\x02ccollections\nOrderedDict\n)\x81.",
		"an object's dict": "\x80\x02ccollections\nOrderedDict\n)R}b.",
		"INST":             "(iposix\nsystem\n.",
		"OBJ":              "(cposix\nsystem\no.",
		"unknown storage":  "\x80\x02ctorch\nBadStorage\n.",
		"a storage":        "\x80\x02ctorch\nFloatStorage\n)R.",
	} {
		if v, err := unpickle([]byte(p)); err == nil {
			t.Errorf("%s gave %v", name, v)
		} else if !strings.Contains(err.Error(), "refused") && !errors.Is(err, errPickle) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPickleValues(t *testing.T) {
	for p, want := range map[string]any{
		"\x80\x02K\x07.":                          int64(7),
		"\x80\x02J\xff\xff\xff\xff.":              int64(-1),
		"\x80\x02\x8a\x01\xff.":                   int64(-1),
		"\x80\x02\x8a\x00.":                       int64(0),
		"\x80\x02\x8a\x02\x00\x01.":               int64(256),
		"\x80\x04\x8c\x02hi\x94.":                 "hi",
		"\x80\x02G?\xf0\x00\x00\x00\x00\x00\x00.": 1.0,
		"\x80\x02\x88.":                           true,
		"\x80\x02N.":                              nil,
	} {
		if got, err := unpickle([]byte(p)); err != nil || got != want {
			t.Errorf("%q gave %v, %v; want %v", p, got, err, want)
		}
	}
}

// copyOf copies a golden folder.
func copyOf(t testing.TB, name string) string {
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func replaceFile(t testing.TB, dir, name string, change func([]byte) []byte) {
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o644); err != nil {
		t.Fatal(err)
	}
}

func with(old, new string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
}

// Malformed folders are errors that name the file and what is wrong.
func TestMalformedFolders(t *testing.T) {
	for name, c := range map[string]struct {
		golden, file string
		change       func([]byte) []byte
		want         string
	}{
		"a length too many": {"stanford-2", "doclens.0.json", with("[", "[3,"), "0.codes.pt: 169 rows for the 172"},
		"a negative length": {"stanford-2", "doclens.0.json", with("[8", "[-8"), "document 0 has -8"},
		"lengths of text":   {"fast-plaid-2", "doclens.0.json", func([]byte) []byte { return []byte(`"x"`) }, "doclens.0.json"},
		"no chunks":         {"fast-plaid-2", "metadata.json", with("num_chunks", "chunks"), "num_chunks"},
		"three bits":        {"fast-plaid-2", "metadata.json", with(`"nbits": 2`, `"nbits": 3`), "3 bits"},
		"four bits":         {"stanford-2", "metadata.json", with(`"nbits": 2`, `"nbits": 4`), "cutoffs for 4 bits"},
		"another dimension": {"stanford-2", "metadata.json", with(`"dim": 16`, `"dim": 32`), "metadata.json says 32"},
		"other tokens":      {"next-plaid-2", "metadata.json", with(`"num_embeddings": 349`, `"num_embeddings": 350`), "metadata.json says 350"},
		"binary":            {"next-plaid-2", "metadata.json", with(`"binary": false`, `"binary": true`), "binary"},
		"a type":            {"fast-plaid-2", "0.residuals.npy", with("<u1", "<i1"), "want 4 bytes a token vector, have i1"},
		"float codes":       {"fast-plaid-2", "0.codes.npy", with("<i8", "<f8"), "want integers"},
		"a shape":           {"fast-plaid-2", "0.codes.npy", with("(349,)", "(348,)"), "does not fit"},
		"a huge shape":      {"fast-plaid-2", "centroids.npy", with("(256,16,), }", "(9999999999,9999999999,), }"), "centroids.npy"},
		"not a number":      {"fast-plaid-2", "bucket_weights.npy", func(b []byte) []byte { return append(b[:len(b)-4], 0, 0, 0xc0, 0x7f) }, "NaN"},
		"a cut file":        {"stanford-2", "0.residuals.pt", func(b []byte) []byte { return b[:len(b)/2] }, "0.residuals.pt"},
		"an old file":       {"stanford-2", "centroids.pt", func([]byte) []byte { return []byte("\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.") }, "PyTorch 1.6"},
		"an id too many":    {"pylate-4", idsFile, with("line-1", "line-2"), "have the id"},
		"no ids":            {"pylate-4", idsFile, func([]byte) []byte { return []byte("\x80\x02}.") }, "has no id"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyOf(t, c.golden)
			replaceFile(t, dir, c.file, c.change)
			err := readAll(dir)
			if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something about %q", err, c.want)
			}
		})
	}
	if err := readAll(t.TempDir()); !errors.Is(err, ErrFormat) {
		t.Errorf("an empty folder: %v", err)
	}
}

func readAll(dir string) error {
	x, err := Open(dir)
	if err != nil {
		return err
	}
	for _, err := range x.Each(context.Background()) {
		if err != nil {
			return err
		}
	}
	return nil
}

// A code beyond the centroids is found while the documents are read.
func TestCodeBeyondCentroids(t *testing.T) {
	dir := copyOf(t, "fast-plaid-2")
	replaceFile(t, dir, "0.codes.npy", func(b []byte) []byte { b[len(b)-7] = 1; return b })
	if err := readAll(dir); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "centroid") {
		t.Errorf("got %v", err)
	}
}

func FuzzUnpickle(f *testing.F) {
	for _, golden := range []string{"stanford-2/buckets.pt", "stanford-2/0.codes.pt"} {
		z, err := zip.OpenReader(filepath.Join("testdata", golden))
		if err != nil {
			f.Fatal(err)
		}
		for _, e := range z.File {
			if strings.HasSuffix(e.Name, "data.pkl") {
				r, _ := e.OpenRaw()
				b := make([]byte, e.UncompressedSize64)
				_, _ = r.Read(b)
				f.Add(b)
			}
		}
		z.Close()
	}
	ids, _ := os.ReadFile(filepath.Join("testdata/pylate-4", idsFile))
	f.Add(ids)
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := unpickle(b)
		if d, ok := v.(*dict); ok && err == nil {
			_, _ = byNumber(d, 64)
		}
	})
}

// FuzzFolder changes one file of a golden folder.
func FuzzFolder(f *testing.F) {
	files := []string{
		"stanford-2/0.codes.pt", "stanford-2/buckets.pt", "stanford-2/metadata.json", "stanford-2/doclens.1.json", "stanford-2/centroids.pt",
		"fast-plaid-2/0.codes.npy", "fast-plaid-2/centroids.npy", "next-plaid-2/metadata.json", "pylate-4/" + idsFile,
	}
	for i, name := range files {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), b)
	}
	f.Fuzz(func(t *testing.T, i uint8, b []byte) {
		golden, file, _ := strings.Cut(files[int(i)%len(files)], "/")
		dir := copyOf(t, golden)
		replaceFile(t, dir, file, func([]byte) []byte { return b })
		if err := readAll(dir); err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("an error of another kind: %v", err)
		}
	})
}
