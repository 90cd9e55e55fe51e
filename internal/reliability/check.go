package reliability

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/colbertdb-go/colbertdb/engine"
)

// Match returns which of the candidates a store holds, by the documents' ids,
// texts and attributes, or how it differs from each.
func Match(ctx context.Context, db *engine.Engine, candidates ...State) (int, error) {
	got := map[string]map[string]*engine.Document{}
	for _, info := range db.Collections() {
		docs, err := documents(ctx, db, info.Name, engine.WithoutVectors())
		if err != nil {
			return 0, err
		}
		got[info.Name] = docs
	}
	var why []string
	for i, s := range candidates {
		d := s.differs(got)
		if d == "" {
			return i, nil
		}
		why = append(why, d)
	}
	return 0, fmt.Errorf("the store equals none of %d states: %s", len(candidates), strings.Join(why, "; or "))
}

func (s State) differs(got map[string]map[string]*engine.Document) string {
	for name, c := range s {
		if got[name] == nil {
			return fmt.Sprintf("collection %q is missing", name)
		}
		if d := c.diff(got[name]); d != "" {
			return fmt.Sprintf("collection %q: %s", name, d)
		}
	}
	for name := range got {
		if s[name] == nil {
			return fmt.Sprintf("collection %q should not be there", name)
		}
	}
	return ""
}

func documents(ctx context.Context, db *engine.Engine, name string, opts ...engine.ScanOption) (map[string]*engine.Document, error) {
	col, err := db.Collection(name)
	if err != nil {
		return nil, err
	}
	out := map[string]*engine.Document{}
	for d, err := range col.All(ctx, opts...) {
		if err != nil {
			return nil, fmt.Errorf("collection %q: %w", name, err)
		}
		if out[d.ID] != nil {
			return nil, fmt.Errorf("collection %q: document %q twice", name, d.ID)
		}
		out[d.ID] = d
	}
	return out, nil
}

// Check compares a store with the model: every document by scan and by Get,
// its vectors, an exact search over everything against brute force over the
// original vectors, counts, and Verify.
func Check(ctx context.Context, db *engine.Engine, want State) error {
	if _, err := Match(ctx, db, want); err != nil {
		return err
	}
	for name, c := range want {
		if err := c.check(ctx, db, name); err != nil {
			return fmt.Errorf("collection %q (%s, raw %t): %w", name, c.Config.Profile, c.Config.RetainRaw, err)
		}
	}
	return Verify(ctx, db)
}

// Verify runs the store's own check.
func Verify(ctx context.Context, db *engine.Engine) error {
	r, err := db.Verify(ctx)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if err := errors.Join(r.Problems...); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}

func (c *CollectionState) check(ctx context.Context, db *engine.Engine, name string) error {
	col, err := db.Collection(name)
	if err != nil {
		return err
	}
	if info := col.Info(); info.Documents != int64(len(c.Docs)) {
		return fmt.Errorf("info says %d documents, want %d", info.Documents, len(c.Docs))
	}
	got, err := documents(ctx, db, name)
	if err != nil {
		return err
	}
	for id, want := range c.Docs {
		one, err := col.Get(ctx, id)
		if err != nil {
			return fmt.Errorf("get %q: %w", id, err)
		}
		if one.Text != want.Text || string(one.Attributes) != string(want.Attributes) {
			return fmt.Errorf("get %q: %.60q, want %.60q", id, one.Text, want.Text)
		}
		for _, d := range []*engine.Document{one, got[id]} {
			if err := c.close(d.Vectors, want.Vectors.Normalized()); err != nil {
				return fmt.Errorf("vectors of %q: %w", id, err)
			}
		}
	}
	return c.checkSearch(ctx, col)
}

// lossless reports whether scores are those of the originals but for int8.
func (c *CollectionState) lossless() bool {
	return c.Config.RetainRaw || c.Config.Profile == engine.Exact
}

// close compares stored vectors with the originals: as near as int8 is, or, of
// residual codes, much nearer than another document's would be.
func (c *CollectionState) close(got, want engine.Matrix) error {
	if got.Len() != want.Len() {
		return fmt.Errorf("%d tokens, want %d", got.Len(), want.Len())
	}
	var sum float64
	for i := range got.Len() {
		cos := dot(got.Row(i), want.Row(i))
		if c.lossless() && (cos < 0.98 || cos > 1.02) {
			return fmt.Errorf("token %d has cosine %.3f with what was written", i, cos)
		}
		sum += cos
	}
	if mean := sum / float64(got.Len()); mean < 0.6 {
		return fmt.Errorf("mean cosine %.3f with what was written", mean)
	}
	return nil
}

// checkSearch compares an exact search for everything with brute force.
func (c *CollectionState) checkSearch(ctx context.Context, col *engine.Collection) error {
	if len(c.Docs) == 0 {
		return nil
	}
	r := rand.New(rand.NewPCG(77, 1))
	q := (&Generator{R: r, Dim: c.Config.Dim}).Vectors(3)
	res, err := col.Search(ctx, engine.SearchRequest{Vectors: q, K: len(c.Docs) + 5, Exact: true})
	if err != nil {
		return fmt.Errorf("search: %w", err)
	}
	if err := c.CheckHits(q, res); err != nil {
		return fmt.Errorf("search: %w", err)
	}
	return nil
}

// CheckHits compares the result of an exact search for every document with
// brute force over the vectors as they were written.
func (c *CollectionState) CheckHits(q engine.Matrix, res *engine.SearchResult) error {
	if len(res.Hits) != len(c.Docs) {
		return fmt.Errorf("%d hits, want %d", len(res.Hits), len(c.Docs))
	}
	tolerance := 0.05 * float64(q.Len())
	if !c.lossless() {
		tolerance = 0.45 * float64(q.Len())
	}
	unit := q.Normalized()
	seen := map[string]bool{}
	for i, h := range res.Hits {
		d := c.Docs[h.ID]
		if d == nil || d.Text != h.Text || string(d.Attributes) != string(h.Attributes) || seen[h.ID] {
			return fmt.Errorf("hit %d is %q (%.60q), which the model has not", i, h.ID, h.Text)
		}
		seen[h.ID] = true
		if want := MaxSim(unit, d.Vectors.Normalized()); math.Abs(want-float64(h.Score)) > tolerance {
			return fmt.Errorf("%q scores %v, brute force %v", h.ID, h.Score, want)
		}
	}
	if !slices.IsSortedFunc(res.Hits, func(a, b engine.Hit) int {
		if a.Score != b.Score {
			if a.Score > b.Score {
				return -1
			}
			return 1
		}
		return strings.Compare(a.ID, b.ID)
	}) {
		return errors.New("hits are out of order")
	}
	return nil
}

// MaxSim is the sum over the query's tokens of the greatest dot product with a
// token of the document.
func MaxSim(q, d engine.Matrix) float64 {
	var sum float64
	for i := range q.Len() {
		best := math.Inf(-1)
		for j := range d.Len() {
			best = max(best, dot(q.Row(i), d.Row(j)))
		}
		sum += best
	}
	return sum
}

func dot(a, b []float32) float64 {
	var s float64
	for i, x := range a {
		s += float64(x) * float64(b[i])
	}
	return s
}
