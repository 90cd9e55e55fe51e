package codec

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/colbertdb-go/colbertdb/internal/pace"
)

// A codebook can be extended for documents of a kind that it does not know. The
// result begins with its cells and has its levels, so that whatever was encoded
// with it keeps its bytes and its meaning; the routing likewise begins with its
// centroids, so that posting lists keep theirs.
//
//	cells      0 … n-1 as before │ n … n+k-1 for the new kind
//	centroids  0 … m-1 as before │ m … inside the new cells

// ErrExtend is wrapped by the reasons why a codebook cannot be extended: it has
// to be trained anew.
var ErrExtend = errors.New("colbertdb: the codebook cannot be extended")

const (
	// extendLimit is how many times the cells that a collection's size calls for
	// an extended codebook may have: every search scores them all.
	extendLimit = 4
	// tokensPerNewCell is twice tokensPerCell: with four bits the number of cells
	// matters little, and those of before are there too.
	tokensPerNewCell = 2 * tokensPerCell
	fewestNewCells   = 16
	// levelsReach bounds the ratio of the range of levels that the new residuals
	// call for to that of the codebook's. Too wide a range only costs resolution.
	levelsReach = 1.4
)

// Extend adds cells and centroids for the tokens of a sample that lie farther
// from their cells than is usual. Options.TotalTokens is the size of the whole
// collection; Cells, Centroids and Distortion do not count.
func Extend(ctx context.Context, cb *Codebook, rt *Routing, sample Matrix, o TrainOptions) (*Codebook, *Routing, error) {
	if sample.Dim != cb.Dim {
		return nil, nil, fmt.Errorf("%w: sample has dimension %d, the codebook %d", ErrDimension, sample.Dim, cb.Dim)
	}
	t, err := newTrainer(ctx, sample, &o)
	if err != nil {
		return nil, nil, err
	}
	if t.cells, err = t.assign(ctx, t.all(), cb.units); err != nil {
		return nil, nil, err
	}
	train, heldOut := t.split()
	far, err := t.farFrom(ctx, cb, sample, train)
	if err != nil {
		return nil, nil, err
	}
	k := min(max(len(far)/tokensPerNewCell, min(fewestNewCells, len(far)/8)), extendLimit*DesignCells(o.TotalTokens)-cb.NumCells(), maxCells-cb.NumCells())
	if k < 1 {
		return nil, nil, fmt.Errorf("%w: %d cells, %d of %d tokens far from them", ErrExtend, cb.NumCells(), len(far), t.n)
	}
	r := rand.New(rand.NewPCG(o.Seed, 3))
	if limit := k * trainPointsPerCell; len(far) > limit {
		r.Shuffle(len(far), func(i, j int) { far[i], far[j] = far[j], far[i] })
		far = far[:limit]
	}
	means, err := t.kmeans(ctx, far, k, o.Iterations, r)
	if err != nil {
		return nil, nil, err
	}
	out := cb.extended(means)
	out.ID = o.CodebookID
	if t.cells, err = t.assign(ctx, t.all(), out.units); err != nil {
		return nil, nil, err
	}
	if err := t.checkLevels(out, sample); err != nil {
		return nil, nil, err
	}
	t.residualNorms(out, sample, heldOut, 0)
	// Documents of both kinds are to come.
	out.ResidualNorm, out.ResidualP95 = max(out.ResidualNorm, cb.ResidualNorm), max(out.ResidualP95, cb.ResidualP95)
	more, err := t.extendRouting(ctx, rt, out, o)
	return out, more, err
}

// farFrom returns the points that lie farther from their cells than is usual.
func (t *trainer) farFrom(ctx context.Context, cb *Codebook, sample Matrix, points []int32) (far []int32, err error) {
	for n, i := range points {
		if n%1024 == 0 {
			if err := pace.Point(ctx); err != nil {
				return nil, err
			}
		}
		if t.residualNorm(cb, sample, i) > float64(cb.ResidualNorm) {
			far = append(far, i)
		}
	}
	return far, nil
}

// extended is the codebook with more cells, [k][dim] in int8 units. They are kept
// within the range of the others, which fixes the exponent that all share.
func (cb *Codebook) extended(means []float32) *Codebook {
	out := *cb
	limit := float64(min(maxCell, 127*int(cb.step())))
	out.Cells = append(slices.Clip(cb.Cells), make([]int16, len(means))...)
	for i, x := range means {
		out.Cells[len(cb.Cells)+i] = int16(max(-limit, min(limit, math.RoundToEven(float64(x)*fraction))))
	}
	out.deriveCells()
	return &out
}

// checkLevels compares the codebook's levels with those that the sample calls for.
func (t *trainer) checkLevels(cb *Codebook, sample Matrix) error {
	own := *cb
	t.residuals(&own, sample)
	have, want := float64(cb.Levels[15])-float64(cb.Levels[0]), float64(own.Levels[15])-float64(own.Levels[0])
	if want > levelsReach*have {
		return fmt.Errorf("%w: its levels span %.0f, the new residuals call for %.0f", ErrExtend, have, want)
	}
	return nil
}

// extendRouting adds the centroids of the cells that rt does not have.
func (t *trainer) extendRouting(ctx context.Context, rt *Routing, cb *Codebook, o TrainOptions) (*Routing, error) {
	known := rt.NumCells()
	fresh := &trainer{dim: t.dim}
	for i, c := range t.cells {
		if int(c) >= known {
			fresh.points = append(fresh.points, t.point(int32(i))...)
			fresh.cells = append(fresh.cells, c-int32(known))
		}
	}
	fresh.n = len(fresh.cells)
	cells := &Codebook{ID: cb.ID, Dim: cb.Dim, Cells: cb.Cells[known*cb.Dim:], units: cb.units[known*cb.Dim:]}
	o.Centroids = max(cells.NumCells(), fresh.n/tokensPerCentroid)
	more, err := fresh.routing(ctx, cells, o)
	if err != nil {
		return nil, err
	}
	first := uint32(rt.NumCentroids())
	out := &Routing{ID: o.RoutingID, CodebookID: cb.ID, Dim: rt.Dim, Start: slices.Clip(rt.Start), Centroids: append(slices.Clip(rt.Centroids), more.Centroids...)}
	for _, s := range more.Start[1:] {
		out.Start = append(out.Start, first+s)
	}
	return out, nil
}

// For returns the routing as one of a codebook that extends its own: without
// centroids in the cells that it does not know. It is false where it is none.
func (r *Routing) For(cb *Codebook) (*Routing, bool) {
	more := cb.NumCells() - r.NumCells()
	if r.CodebookID == cb.ID && more == 0 {
		return r, true
	}
	if r.CodebookID >= cb.ID || more <= 0 {
		return nil, false
	}
	out := *r
	out.CodebookID = cb.ID
	out.Start = slices.Clip(r.Start)
	for range more {
		out.Start = append(out.Start, uint32(r.NumCentroids()))
	}
	return &out, true
}
