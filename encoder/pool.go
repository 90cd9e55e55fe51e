package encoder

import (
	"context"
	"math"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// Pool makes fewer vectors of a document's: its tokens are clustered by Ward's method
// (Ward 1963, by the formula of Lance and Williams) into ⌈n/factor⌉ clusters in all, at
// least two, and each
// becomes the mean of its vectors at unit length, in the order of its first token
// (Clavié, Chaffin and Adams 2024, "Reducing the footprint of multi-vector retrieval").
// The first token, [CLS] or its like, is left alone. Distances are Euclidean between
// the unit vectors, so by their cosine. A factor up to 1 returns m itself.
func Pool(m Matrix, factor int) Matrix {
	n := m.Len()
	if factor <= 1 || n <= 2 {
		return m
	}
	of := ward(m, 1, max(1, (n+factor-1)/factor-1))
	var out Matrix
	out.Dim = m.Dim
	out.Data = append(out.Data, m.Row(0)...)
	place := map[int]int{} // of a cluster's row
	for i, c := range of {
		at, ok := place[c]
		if !ok {
			at = out.Len()
			place[c] = at
			out.Data = append(out.Data, make([]float32, m.Dim)...)
		}
		row := out.Row(at)
		for d, x := range m.Row(i + 1) {
			row[d] += x
		}
	}
	for i := 1; i < out.Len(); i++ {
		row := out.Row(i)
		var norm float64
		for _, x := range row {
			norm += float64(x) * float64(x)
		}
		if norm == 0 {
			continue // opposite vectors: the engine refuses it and says so
		}
		inv := float32(1 / math.Sqrt(norm))
		for d := range row {
			row[d] *= inv
		}
	}
	return out
}

// ward clusters the rows of m from `from` on, merging the two clusters whose union
// adds least to the variance until k are left, and returns each row's cluster, named
// by its first row.
func ward(m Matrix, from, k int) []int {
	n := m.Len() - from
	of, size := make([]int, n), make([]float64, n)
	d := make([]float64, n*n) // squared, of clusters by Lance and Williams
	for i := range n {
		of[i], size[i] = i, 1
		for j := range i {
			x := squared(m.Row(from+i), m.Row(from+j))
			d[i*n+j], d[j*n+i] = x, x
		}
	}
	alive := make([]int, n) // clusters, by their first row
	near := make([]int, n)  // of each the nearest of those before it in alive's order
	for i := range n {
		alive[i] = i
	}
	nearest := func(i int) {
		near[i] = -1
		for _, j := range alive {
			if j < i && (near[i] < 0 || d[i*n+j] < d[i*n+near[i]]) {
				near[i] = j
			}
		}
	}
	for _, i := range alive {
		nearest(i)
	}
	for len(alive) > k {
		best := -1
		for _, i := range alive {
			if near[i] >= 0 && (best < 0 || d[i*n+near[i]] < d[best*n+near[best]]) {
				best = i
			}
		}
		a, b := near[best], best // b joins a, a < b
		between := d[a*n+b]
		for _, c := range alive {
			if c == a || c == b {
				continue
			}
			x := ((size[a]+size[c])*d[a*n+c] + (size[b]+size[c])*d[b*n+c] - size[c]*between) / (size[a] + size[b] + size[c])
			d[a*n+c], d[c*n+a] = x, x
		}
		size[a] += size[b]
		kept := alive[:0]
		for _, c := range alive {
			if c != b {
				kept = append(kept, c)
			}
		}
		alive = kept
		for i := range of {
			if of[i] == b {
				of[i] = a
			}
		}
		for _, i := range alive {
			switch {
			case i == a || near[i] == a || near[i] == b:
				nearest(i)
			case a < i && d[i*n+a] < d[i*n+near[i]]:
				near[i] = a
			}
		}
	}
	return of
}

func squared(a, b []float32) (sum float64) {
	for i, x := range a {
		e := float64(x) - float64(b[i])
		sum += e * e
	}
	return sum
}

// Pooling returns an encoder whose documents are pooled by a factor. Pooled vectors
// stand for no single place of the text, so it gives no spans. Closing it closes e.
func Pooling(e Encoder, factor int) Encoder {
	if factor <= 1 {
		return e
	}
	return pooling{e, factor}
}

type pooling struct {
	Encoder
	factor int
}

// EncodeDocuments encodes and pools.
func (p pooling) EncodeDocuments(ctx context.Context, texts []string) ([]Document, error) {
	out, err := p.Encoder.EncodeDocuments(ctx, texts)
	if err != nil {
		return nil, err
	}
	var workers errgroup.Group
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for i := range out {
		workers.Go(func() error {
			out[i].Vectors, out[i].Spans = Pool(out[i].Vectors, p.factor), nil
			return nil
		})
	}
	return out, workers.Wait()
}

// DocumentSpans returns nothing: see Pooling.
func (pooling) DocumentSpans(string) []Span { return nil }
