// Command interop compares imported indexes with the programs that made them: the
// packages in Python and Rust index a folder of vectors and rank all queries with
// their own exact scoring (plaid.py); colbertdb imports the indexes, asks the same
// queries, and exports them again.
//
//	python3 -m venv V && V/bin/pip install -r scripts/interop/requirements.txt
//	go run ./scripts/interop --python V/bin/python --vectors DIR [--work DIR] stanford-2 fast-plaid-4 …
//
// DIR is a folder of vectors as `colbertdb bench --vectors` keeps them. An argument is
// a form of index and its bits. Indexes and rankings in --work are used again.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/npy"
	"github.com/colbertdb-go/colbertdb/segment/plaid"
)

func main() {
	python := flag.String("python", "python3", "Python with the packages")
	vectors := flag.String("vectors", "", "folder of vectors")
	work := flag.String("work", "", "folder that keeps indexes; default: a temporary one")
	flag.Parse()
	if err := run(*python, *vectors, *work, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

func run(python, vectors, work string, kinds []string) (err error) {
	if vectors == "" || len(kinds) == 0 {
		return errors.New("give --vectors and forms, such as stanford-2")
	}
	tmp, err := os.MkdirTemp("", "interop-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	work = cmp.Or(work, tmp)
	queries, err := readQueries(vectors)
	if err != nil {
		return err
	}
	ids, err := os.ReadFile(filepath.Join(vectors, "docids.txt"))
	if err != nil {
		return err
	}
	c := &comparison{python: python, vectors: vectors, work: work, tmp: tmp, queries: queries, ids: strings.Fields(string(ids))}
	fmt.Printf("%s: %d documents, %d queries\n\n", filepath.Base(vectors), len(c.ids), len(queries))
	fmt.Println("| index | centroids | its files | imported in | store | top 10, exact | top 10, default effort | top 10, high effort | ms a query, exact / default | exported again |\n|---|---|---|---|---|---|---|---|---|---|")
	for _, k := range kinds {
		if err := c.compare(k); err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
	}
	return nil
}

// readQueries reads the queries of a folder of vectors.
func readQueries(dir string) (out []engine.Matrix, err error) {
	flat, h, err := npy.ReadFloats(filepath.Join(dir, "queries.npy"))
	if err != nil {
		return nil, err
	}
	lens, err := npy.ReadInts(filepath.Join(dir, "querylens.npy"))
	dim := h.Shape[len(h.Shape)-1]
	for _, n := range lens {
		out = append(out, engine.Matrix{Dim: dim, Data: flat[:n*dim]})
		flat = flat[n*dim:]
	}
	return out, err
}

type comparison struct {
	python, vectors, work, tmp string
	queries                    []engine.Matrix
	ids                        []string // by document number
}

// program runs plaid.py.
func (c *comparison) program(args ...string) ([]byte, error) {
	cmd := exec.Command(c.python, append([]string{"scripts/interop/plaid.py"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, stderr.String()[max(0, stderr.Len()-2000):])
	}
	return stdout.Bytes(), nil
}

// ranked returns the program's own exact top 10 of every query.
func (c *comparison) ranked(form, index string) (out [][]string, err error) {
	file := index + ".ranked.json"
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if b, err = c.program("rank", form, index, c.vectors); err == nil {
			b = b[max(0, bytes.LastIndexByte(bytes.TrimSpace(b), '\n')):] // after what the packages print
			err = os.WriteFile(file, b, 0o644)
		}
	}
	if err != nil {
		return nil, err
	}
	var hits [][][2]any
	if err := json.Unmarshal(b, &hits); err != nil {
		return nil, err
	}
	for _, list := range hits {
		var ids []string
		for _, h := range list {
			ids = append(ids, fmt.Sprint(h[0]))
		}
		out = append(out, ids)
	}
	return out, nil
}

// compare prints the row of one index.
func (c *comparison) compare(kind string) (err error) {
	i := strings.LastIndexByte(kind, '-')
	form, bits := kind[:max(i, 0)], kind[i+1:]
	if _, err := plaid.ParseForm(form); err != nil {
		return err
	}
	index := filepath.Join(c.work, filepath.Base(c.vectors)+"-"+kind)
	if _, err := os.Stat(index); err != nil {
		if _, err := c.program("build", form, bits, c.vectors, index); err != nil {
			return err
		}
	}
	want, err := c.ranked(form, index)
	if err != nil {
		return err
	}
	ctx := context.Background()
	db, err := engine.Open(ctx, filepath.Join(c.tmp, kind), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	start := time.Now()
	res, err := db.ImportPLAID(ctx, "c", index, &engine.ImportOptions{Describe: func(n int, d *engine.Document) error {
		d.ID = c.ids[n]
		return nil
	}})
	if err != nil {
		return err
	}
	took := time.Since(start)
	col, err := db.Collection("c")
	if err != nil {
		return err
	}
	var cells []string
	var ms []string
	for _, req := range []engine.SearchRequest{{Exact: true}, {}, {Effort: engine.EffortHigh}} {
		start, same, all := time.Now(), 0, 0
		for q, vectors := range c.queries {
			req.Vectors, req.K = vectors, 10
			got, err := col.Search(ctx, req)
			if err != nil {
				return err
			}
			for _, h := range got.Hits {
				if slices.Contains(want[q], h.ID) {
					same++
				}
			}
			all += len(want[q])
		}
		cells = append(cells, fmt.Sprintf("%.4f", float64(same)/float64(all)))
		ms = append(ms, fmt.Sprintf("%.1f", float64(time.Since(start).Microseconds())/1000/float64(len(c.queries))))
	}
	again, err := c.exported(ctx, col, form, index)
	if err != nil {
		return err
	}
	fmt.Printf("| %s, %s bits | %d | %.1f MB | %.1f s | %.1f MB | %s | %s | %s | %s | %s |\n", form, bits, res.Centroids, megabytes(index), took.Seconds(),
		float64(col.Info().Bytes)/1e6, cells[0], cells[1], cells[2], strings.Join(ms[:2], " / "), again)
	return nil
}

// exported writes the collection again and compares codes and bits.
func (c *comparison) exported(ctx context.Context, col *engine.Collection, form, index string) (string, error) {
	dir := filepath.Join(c.tmp, "out-"+filepath.Base(index))
	if _, err := col.ExportPLAID(ctx, dir, form); err != nil {
		return "", err
	}
	a, err := plaid.Open(index)
	if err != nil {
		return "", err
	}
	b, err := plaid.Open(dir)
	if err != nil {
		return "", err
	}
	var want [][]byte
	for d, err := range a.Each(ctx) {
		if err != nil {
			return "", err
		}
		want = append(want, bytes.Clone(d.Records))
	}
	n := 0
	for d, err := range b.Each(ctx) {
		if err != nil {
			return "", err
		}
		if n >= len(want) || !bytes.Equal(d.Records, want[n]) {
			return fmt.Sprintf("differs at document %d", n), nil
		}
		n++
	}
	if n != len(want) {
		return fmt.Sprintf("%d of %d documents", n, len(want)), nil
	}
	return "bit by bit", nil
}

// megabytes is the size of an index's codebook, codes and residuals.
func megabytes(dir string) (mb float64) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name := filepath.Base(path)
		if err == nil && !d.IsDir() && !strings.HasPrefix(name, "merged_") && !strings.HasPrefix(name, "embeddings") {
			if info, err := d.Info(); err == nil {
				mb += float64(info.Size()) / 1e6
			}
		}
		return nil
	})
	return mb
}
