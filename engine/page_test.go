package engine_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/engine"
)

// Pages of any size, with a filter and without, give what All gives, through
// segments, buffers and deletes.
func TestPages(t *testing.T) {
	r := rand.New(rand.NewPCG(43, 1))
	db := mustOpen(t, vfs.NewMem(), small())
	col := mustCollection(t, db, engine.CollectionConfig{})
	f, err := engine.ParseFilter("n >= 20 and n < 90")
	if err != nil {
		t.Fatal(err)
	}
	for step := range 150 {
		if _, err := col.Upsert(ctx, document(r, r.IntN(120)), document(r, r.IntN(120))); err != nil {
			t.Fatal(err)
		}
		if step%4 == 0 {
			if _, err := col.Delete(ctx, document(r, r.IntN(120)).ID); err != nil {
				t.Fatal(err)
			}
		}
		if step%10 != 0 {
			continue
		}
		for _, filter := range []*engine.Filter{nil, f} {
			var want, got []string
			for d, err := range col.All(ctx, engine.WithoutVectors()) {
				if err != nil {
					t.Fatal(err)
				}
				if filter != nil {
					if ok, err := filter.Match(d.Attributes); err != nil {
						t.Fatal(err)
					} else if !ok {
						continue
					}
				}
				want = append(want, d.ID+d.Text+string(d.Attributes))
			}
			for after, first := uint64(0), true; first || after != 0; first = false {
				n := 1 + r.IntN(30)
				p, err := col.Page(ctx, engine.PageOptions{After: after, Limit: n, Filter: filter, WithoutVectors: true})
				if err != nil {
					t.Fatal(err)
				}
				if len(p.Documents) > n || p.Next != 0 && len(p.Documents) != n {
					t.Fatalf("page of %d has %d documents, next %d", n, len(p.Documents), p.Next)
				}
				for _, d := range p.Documents {
					got = append(got, d.ID+d.Text+string(d.Attributes))
				}
				after = p.Next
			}
			if !slices.Equal(got, want) {
				t.Fatalf("step %d: pages differ from All: %s", step, cmp.Diff(want, got))
			}
		}
	}
	mustClose(t, db)
}
