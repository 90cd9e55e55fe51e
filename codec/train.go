package codec

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/colbertdb-go/colbertdb/internal/pace"
	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// TrainOptions configure Train and TrainRouting. The zero value is ready to use.
type TrainOptions struct {
	// TotalTokens is the number of token vectors that the collection has, of
	// which the sample is a part. Default: the sample's.
	TotalTokens int64
	// Cells and Centroids are the sizes of the two levels. Default:
	// DesignCells and DesignCentroids of TotalTokens.
	Cells, Centroids int
	// Iterations of k-means for cells; centroids get two thirds. Default: 6.
	Iterations int
	// Seed makes training repeatable: the same on any number of cores.
	Seed uint64
	// Distortion is the mean squared error of the sample's vectors, as Distortion
	// estimates it: the vectors to come lie that much farther from the cells.
	Distortion float64
	// CodebookID and RoutingID name the results.
	CodebookID, RoutingID uint32
}

const (
	tokensPerCell      = 48
	tokensPerCentroid  = 64
	designMaxCells     = 4096
	designMinCentroids = 1024
	designMaxCentroids = 1 << 21
	trainPointsPerCell = 128
	residualSampleSize = 1 << 20
	allotExponent      = 0.75
)

// DesignCells is the number of cells for a collection of that many tokens:
// min(4096, 2^⌊log2(tokens ÷ 48)⌋), so that they stay in the second-level cache.
func DesignCells(tokens int64) int {
	return max(1, min(designMaxCells, 1<<max(0, int(math.Floor(math.Log2(float64(max(tokens, 1))/tokensPerCell))))))
}

// DesignCentroids is the number of fine centroids: about 64 tokens each, a
// power of two between 1,024 and 2^21.
func DesignCentroids(tokens int64) int {
	n := 1 << max(0, int(math.Round(math.Log2(float64(max(tokens, 1))/tokensPerCentroid))))
	return max(designMinCentroids, min(designMaxCentroids, n))
}

func (o TrainOptions) withDefaults(sample Matrix) TrainOptions {
	if o.TotalTokens == 0 {
		o.TotalTokens = int64(sample.Len())
	}
	if o.Cells == 0 {
		o.Cells = DesignCells(o.TotalTokens)
	}
	if o.Centroids == 0 {
		o.Centroids = DesignCentroids(o.TotalTokens)
	}
	if o.Iterations == 0 {
		o.Iterations = 6
	}
	return o
}

// Train makes both levels of a codebook from a sample of token vectors by
// spherical k-means. The result depends on the sample and the options only.
func Train(ctx context.Context, sample Matrix, o TrainOptions) (*Codebook, *Routing, error) {
	t, err := newTrainer(ctx, sample, &o)
	if err != nil {
		return nil, nil, err
	}
	r := rand.New(rand.NewPCG(o.Seed, 1))
	points, heldOut := t.split()
	cells := min(o.Cells, len(points), maxCells)
	if limit := cells * trainPointsPerCell; len(points) > limit {
		r.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		points = points[:limit]
	}
	means, err := t.kmeans(ctx, points, cells, o.Iterations, r)
	if err != nil {
		return nil, nil, err
	}
	cb := &Codebook{ID: o.CodebookID, Dim: t.dim, Cells: make([]int16, len(means))}
	for i, x := range means {
		cb.Cells[i] = int16(max(-maxCell, min(maxCell, math.RoundToEven(float64(x)*fraction))))
	}
	cb.deriveCells()
	if t.cells, err = t.assign(ctx, t.all(), cb.units); err != nil {
		return nil, nil, err
	}
	t.residuals(cb, sample)
	t.residualNorms(cb, sample, heldOut, o.Distortion)
	rt, err := t.routing(ctx, cb, o)
	return cb, rt, err
}

// TrainRouting makes the second level anew for an existing codebook.
func TrainRouting(ctx context.Context, cb *Codebook, sample Matrix, o TrainOptions) (*Routing, error) {
	if sample.Dim != cb.Dim {
		return nil, fmt.Errorf("%w: sample has dimension %d, the codebook %d", ErrDimension, sample.Dim, cb.Dim)
	}
	o.CodebookID = cb.ID
	t, err := newTrainer(ctx, sample, &o)
	if err != nil {
		return nil, err
	}
	if t.cells, err = t.assign(ctx, t.all(), cb.units); err != nil {
		return nil, err
	}
	return t.routing(ctx, cb, o)
}

// Largest values of cells and levels, in codebook units: their sum stays
// within int16.
const (
	maxCell  = 20000
	maxLevel = 12000
)

// assignBlocks is how many blocks of sixteen points share a pass over the rows.
const assignBlocks = 8

// trainer holds the sample as int8 at IntScale.
type trainer struct {
	dim, n int
	points []int8
	cells  []int32 // of each point
}

func newTrainer(ctx context.Context, sample Matrix, o *TrainOptions) (*trainer, error) {
	if err := sample.Validate(); err != nil {
		return nil, fmt.Errorf("training sample: %w", err)
	}
	*o = o.withDefaults(sample)
	t := &trainer{dim: sample.Dim, n: sample.Len(), points: make([]int8, len(sample.Data))}
	row := Matrix{Dim: t.dim} // one at a time: samples are large
	for i := range t.n {
		if i%1024 == 0 {
			if err := pace.Point(ctx); err != nil {
				return nil, err
			}
		}
		row.Data = sample.Row(i)
		simd.QuantizeInt8(t.points[i*t.dim:(i+1)*t.dim], row.Normalized().Data, IntScale(t.dim))
	}
	return t, nil
}

func (t *trainer) all() []int32 {
	out := make([]int32, t.n)
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

// split sets one point in sixteen aside: residual norms are measured on points
// that k-means did not see, since it brings the cells nearer to its own points
// than to any to come. They are set aside in long runs, because tokens of one
// document are alike: a run that ends in the middle of a document knows the other
// half.
func (t *trainer) split() (train, heldOut []int32) {
	const share, longest, fewest = 16, 4096, 512
	if t.n < fewest {
		return t.all(), t.all()
	}
	run := max(1, min(longest, t.n/(4*share)))
	for i := range t.n {
		if i/run%share == share-1 {
			heldOut = append(heldOut, int32(i))
		} else {
			train = append(train, int32(i))
		}
	}
	return train, heldOut
}

// residualNorms measures the distribution that drift is compared with.
func (t *trainer) residualNorms(cb *Codebook, sample Matrix, heldOut []int32, distortion float64) {
	stride := max(1, len(heldOut)*t.dim/residualSampleSize)
	var norms []float32
	for at := 0; at < len(heldOut); at += stride {
		norm := t.residualNorm(cb, sample, heldOut[at])
		norms = append(norms, float32(math.Sqrt(norm*norm+distortion)))
	}
	slices.Sort(norms)
	cb.ResidualNorm = float32(mean(norms))
	cb.ResidualP95 = norms[len(norms)*95/100]
}

// residualNorm is the distance of a point from its cell.
func (t *trainer) residualNorm(cb *Codebook, sample Matrix, i int32) float64 {
	scale := codebookScale(t.dim)
	row := Matrix{Dim: t.dim, Data: sample.Row(int(i))}
	cell := cb.cell8(int(t.cells[i]))
	var norm float64
	for d, x := range row.Normalized().Data {
		res := float64(x*scale - float32(cell[d])*cb.step())
		norm += res * res
	}
	return math.Sqrt(norm / float64(scale*scale))
}

func (t *trainer) point(i int32) []int8 { return t.points[int(i)*t.dim : (int(i)+1)*t.dim] }

// kmeans clusters points into k true means, [k][dim] in int8 units. Sums are
// integers, so that the order of adding does not matter.
func (t *trainer) kmeans(ctx context.Context, points []int32, k, iterations int, r *rand.Rand) ([]float32, error) {
	dim := t.dim
	means := make([]float32, k*dim)
	seeds := r.Perm(len(points))
	for c := range k {
		for d, x := range t.point(points[seeds[c]]) {
			means[c*dim+d] = float32(x)
		}
	}
	units := make([]int8, k*dim)
	sums := make([]int64, k*dim)
	counts := make([]int, k)
	for range iterations {
		unitRows(units, means, dim)
		assigned, err := t.assign(ctx, points, units)
		if err != nil {
			return nil, err
		}
		clear(sums)
		clear(counts)
		for i, c := range assigned {
			counts[c]++
			sum := sums[int(c)*dim : (int(c)+1)*dim]
			for d, x := range t.point(points[i]) {
				sum[d] += int64(x)
			}
		}
		for c := range k {
			mean := means[c*dim : (c+1)*dim]
			if counts[c] == 0 { // reseed from anywhere
				for d, x := range t.point(points[r.IntN(len(points))]) {
					mean[d] = float32(x)
				}
				continue
			}
			for d := range mean {
				mean[d] = float32(float64(sums[c*dim+d]) / float64(counts[c]))
			}
		}
	}
	return means, nil
}

// unitRows writes means, [k][dim], as int8 unit vectors.
func unitRows(dst []int8, means []float32, dim int) {
	scale := float64(IntScale(dim))
	for at := 0; at < len(means); at += dim {
		var norm float64
		for _, x := range means[at : at+dim] {
			norm += float64(x) * float64(x)
		}
		inv := scale / math.Sqrt(max(norm, 1e-12))
		for d, x := range means[at : at+dim] {
			dst[at+d] = int8(max(-127, min(127, math.RoundToEven(float64(x)*inv))))
		}
	}
}

// assign finds the best row for each point, on all cores.
func (t *trainer) assign(ctx context.Context, points []int32, rows []int8) ([]int32, error) {
	out := make([]int32, len(points))
	blocks := (len(points) + simd.Lanes - 1) / simd.Lanes
	err := parallel(ctx, blocks, func(from, to int) {
		var packed, vectors []int8
		var best, ids [assignBlocks][simd.Lanes]int32
		for first := from * simd.Lanes; first < min(to*simd.Lanes, len(points)); first += assignBlocks * simd.Lanes {
			last := min(first+assignBlocks*simd.Lanes, to*simd.Lanes, len(points))
			vectors = vectors[:0]
			for _, p := range points[first:last] {
				vectors = append(vectors, t.point(p)...)
			}
			packed = packLanes(packed, vectors, t.dim)
			blocks := blocksOf(last - first)
			argmaxAll(packed, rows, t.dim, best[:blocks], ids[:blocks])
			for b := range blocks {
				copy(out[first+b*simd.Lanes:last], ids[b][:])
			}
		}
	})
	return out, err
}

// parallel runs f over ranges of [0, n) on all cores, until ctx ends.
func parallel(ctx context.Context, n int, f func(from, to int)) error {
	const chunk = 64
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := 0
	for range min(pace.Workers(ctx), (n+chunk-1)/chunk) {
		wg.Go(func() {
			for pace.Point(ctx) == nil {
				mu.Lock()
				from := next
				next += chunk
				mu.Unlock()
				if from >= n {
					return
				}
				f(from, min(from+chunk, n))
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// residuals sets the levels of the residual code from a sample of components.
// Plane A has the four levels of least squared error, and plane B splits each
// of the four by the same rule. Equally likely levels, as ColBERTv2 has them,
// spend most of their resolution near zero and have about twice the error.
func (t *trainer) residuals(cb *Codebook, sample Matrix) {
	stride := max(1, t.n*t.dim/residualSampleSize)
	var values []float32
	scale := codebookScale(t.dim)
	row := Matrix{Dim: t.dim}
	for i := 0; i < t.n; i += stride {
		row.Data = sample.Row(i)
		unit := row.Normalized()
		cell := cb.cell8(int(t.cells[i]))
		for d, x := range unit.Data {
			values = append(values, x*scale-float32(cell[d])*cb.step())
		}
	}
	slices.Sort(values)
	at := 0
	for i, coarse := range fourLevels(values) {
		for j, fine := range fourLevels(coarse) {
			// A run is empty where the sample is tiny; it stands for what follows.
			first := values[min(at, len(values)-1)]
			cb.Levels[4*i+j] = clampLevel(meanOr(fine, first))
			if j == 0 {
				cb.CoarseLevels[i] = clampLevel(meanOr(coarse, first))
			}
			if i+j > 0 {
				cb.Bounds[4*i+j-1] = clampLevel(float64(first))
			}
			at += len(fine)
		}
	}
	cb.deriveLevels()
}

// meanOr is the mean of v, or x where v is empty.
func meanOr(v []float32, x float32) float64 {
	if len(v) == 0 {
		return float64(x)
	}
	return mean(v)
}

// fourLevels splits sorted values into the four runs whose means represent them
// with least squared error (Lloyd 1982, Max 1960), from quartiles onwards.
func fourLevels(sorted []float32) (runs [4][]float32) {
	sums := make([]float64, len(sorted)+1)
	for i, v := range sorted {
		sums[i+1] = sums[i] + float64(v)
	}
	n := len(sorted)
	ends := [5]int{0, n / 4, n / 2, n * 3 / 4, n}
	for range 100 {
		next := ends
		for i := 1; i < 4; i++ {
			lo, mid, hi := ends[i-1], ends[i], ends[i+1]
			if lo == mid || mid == hi {
				continue
			}
			between := float32((sums[mid]-sums[lo])/float64(mid-lo)+(sums[hi]-sums[mid])/float64(hi-mid)) / 2
			next[i], _ = slices.BinarySearch(sorted, between)
		}
		if next == ends {
			break
		}
		ends = next
	}
	for i := range runs {
		runs[i] = sorted[ends[i]:ends[i+1]]
	}
	return runs
}

func clampLevel(x float64) int16 {
	return int16(max(-maxLevel, min(maxLevel, math.RoundToEven(x))))
}

func mean(v []float32) float64 {
	var s float64
	for _, x := range v {
		s += float64(x)
	}
	return s / float64(max(1, len(v)))
}

// routing clusters each cell's points into its share of the fine centroids.
func (t *trainer) routing(ctx context.Context, cb *Codebook, o TrainOptions) (*Routing, error) {
	members := make([][]int32, cb.NumCells())
	for i, c := range t.cells {
		members[c] = append(members[c], int32(i))
	}
	rt := &Routing{ID: o.RoutingID, CodebookID: cb.ID, Dim: t.dim, Start: make([]uint32, cb.NumCells()+1)}
	for c, n := range allot(members, min(o.Centroids, maxCentroids)) {
		rt.Start[c+1] = rt.Start[c] + uint32(n)
	}
	rt.Centroids = make([]int8, int(rt.Start[cb.NumCells()])*t.dim)
	err := parallelEach(ctx, cb.NumCells(), func(c int) error {
		first, n := int(rt.Start[c]), int(rt.Start[c+1]-rt.Start[c])
		dst := rt.Centroids[first*t.dim : (first+n)*t.dim]
		if len(members[c]) == 0 {
			copy(dst, cb.units[c*t.dim:(c+1)*t.dim])
			return nil
		}
		r := rand.New(rand.NewPCG(o.Seed, uint64(c)+2))
		means, err := t.kmeans(ctx, members[c], n, max(1, o.Iterations*2/3), r)
		if err != nil {
			return err
		}
		unitRows(dst, means, t.dim)
		return nil
	})
	return rt, err
}

// parallelEach runs f for every index on all cores.
func parallelEach(ctx context.Context, n int, f func(i int) error) error {
	var mu sync.Mutex
	var first error
	next := 0
	var wg sync.WaitGroup
	for range min(pace.Workers(ctx), n) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				stop := first != nil
				mu.Unlock()
				if stop || i >= n {
					return
				}
				if err := f(i); err != nil {
					mu.Lock()
					first = err
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if first != nil {
		return first
	}
	return ctx.Err()
}

// allot shares centroids among cells in proportion to count^0.75, at least one
// each and at most one a point.
func allot(members [][]int32, total int) []int {
	var weight float64
	for _, m := range members {
		weight += math.Pow(float64(len(m)), allotExponent)
	}
	out := make([]int, len(members))
	for c, m := range members {
		share := math.Round(float64(total) * math.Pow(float64(len(m)), allotExponent) / max(weight, 1))
		out[c] = max(1, min(int(share), len(m)))
	}
	return out
}
