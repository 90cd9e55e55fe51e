package vectorfile

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/engine"
)

func documents(n int) []Document {
	r := rand.New(rand.NewPCG(1, 2))
	var out []Document
	for i := range n {
		d := Document{ID: fmt.Sprintf("doc é-%d", i), Vectors: engine.Matrix{Dim: 8}}
		for range (1 + r.IntN(9)) * 8 {
			d.Vectors.Data = append(d.Vectors.Data, float32(r.NormFloat64()))
		}
		if i%3 == 0 {
			d.Text = fmt.Sprintf("text of %d", i)
			d.Attributes = json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))
		}
		out = append(out, d)
	}
	return out
}

func name(f Format) string {
	if f == NPY {
		return "vectors"
	}
	return "vectors." + string(f)
}

func write(t testing.TB, path string, f Format, docs []Document) {
	t.Helper()
	w, err := Create(path, f, 8)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		if err := w.Add(d); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRoundTrip(t *testing.T) {
	docs := documents(100)
	for _, f := range []Format{NPY, NPZ, Safetensors, Parquet} {
		path := filepath.Join(t.TempDir(), name(f))
		write(t, path, f, docs)
		if got := FormatOf(path); got != f {
			t.Errorf("%s is taken for %q", path, got)
		}
		i := 0
		for d, err := range Read(path, f) {
			if err != nil {
				t.Fatal(err)
			}
			want := docs[i]
			if f != Parquet {
				want.Text, want.Attributes = "", nil
			}
			if !reflect.DeepEqual(d, want) {
				t.Fatalf("%s: document %d is %+v, want %+v", f, i, d, want)
			}
			i++
		}
		if i != len(docs) {
			t.Errorf("%s: %d of %d documents", f, i, len(docs))
		}
		for range Read(path, f) {
			break // a reader may stop
		}
	}
}

// Arrays apart, in the types that other programs use.
func TestApart(t *testing.T) {
	dir := t.TempDir()
	head, _ := json.Marshal(map[string]safetensorsEntry{
		"b": {"BF16", []int64{1, 8}, [2]int64{0, 16}},
		"a": {"F16", []int64{2, 8}, [2]int64{16, 48}},
	})
	body := strings.Repeat("\x80\x3f", 8) + strings.Repeat("\x00\x3c", 16) // 1.0 in both
	path := filepath.Join(dir, "x.safetensors")
	file := string([]byte{byte(len(head)), 0, 0, 0, 0, 0, 0, 0}) + string(head) + body
	if err := os.WriteFile(path, []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	var got []string
	for d, err := range Read(path, Safetensors) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(d.ID, d.Vectors.Len(), d.Vectors.Data[7]))
	}
	if fmt.Sprint(got) != "[b1 1 a2 1]" {
		t.Errorf("got %v", got)
	}
}

// What Python's libraries write is read, and what is written here they read.
func TestPython(t *testing.T) {
	python := os.Getenv("COLBERTDB_PYTHON")
	if python == "" {
		t.Skip("COLBERTDB_PYTHON names no Python with numpy, safetensors and pyarrow")
	}
	dir := t.TempDir()
	docs := documents(20)
	for _, f := range Formats {
		write(t, filepath.Join(dir, "go-"+name(f)), f, docs)
	}
	script := `
import json, sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from safetensors import safe_open
from safetensors.numpy import save_file
d = sys.argv[1]
rows = [json.loads(l) for l in open(d + "/go-vectors.jsonl")]
want = {r["id"]: np.array(r["vectors"], dtype=np.float32) for r in rows}
def packed(v, lens, ids):
    return dict(zip(ids, np.split(v, np.cumsum(lens)[:-1])))
def same(got):
    assert list(got) == list(want)
    for k in want: assert np.array_equal(np.float32(got[k]), want[k])
z = np.load(d + "/go-vectors.npz"); same(packed(z["vectors"], z["lengths"], z["ids"].tolist()))
f = d + "/go-vectors/"
same(packed(np.load(f + "docs.npy"), np.load(f + "doclens.npy"), open(f + "docids.txt").read().splitlines()))
with safe_open(d + "/go-vectors.safetensors", "np") as s:
    same(packed(s.get_tensor("vectors"), s.get_tensor("lengths"), json.loads(s.metadata()["ids"])))
t = pq.read_table(d + "/go-vectors.parquet").to_pylist()
same({r["id"]: np.array(r["vectors"], dtype=np.float32) for r in t})
assert [r["text"] for r in t] == [r.get("text") for r in rows]
np.savez_compressed(d + "/py-apart.npz", **want)
np.savez(d + "/py-packed.npz", vectors=np.concatenate(list(want.values())), lengths=np.array([len(v) for v in want.values()]), ids=np.array(list(want)))
np.save(d + "/py-cube.npy", np.stack([v[:1] for v in want.values()]))
save_file(want, d + "/py-apart.safetensors")
pq.write_table(pa.table({"id": list(want), "vectors": [v.tolist() for v in want.values()], "year": list(range(len(want)))}), d + "/py.parquet")
pq.write_table(pa.table({"id": list(want), "embeddings": pa.array([v.astype(np.float64).tolist() for v in want.values()]), "tag": ["x"] * len(want)}), d + "/py64.parquet", row_group_size=7)
`
	if out, err := exec.Command(python, "-c", script, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for file, f := range map[string]Format{
		"py-apart.npz": NPZ, "py-packed.npz": NPZ, "py-cube.npy": NPY, "py-apart.safetensors": Safetensors, "py.parquet": Parquet, "py64.parquet": Parquet,
	} {
		byID := map[string]Document{}
		for d, err := range Read(filepath.Join(dir, file), f) {
			if err != nil {
				t.Fatal(err)
			}
			byID[d.ID] = d
		}
		for i, want := range docs {
			id, vectors := want.ID, want.Vectors
			if f == NPY {
				id, vectors = fmt.Sprint(i), engine.Matrix{Dim: 8, Data: vectors.Data[:8]}
			}
			if got := byID[id]; !reflect.DeepEqual(got.Vectors, vectors) {
				t.Errorf("%s: document %q is %v, want %v", file, id, got.Vectors, vectors)
			}
		}
		if file == "py.parquet" && string(byID["doc é-3"].Attributes) != `{"year":3}` {
			t.Errorf("%s: attributes %s", file, byID["doc é-3"].Attributes)
		}
	}
}

// Damaged files are errors, not panics, whatever their headers say.
func TestMalformed(t *testing.T) {
	docs := documents(10)
	for _, f := range []Format{NPZ, Safetensors, Parquet} {
		dir := t.TempDir()
		path := filepath.Join(dir, name(f))
		write(t, path, f, docs)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, 7, 8, 100, len(whole) / 2, len(whole) - 1} {
			if err := os.WriteFile(path, whole[:n], 0o644); err != nil {
				t.Fatal(err)
			}
			if err := readAll(path, f); err == nil {
				t.Errorf("%s: the first %d of %d bytes were read", f, n, len(whole))
			}
		}
	}
	for what, head := range map[string]string{
		"a huge shape":       `{"x":{"dtype":"F32","shape":[9223372036854775807,8],"data_offsets":[0,32]}}`,
		"a negative shape":   `{"x":{"dtype":"F32","shape":[-1,8],"data_offsets":[0,32]}}`,
		"other offsets":      `{"x":{"dtype":"F32","shape":[1,8],"data_offsets":[32,0]}}`,
		"a type":             `{"x":{"dtype":"F4","shape":[1,8],"data_offsets":[0,32]}}`,
		"too many lengths":   `{"vectors":{"dtype":"F32","shape":[1,8],"data_offsets":[0,32]},"lengths":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`,
		"no tensor":          `{}`,
		"an odd dimension":   `{"x":{"dtype":"F32","shape":[8,1],"data_offsets":[0,32]}}`,
		"one dimension":      `{"x":{"dtype":"F32","shape":[8],"data_offsets":[0,32]}}`,
		"ids that are wrong": `{"__metadata__":{"ids":"7"},"x":{"dtype":"F32","shape":[1,8],"data_offsets":[0,32]}}`,
	} {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		file := string([]byte{byte(len(head)), 0, 0, 0, 0, 0, 0, 0}) + head + strings.Repeat("\x01", 32)
		if err := os.WriteFile(path, []byte(file), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := readAll(path, Safetensors); err == nil {
			t.Errorf("%s was read", what)
		}
	}
}

func readAll(path string, f Format) error {
	for _, err := range Read(path, f) {
		if err != nil {
			return err
		}
	}
	return nil
}

func FuzzRead(f *testing.F) {
	docs := documents(5)
	for i, format := range []Format{NPZ, Safetensors, Parquet} {
		path := filepath.Join(f.TempDir(), name(format))
		write(f, path, format, docs)
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), b)
	}
	f.Fuzz(func(t *testing.T, i uint8, b []byte) {
		format := []Format{NPZ, Safetensors, Parquet}[i%3]
		path := filepath.Join(t.TempDir(), name(format))
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		_ = readAll(path, format)
	})
}
