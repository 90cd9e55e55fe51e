// Command colbertdb is the colbertdb engine of peers.py.
//
//	colbertdb PROFILE build  VECTORS INDEX
//	colbertdb PROFILE search VECTORS INDEX K EFFORT   every query alone, then all at once
//	colbertdb PROFILE add    VECTORS INDEX N          N documents, one by one
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/npy"
)

func main() {
	out, err := run(context.Background(), os.Args[1:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "colbertdb:", err)
		os.Exit(1)
	}
}

// answer is what peers.py reads: times in milliseconds.
type answer struct {
	Built    float64   `json:"build_s,omitempty"`
	Version  string    `json:"version,omitempty"`
	Times    []float64 `json:"ms,omitempty"`
	Rankings [][]int   `json:"rankings,omitempty"`
	Batch    float64   `json:"batch_s,omitempty"`
}

func run(ctx context.Context, args []string) (out *answer, err error) {
	if len(args) < 4 {
		return nil, errors.New("usage: PROFILE build|search|add VECTORS INDEX …")
	}
	profile, err := engine.ParseProfile(args[0])
	if err != nil {
		return nil, err
	}
	verb, vectors, more := args[1], args[2], args[4:]
	db, err := engine.Open(ctx, args[3], nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	switch {
	case verb == "build":
		return build(ctx, db, profile, vectors)
	case verb == "search" && len(more) == 2:
		return search(ctx, db, vectors, more[0], more[1])
	case verb == "add" && len(more) == 1:
		return add(ctx, db, vectors, more[0])
	}
	return nil, fmt.Errorf("%q with %d arguments", verb, len(more))
}

const name = "peers"

func build(ctx context.Context, db *engine.Engine, profile engine.Profile, vectors string) (*answer, error) {
	docs, err := read(vectors, "docs", "doclens")
	if err != nil {
		return nil, err
	}
	start := time.Now()
	col, err := db.CreateCollection(ctx, name, engine.CollectionConfig{Dim: docs[0].Dim, Profile: profile})
	if err != nil {
		return nil, err
	}
	tokens := int64(0)
	for _, d := range docs {
		tokens += int64(d.Len())
	}
	load, err := col.Bulk(ctx, engine.BulkOptions{ExpectedTokens: tokens})
	if err != nil {
		return nil, err
	}
	for i, d := range docs {
		if err := load.Add(ctx, engine.Document{ID: strconv.Itoa(i), Vectors: d}); err != nil {
			return nil, errors.Join(err, load.Close())
		}
	}
	if err := errors.Join(load.Commit(ctx), load.Close()); err != nil {
		return nil, err
	}
	if err := col.Compact(ctx); err != nil { // calibrates too
		return nil, err
	}
	return &answer{Built: time.Since(start).Seconds(), Version: profile.String()}, nil
}

func search(ctx context.Context, db *engine.Engine, vectors, k, effort string) (*answer, error) {
	queries, err := read(vectors, "queries", "querylens")
	if err != nil {
		return nil, err
	}
	col, err := db.Collection(name)
	if err != nil {
		return nil, err
	}
	req := engine.SearchRequest{}
	if req.K, err = strconv.Atoi(k); err != nil {
		return nil, err
	}
	if req.Effort, err = engine.ParseEffort(effort); err != nil {
		return nil, err
	}
	reqs := make([]engine.SearchRequest, len(queries))
	for i, q := range queries {
		reqs[i] = req
		reqs[i].Vectors = q
	}
	for _, r := range reqs[:min(10, len(reqs))] { // warm
		if _, err := col.Search(ctx, r); err != nil {
			return nil, err
		}
	}
	out := &answer{}
	for _, r := range reqs {
		start := time.Now()
		found, err := col.Search(ctx, r)
		if err != nil {
			return nil, err
		}
		out.Times = append(out.Times, ms(start))
		var ranking []int
		for _, h := range found.Hits {
			n, err := strconv.Atoi(h.ID)
			if err != nil {
				return nil, err
			}
			ranking = append(ranking, n)
		}
		out.Rankings = append(out.Rankings, ranking)
	}
	start := time.Now()
	const batch = 16 // more share no more: a pass is bound by its products
	for i := 0; i < len(reqs); i += batch {
		if _, err := col.SearchBatch(ctx, reqs[i:min(i+batch, len(reqs))]); err != nil {
			return nil, err
		}
	}
	out.Batch = ms(start) / 1000
	return out, nil
}

func add(ctx context.Context, db *engine.Engine, vectors, n string) (*answer, error) {
	docs, err := read(vectors, "docs", "doclens")
	if err != nil {
		return nil, err
	}
	count, err := strconv.Atoi(n)
	if err != nil {
		return nil, err
	}
	col, err := db.Collection(name)
	if err != nil {
		return nil, err
	}
	out := &answer{}
	for i, d := range docs[:count] {
		start := time.Now()
		if _, err := col.Upsert(ctx, engine.Document{ID: fmt.Sprint("new-", i), Vectors: d}); err != nil {
			return nil, err
		}
		out.Times = append(out.Times, ms(start)) // durable, and found by the next search
	}
	return out, nil
}

func ms(since time.Time) float64 { return float64(time.Since(since)) / 1e6 }

// read returns the matrices of a folder's file of vectors.
func read(folder, file, lens string) ([]engine.Matrix, error) {
	data, h, err := npy.ReadFloats(filepath.Join(folder, file+".npy"))
	if err != nil {
		return nil, err
	}
	ns, err := npy.ReadInts(filepath.Join(folder, lens+".npy"))
	if err != nil {
		return nil, err
	}
	dim := h.Shape[len(h.Shape)-1]
	var out []engine.Matrix
	for _, n := range ns {
		out = append(out, engine.Matrix{Dim: dim, Data: data[:n*dim]})
		data = data[n*dim:]
	}
	if len(data) > 0 {
		return nil, fmt.Errorf("%s: %d numbers after the last one of %s", file, len(data), lens)
	}
	return out, nil
}
