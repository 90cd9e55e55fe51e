package codec_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/simd"
	"github.com/colbertdb-go/colbertdb/internal/testdata"
)

func randomMatrix(r *rand.Rand, tokens, dim int) codec.Matrix {
	m := codec.NewMatrix(tokens, dim)
	for i := range m.Data {
		m.Data[i] = float32(r.NormFloat64())
	}
	return m
}

// clustered returns vectors around a few centres, as real token vectors are.
func clustered(r *rand.Rand, tokens, dim int) codec.Matrix {
	centres := randomMatrix(rand.New(rand.NewPCG(99, uint64(dim))), 40, dim).Normalized()
	m := codec.NewMatrix(tokens, dim)
	for t := range tokens {
		c := centres.Row(r.IntN(40))
		for d := range c {
			m.Row(t)[d] = c[d] + 0.7*float32(r.NormFloat64()/math.Sqrt(float64(dim)))
		}
	}
	return m.Normalized()
}

// maxSim is the oracle: float64 MaxSim of unit vectors.
func maxSim(q, d codec.Matrix) float64 {
	var sum float64
	for i := range q.Len() {
		best := math.Inf(-1)
		for j := range d.Len() {
			var s float64
			for k, x := range q.Row(i) {
				s += float64(x) * float64(d.Row(j)[k])
			}
			best = max(best, s)
		}
		sum += best
	}
	return sum
}

func mustQuery(t testing.TB, m codec.Matrix) *codec.Query {
	t.Helper()
	q, err := codec.NewQuery(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func mustEncode(t testing.TB, e *codec.Encoder, m codec.Matrix) *codec.Encoded {
	t.Helper()
	out, err := e.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestMaxSimGolden(t *testing.T) {
	// Query e1, e2; documents tokens (.5,.5), (.8,.2), (0,.9): 0.8 + 0.9. The
	// tokens' lengths are kept by putting the rest into unused dimensions.
	doc := codec.NewMatrix(3, 8)
	for i, v := range [][2]float32{{.5, .5}, {.8, .2}, {0, .9}} {
		doc.Row(i)[0], doc.Row(i)[1] = v[0], v[1]
		doc.Row(i)[2+i] = float32(math.Sqrt(float64(1 - v[0]*v[0] - v[1]*v[1])))
	}
	query := codec.NewMatrix(2, 8)
	query.Row(0)[0], query.Row(1)[1] = 1, 1
	enc := codec.NewEncoder(8, codec.Exact, true, nil, nil)
	e := mustEncode(t, enc, doc)
	s := codec.NewScorer()
	s.Reset(mustQuery(t, query), nil)
	if got := s.MaxSim(codec.PlaneRaw, e.View); math.Abs(float64(got)-1.7) > 1e-3 {
		t.Errorf("raw: %v, want 1.7", got)
	}
	if got := s.MaxSim(codec.PlaneC, e.View); math.Abs(float64(got)-1.7) > 0.02 {
		t.Errorf("int8: %v, want 1.7", got)
	}
	at, sims := make([]int32, 2), make([]float32, 2)
	if got := s.Explain(codec.PlaneC, e.View, at, sims); got != s.MaxSim(codec.PlaneC, e.View) || at[0] != 1 || at[1] != 2 {
		t.Errorf("explain: %v at %v", got, at)
	}
}

// Vectors along an axis are far outside the usual range; the exponent keeps them.
func TestOneHotVectorsKeepTheirScore(t *testing.T) {
	for _, dim := range []int{8, 128, 768, 1024} {
		m := codec.NewMatrix(1, dim)
		m.Data[3] = 1
		e := mustEncode(t, codec.NewEncoder(dim, codec.Exact, false, nil, nil), m)
		s := codec.NewScorer()
		s.Reset(mustQuery(t, m), nil)
		if got := s.MaxSim(codec.PlaneC, e.View); math.Abs(float64(got)-1) > 0.06 {
			t.Errorf("dim %d: %v, want 1", dim, got)
		}
	}
}

// Damaged codes, beyond the codebook, and counts of nothing do no harm.
func TestDamagedCodesAndEmptyBudgets(t *testing.T) {
	cb, rt := smallSpace()
	cb, err := codec.DecodeCodebook(cb.AppendBinary(nil))
	if err != nil {
		t.Fatal(err)
	}
	m := randomMatrix(rand.New(rand.NewPCG(3, 3)), 5, 8)
	enc := codec.NewEncoder(8, codec.Balanced, false, cb, rt)
	e := mustEncode(t, enc, m)
	for i := range e.Codes {
		e.Codes[i] = 0xff
	}
	q := mustQuery(t, m)
	s := codec.NewScorer()
	s.Reset(q, cb)
	for _, p := range []codec.Plane{codec.PlaneA, codec.PlaneB} {
		if got := s.MaxSim(p, e.View); math.IsNaN(float64(got)) {
			t.Errorf("%s: %v", p, got)
		}
	}
	for _, c := range enc.Assign(e.View, codec.PlaneB) {
		if int(c) >= rt.NumCentroids() {
			t.Errorf("assigned to centroid %d of %d", c, rt.NumCentroids())
		}
	}
	for _, row := range codec.NewProber().Probe(q, cb, rt, 0, 0, nil) {
		if len(row) != 1 {
			t.Errorf("%d probes, want 1", len(row))
		}
	}
}

func TestScoresMatchReconstruction(t *testing.T) {
	ctx := context.Background()
	for _, dim := range []int{8, 24, 48, 64, 96, 128, 256, 768, 1024} {
		r := rand.New(rand.NewPCG(1, uint64(dim)))
		cb, rt, err := codec.Train(ctx, clustered(r, 600, dim), codec.TrainOptions{Cells: 16, Centroids: 64, CodebookID: 1, RoutingID: 1})
		if err != nil {
			t.Fatal(err)
		}
		q := mustQuery(t, clustered(r, 1+r.IntN(40), dim))
		qi := codec.Matrix{Dim: dim, Data: make([]float32, len(q.I8))}
		for i, x := range q.I8 {
			qi.Data[i] = float32(x) * q.Scale[i/dim]
		}
		for _, p := range []codec.Profile{codec.Exact, codec.Balanced, codec.Compact} {
			enc := codec.NewEncoder(dim, p, true, cb, rt)
			e := mustEncode(t, enc, clustered(r, 1+r.IntN(150), dim))
			planes := []codec.Plane{codec.PlaneA, codec.PlaneRaw, codec.Representation(p, false, true)}
			for _, plane := range planes {
				var m codec.Matrix
				codec.Reconstruct(cb, dim, e.View, plane, &m)
				query := qi
				if plane == codec.PlaneRaw {
					query = codec.Matrix{Dim: dim, Data: q.F32}
				}
				want := maxSim(query, m)
				scores := map[string]float32{}
				for _, tier := range simd.Tiers() {
					restore, err := simd.Force(tier)
					if err != nil {
						t.Fatal(err)
					}
					s := codec.NewScorer()
					s.Reset(q, cb)
					scores[tier] = s.MaxSim(plane, e.View)
					at, sims := make([]int32, q.Tokens), make([]float32, q.Tokens)
					if again := s.Explain(plane, e.View, at, sims); again != scores[tier] {
						t.Errorf("dim %d %s %s: explain %v, score %v", dim, p, plane, again, scores[tier])
					}
					restore()
					if math.Abs(float64(scores[tier])-want) > 1e-3 {
						t.Errorf("dim %d %s %s on %s: %v, oracle %v", dim, p, plane, tier, scores[tier], want)
					}
				}
				if plane != codec.PlaneRaw && scores["generic"] != scores[simd.Tier()] {
					t.Errorf("dim %d %s %s: %v", dim, p, plane, scores)
				}
			}
		}
	}
}

// Weights multiply similarities, on every plane, and nothing else.
func TestWeights(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 3))
	const dim, tokens = 64, 21
	cb, rt, err := codec.Train(context.Background(), clustered(r, 600, dim), codec.TrainOptions{Cells: 16, Centroids: 64})
	if err != nil {
		t.Fatal(err)
	}
	m := clustered(r, tokens, dim)
	weights := make([]float32, tokens)
	for i := range weights {
		weights[i] = float32(i%4) / 2 // some are zero
	}
	plain := mustQuery(t, m)
	weighted, err := codec.NewQuery(m, weights)
	if err != nil {
		t.Fatal(err)
	}
	weights[1] = 99 // the query has its own
	e := mustEncode(t, codec.NewEncoder(dim, codec.Exact, true, cb, rt), clustered(r, 90, dim))
	s := codec.NewScorer()
	for _, plane := range []codec.Plane{codec.PlaneA, codec.PlaneC, codec.PlaneRaw} {
		at, sims := make([]int32, tokens), make([]float32, tokens)
		s.Reset(plain, cb)
		s.Explain(plane, e.View, at, sims)
		var want float64
		for i, sim := range sims {
			want += float64(sim) * float64(i%4) / 2
		}
		s.Reset(weighted, cb)
		at2, sims2 := make([]int32, tokens), make([]float32, tokens)
		if got := s.Explain(plane, e.View, at2, sims2); math.Abs(float64(got)-want) > 1e-4 {
			t.Errorf("%s: %v, want %v", plane, got, want)
		}
		if !slices.Equal(sims, sims2) || !slices.Equal(at, at2) {
			t.Errorf("%s: weights change what matched", plane)
		}
	}
	probes := codec.NewProber().Probe(plain, cb, rt, 4, 4, nil)
	first := probes[3][0]
	if got := codec.NewProber().Probe(weighted, cb, rt, 4, 4, nil)[3][0]; got.Centroid != first.Centroid || got.Score != first.Score*1.5 {
		t.Errorf("probe %v, unweighted %v", got, first)
	}
	nan := float32(math.NaN())
	for name, bad := range map[string][]float32{
		"1 weights for 2":      {1},
		"token 1 is -1":        {1, -1},
		"token 0 is NaN":       {nan, 1},
		"token 0 is 2000":      {2000, 1},
		"all weights are zero": {0, 0},
	} {
		_, err := codec.NewQuery(codec.Matrix{Dim: dim, Data: m.Data[:2*dim]}, bad)
		if !errors.Is(err, codec.ErrBadVector) || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: %v, want %q", bad, err, name)
		}
	}
}

func TestProbeMatchesBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	const dim = 64
	cb, rt, err := codec.Train(context.Background(), clustered(r, 3000, dim), codec.TrainOptions{Cells: 24, Centroids: 400})
	if err != nil {
		t.Fatal(err)
	}
	p := codec.NewProber()
	for _, tokens := range []int{1, 15, 16, 17, 40} {
		q := mustQuery(t, clustered(r, tokens, dim))
		got := p.Probe(q, cb, rt, cb.NumCells(), 5, nil)
		for tok := range tokens {
			var want []codec.Probe
			for c := range rt.NumCentroids() {
				var s int32
				for d := range dim {
					s += int32(q.I8[tok*dim+d]) * int32(rt.Centroids[c*dim+d])
				}
				want = append(want, codec.Probe{Centroid: uint32(c), Score: float32(float32(s)*q.Scale[tok]) / codec.IntScale(dim)})
			}
			sort.SliceStable(want, func(i, j int) bool { return want[i].Score > want[j].Score })
			for i := range got[tok] {
				if got[tok][i].Centroid != want[i].Centroid || math.Abs(float64(got[tok][i].Score-want[i].Score)) > 1e-5 {
					t.Fatalf("%d tokens, token %d, probe %d: %+v, want %+v", tokens, tok, i, got[tok][i], want[i])
				}
			}
			if len(got[tok]) != 5 {
				t.Fatalf("%d probes, want 5", len(got[tok]))
			}
		}
	}
}

// A document's own token, as a query, must find the centroid it is filed under.
func TestProbeFindsAssignedCentroid(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	const dim = 64
	sample := clustered(r, 3000, dim)
	cb, rt, err := codec.Train(context.Background(), sample, codec.TrainOptions{Cells: 24, Centroids: 400})
	if err != nil {
		t.Fatal(err)
	}
	enc := codec.NewEncoder(dim, codec.Exact, false, cb, rt)
	p := codec.NewProber()
	found := 0
	for i := range 300 {
		m := codec.Matrix{Dim: dim, Data: sample.Row(i)}
		e := mustEncode(t, enc, m)
		if again := enc.Assign(e.View, codec.PlaneC); !slices.Equal(again, e.Centroids) {
			t.Fatalf("token %d: encoded under %v, assigned from plane C to %v", i, e.Centroids, again)
		}
		if p.Probe(mustQuery(t, m), cb, rt, 1, 1, nil)[0][0].Centroid == e.Centroids[0] {
			found++
		}
	}
	if found < 290 {
		t.Errorf("%d of 300 tokens found in the centroid of their own", found)
	}
}

func TestTrainAcceptsTinySamples(t *testing.T) {
	for _, n := range []int{1, 2, 17} {
		m := randomMatrix(rand.New(rand.NewPCG(8, 8)), n, 16)
		cb, rt, err := codec.Train(context.Background(), m, codec.TrainOptions{})
		if err != nil {
			t.Fatal(err)
		}
		e := mustEncode(t, codec.NewEncoder(16, codec.Balanced, false, cb, rt), m)
		s := codec.NewScorer()
		s.Reset(mustQuery(t, m), cb)
		if got := s.MaxSim(codec.PlaneB, e.View); float64(got) < 0.8*float64(n) {
			t.Errorf("%d vectors: score with themselves %v", n, got)
		}
	}
}

// Levels for a Gaussian against the least squared error that four levels can
// have (0.1175 of the variance, Max 1960) and, for sixteen that nest in them,
// against the unnested optimum (0.0095).
func TestLevelsAreNearlyOptimal(t *testing.T) {
	const dim, n = 64, 4000
	m := randomMatrix(rand.New(rand.NewPCG(3, 9)), n, dim) // components nearly Gaussian, variance 1/dim
	cb, rt, err := codec.Train(context.Background(), m, codec.TrainOptions{Cells: 1, Centroids: 1})
	if err != nil {
		t.Fatal(err)
	}
	e := mustEncode(t, codec.NewEncoder(dim, codec.Balanced, false, cb, rt), m)
	unit := m.Normalized()
	for plane, most := range map[codec.Plane]float64{codec.PlaneA: 0.125, codec.PlaneB: 0.0125} {
		var back codec.Matrix
		codec.Reconstruct(cb, dim, e.View, plane, &back)
		var loss float64
		for i, x := range back.Data {
			d := float64(x - unit.Data[i])
			loss += d * d
		}
		if loss /= n; loss > most {
			t.Errorf("%s: squared error of a vector %.4f, want at most %.4f", plane, loss, most)
		} else {
			t.Logf("%s: %.4f", plane, loss)
		}
	}
}

func TestTrainingStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err := codec.Train(ctx, clustered(rand.New(rand.NewPCG(7, 7)), 4000, 48), codec.TrainOptions{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestDesignSizes(t *testing.T) {
	for _, c := range []struct {
		tokens           int64
		cells, centroids int
	}{
		{1, 1, 1024}, {200_000, 4096, 4096}, {12_000_000, 4096, 1 << 18}, {70_000_000, 4096, 1 << 20}, {1 << 40, 4096, 1 << 21},
	} {
		if got := codec.DesignCells(c.tokens); got != c.cells {
			t.Errorf("%d tokens: %d cells, want %d", c.tokens, got, c.cells)
		}
		if got := codec.DesignCentroids(c.tokens); got != c.centroids {
			t.Errorf("%d tokens: %d centroids, want %d", c.tokens, got, c.centroids)
		}
	}
}

func TestValidate(t *testing.T) {
	nan := codec.NewMatrix(2, 8)
	for i := range nan.Data {
		nan.Data[i] = 1
	}
	inf := codec.Matrix{Dim: 8, Data: slices.Clone(nan.Data)}
	zero := codec.Matrix{Dim: 8, Data: slices.Clone(nan.Data)}
	nan.Data[9] = float32(math.NaN())
	inf.Data[9] = float32(math.Inf(1))
	clear(zero.Row(1))
	for name, c := range map[string]struct {
		m    codec.Matrix
		want error
	}{
		"nan": {nan, codec.ErrBadVector}, "inf": {inf, codec.ErrBadVector}, "zero": {zero, codec.ErrBadVector},
		"dimension": {codec.NewMatrix(1, 12), codec.ErrDimension}, "too wide": {codec.NewMatrix(1, 1032), codec.ErrDimension},
		"empty": {codec.NewMatrix(0, 8), codec.ErrNoVectors}, "ragged": {codec.Matrix{Dim: 8, Data: make([]float32, 9)}, codec.ErrBadVector},
	} {
		if err := c.m.Validate(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Recall of exhaustive scans of each plane against float32 MaxSim on the real
// vectors: the ceiling that the codec sets for search.
func TestPlaneRecallOnRealVectors(t *testing.T) {
	queries, docs := testdata.Lotte(t)
	if testing.Short() || simd.Tier() == "generic" {
		queries = queries[:20]
	}
	all := codec.Matrix{Dim: 128}
	for _, d := range docs {
		all.Data = append(all.Data, d.Data...)
	}
	cb, rt, err := codec.Train(context.Background(), all, codec.TrainOptions{Cells: 512})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("residual norm %.3f mean, %.3f p95; %d cells, %d centroids", cb.ResidualNorm, cb.ResidualP95, cb.NumCells(), rt.NumCentroids())
	floors := map[codec.Plane]float64{codec.PlaneRaw: 0.999, codec.PlaneC: 0.985, codec.PlaneB: 0.955, codec.PlaneA: 0.89}
	exact := codec.NewEncoder(128, codec.Exact, true, cb, rt)
	balanced := codec.NewEncoder(128, codec.Balanced, false, cb, rt)
	views := make([]codec.View, len(docs))
	clipped := 0
	for i, d := range docs {
		e := mustEncode(t, exact, d)
		clipped += e.Clipped
		views[i] = e.View
		views[i].B = mustEncode(t, balanced, d).B
	}
	hits := map[codec.Plane]int{}
	s := codec.NewScorer()
	for _, q := range queries {
		truth := make([]float64, len(docs))
		cq := mustQuery(t, q)
		for i, d := range docs {
			truth[i] = float64(maxSimF32(q, d))
		}
		want := top10(truth)
		s.Reset(cq, cb)
		for plane := range floors {
			scores := make([]float64, len(docs))
			for i, v := range views {
				scores[i] = float64(s.MaxSim(plane, v))
			}
			for _, d := range top10(scores) {
				if slices.Contains(want, d) {
					hits[plane]++
				}
			}
		}
	}
	for plane, floor := range floors {
		recall := float64(hits[plane]) / float64(10*len(queries))
		t.Logf("%s: recall@10 %.3f", plane, recall)
		if recall < floor {
			t.Errorf("%s: recall@10 %.3f, want at least %.3f", plane, recall, floor)
		}
	}
	t.Logf("clipped components: %.5f %%", 100*float64(clipped)/float64(len(all.Data)))
}

// maxSimF32 is float32 MaxSim, of vectors as they are given.
func maxSimF32(q, d codec.Matrix) (sum float32) {
	for first := 0; first < q.Len(); first += simd.Lanes {
		n := min(simd.Lanes, q.Len()-first)
		packed := make([]float32, simd.Lanes*q.Dim)
		simd.PackLanesF32(packed, q.Data[first*q.Dim:(first+n)*q.Dim], q.Dim)
		ids, best := make([][simd.Lanes]int32, 1), make([][simd.Lanes]float32, 1)
		for l := range best[0] {
			best[0][l] = float32(math.Inf(-1))
		}
		simd.ArgmaxRowsF32(packed, d.Data, d.Len(), d.Dim, 0, best, ids)
		for _, s := range best[0][:n] {
			sum += s
		}
	}
	return sum
}

func top10(scores []float64) []int {
	at := make([]int, len(scores))
	for i := range at {
		at[i] = i
	}
	sort.SliceStable(at, func(i, j int) bool { return scores[at[i]] > scores[at[j]] })
	return at[:10]
}

func TestHotPathAllocatesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	cb, rt, err := codec.Train(context.Background(), clustered(r, 2000, 128), codec.TrainOptions{Cells: 32, Centroids: 256})
	if err != nil {
		t.Fatal(err)
	}
	e := mustEncode(t, codec.NewEncoder(128, codec.Exact, true, cb, rt), clustered(r, 100, 128))
	q := mustQuery(t, clustered(r, 32, 128))
	s, p := codec.NewScorer(), codec.NewProber()
	var table codec.CellTable
	var ids []uint32
	run := func() {
		s.Reset(q, cb)
		p.Probe(q, cb, rt, 4, 4, &table)
		ids = table.Select(e.Codes, ids)
		s.MaxSimOf(e.View, ids)
		s.MaxSim(codec.PlaneA, e.View)
		s.MaxSim(codec.PlaneC, e.View)
		s.MaxSim(codec.PlaneRaw, e.View)
	}
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations a query", n)
	}
}

// Every single flipped bit of a stored codebook is noticed.
func TestBlobsNoticeBitFlips(t *testing.T) {
	m := clustered(rand.New(rand.NewPCG(1, 1)), 50, 8)
	cb, rt, err := codec.Train(context.Background(), m, codec.TrainOptions{Cells: 4, Centroids: 8})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		b      []byte
		decode func([]byte) error
	}{
		"codebook": {cb.AppendBinary(nil), func(b []byte) error { _, err := codec.DecodeCodebook(b); return err }},
		"routing":  {rt.AppendBinary(nil), func(b []byte) error { _, err := codec.DecodeRouting(b); return err }},
	} {
		if err := c.decode(c.b); err != nil {
			t.Fatal(err)
		}
		for i := range c.b {
			for bit := range 8 {
				b := bytes.Clone(c.b)
				b[i] ^= 1 << bit
				if err := c.decode(b); !errors.Is(err, codec.ErrCorruption) {
					t.Fatalf("%s: bit %d of byte %d flipped: %v", name, bit, i, err)
				}
			}
		}
	}
}

func BenchmarkMaxSim(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 9))
	cb, rt, err := codec.Train(context.Background(), clustered(r, 4000, 128), codec.TrainOptions{Cells: 64, Centroids: 256})
	if err != nil {
		b.Fatal(err)
	}
	const tokens = 120
	doc := clustered(r, tokens, 128)
	e := mustEncode(b, codec.NewEncoder(128, codec.Exact, true, cb, rt), doc)
	e.B = mustEncode(b, codec.NewEncoder(128, codec.Balanced, false, cb, rt), doc).B
	q := mustQuery(b, clustered(r, 32, 128))
	s := codec.NewScorer()
	s.Reset(q, cb)
	for _, p := range []codec.Plane{codec.PlaneA, codec.PlaneB, codec.PlaneC, codec.PlaneRaw} {
		b.Run(p.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.MaxSim(p, e.View)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/tokens/32, "ns/pair")
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 9))
	cb, rt, err := codec.Train(context.Background(), clustered(r, 16384, 128), codec.TrainOptions{Cells: 4096, Centroids: 8192, Iterations: 1})
	if err != nil {
		b.Fatal(err)
	}
	doc := clustered(r, 128, 128)
	enc := codec.NewEncoder(128, codec.Exact, false, cb, rt)
	b.ReportAllocs()
	for b.Loop() {
		mustEncode(b, enc, doc)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/128, "µs/token")
}

func BenchmarkProbe(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 9))
	cb, rt, err := codec.Train(context.Background(), clustered(r, 65536, 128), codec.TrainOptions{Cells: 4096, Centroids: 32768, Iterations: 1})
	if err != nil {
		b.Fatal(err)
	}
	q := mustQuery(b, clustered(r, 32, 128))
	p := codec.NewProber()
	b.ReportAllocs()
	for b.Loop() {
		p.Probe(q, cb, rt, 2, 2, nil)
	}
}

func BenchmarkAssign(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 9))
	cb, rt, err := codec.Train(context.Background(), clustered(r, 4096, 128), codec.TrainOptions{Cells: 16, Centroids: 2048, Iterations: 1})
	if err != nil {
		b.Fatal(err)
	}
	enc := codec.NewEncoder(128, codec.Exact, false, cb, rt)
	e := mustEncode(b, enc, clustered(r, 128, 128))
	b.ReportAllocs()
	for b.Loop() {
		enc.Assign(e.View, codec.PlaneC)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/128, "ns/token")
}

func BenchmarkTrain(b *testing.B) {
	sample := clustered(rand.New(rand.NewPCG(9, 9)), 8192, 128)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := codec.Train(context.Background(), sample, codec.TrainOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
