package codec

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/colbertdb-go/colbertdb/internal/envelope"
	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// An imported codebook has a routing like others: its centroids are the fine
// centroids, ordered by cells, which are clusters of them. So a query scores all
// cells and then the centroids of a few.

const (
	plaidMagic       = "CDBL"
	centroidsPerCell = 16
	plaidIterations  = 6
)

// NewPLAIDCodebook returns the codebook and routing of an imported codebook, which
// is initialised. The result depends on it alone.
func NewPLAIDCodebook(ctx context.Context, id, routing uint32, p *PLAID) (*Codebook, *Routing, error) {
	t := &trainer{dim: p.Dim, n: p.NumCentroids(), points: make([]int8, len(p.centroids))}
	row := make([]float32, p.Dim)
	for i := range t.n {
		copy(row, p.centroids[i*p.Dim:(i+1)*p.Dim])
		unitLength(row)
		simd.QuantizeInt8(t.points[i*p.Dim:(i+1)*p.Dim], row, IntScale(p.Dim))
	}
	r := rand.New(rand.NewPCG(1, 1))
	cells := max(1, min(designMaxCells, t.n/centroidsPerCell))
	points := t.all()
	if limit := cells * trainPointsPerCell; len(points) > limit {
		r.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		points = points[:limit]
	}
	means, err := t.kmeans(ctx, points, cells, plaidIterations, r)
	if err != nil {
		return nil, nil, err
	}
	cb := &Codebook{ID: id, Dim: p.Dim, PLAID: p, Cells: make([]int16, len(means))}
	for i, x := range means {
		cb.Cells[i] = int16(max(-maxCell, min(maxCell, math.RoundToEven(float64(x)*fraction))))
	}
	cb.deriveCells()
	of, err := t.assign(ctx, t.all(), cb.units)
	if err != nil {
		return nil, nil, err
	}
	cb.cellOf = make([]uint16, t.n)
	for i, c := range of {
		cb.cellOf[i] = uint16(c)
	}
	start := cb.deriveRouted()
	rt := &Routing{ID: routing, CodebookID: id, Dim: p.Dim, Start: start, Centroids: make([]int8, len(t.points))}
	for i, to := range cb.routed {
		copy(rt.Centroids[int(to)*p.Dim:], t.point(int32(i)))
	}
	return cb, rt, nil
}

// deriveRouted numbers the centroids cell by cell, and returns where cells begin.
func (cb *Codebook) deriveRouted() (start []uint32) {
	start = make([]uint32, cb.NumCells()+1)
	for _, c := range cb.cellOf {
		start[c+1]++
	}
	for c := range cb.NumCells() {
		start[c+1] += start[c]
	}
	next := append([]uint32(nil), start...)
	cb.routed = make([]uint32, len(cb.cellOf))
	for i, c := range cb.cellOf {
		cb.routed[i] = next[c]
		next[c]++
	}
	return start
}

// appendPLAID appends the stored form: docs/format/codebook.md.
func (cb *Codebook) appendPLAID(dst []byte) []byte {
	return envelope.Append(dst, plaidMagic, blobVersion, func(b []byte) []byte {
		p := cb.PLAID
		for _, n := range []int{int(cb.ID), p.Dim, p.Bits, p.NumCentroids(), cb.NumCells()} {
			b = binary.LittleEndian.AppendUint32(b, uint32(n))
		}
		for _, f := range []Floats{p.Centroids, p.Cutoffs, p.Weights, p.Average, p.Threshold} {
			b = binary.LittleEndian.AppendUint32(b, uint32(f.Type))
			b = binary.LittleEndian.AppendUint32(b, uint32(f.Len()))
			b = append(b, f.Data...)
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p.Source)))
		b = append(b, p.Source...)
		b = appendInt16s(b, cb.Cells)
		for _, c := range cb.cellOf {
			b = binary.LittleEndian.AppendUint16(b, c)
		}
		return b
	})
}

// decodePLAID reads what appendPLAID wrote.
func decodePLAID(b []byte) (*Codebook, error) {
	d, err := openBlob(b, plaidMagic, "codebook")
	if err != nil {
		return nil, err
	}
	cb := &Codebook{ID: d.u32(), Dim: int(d.u32())}
	p := &PLAID{Dim: cb.Dim, Bits: int(d.u32())}
	centroids, cells := int(d.u32()), int(d.u32())
	for _, f := range []*Floats{&p.Centroids, &p.Cutoffs, &p.Weights, &p.Average, &p.Threshold} {
		f.Type = FloatType(d.u32())
		f.Data = d.take(uint64(d.u32()) * uint64(f.Type))
	}
	p.Source = d.take(uint64(d.u32()))
	if d.err == nil {
		d.err = p.Init()
	}
	if d.err != nil {
		return nil, d.err
	}
	if centroids != p.NumCentroids() || cells < 1 || cells > maxCells || len(d.b) != 2*(cells*cb.Dim+centroids) {
		return nil, fmt.Errorf("%w: codebook: %d centroids in %d cells of dimension %d do not fit its length", ErrCorruption, centroids, cells, cb.Dim)
	}
	cb.PLAID, cb.Cells = p, make([]int16, cells*cb.Dim)
	d.int16s(cb.Cells)
	cb.cellOf = make([]uint16, centroids)
	for i := range cb.cellOf {
		if cb.cellOf[i] = binary.LittleEndian.Uint16(d.b[2*i:]); int(cb.cellOf[i]) >= cells {
			return nil, fmt.Errorf("%w: codebook: centroid %d is in cell %d of %d", ErrCorruption, i, cb.cellOf[i], cells)
		}
	}
	cb.deriveCells()
	cb.deriveRouted()
	return cb, nil
}

// take returns the next n bytes, its own memory.
func (d *blob) take(n uint64) []byte {
	if d.err != nil || n > uint64(len(d.b)) {
		d.err = fmt.Errorf("%w: cut short", ErrCorruption)
		return nil
	}
	out := append([]byte(nil), d.b[:n]...)
	d.b = d.b[n:]
	return out
}

// EncodedPLAID is a document of records of an imported codebook, as they are. They
// are checked: ErrCorruption where a code is no centroid.
func (cb *Codebook) EncodedPLAID(records []byte) (*Encoded, error) {
	size := cb.PLAID.RecordBytes()
	if len(records) == 0 || len(records)%size != 0 {
		return nil, fmt.Errorf("%w: %d bytes of records of %d", ErrCorruption, len(records), size)
	}
	for at := 0; at < len(records); at += size {
		if code := binary.LittleEndian.Uint32(records[at:]); int64(code) >= int64(cb.PLAID.NumCentroids()) {
			return nil, fmt.Errorf("%w: centroid %d of %d", ErrCorruption, code, cb.PLAID.NumCentroids())
		}
	}
	return &Encoded{View: View{Tokens: len(records) / size, PLAID: records}, Centroids: cb.plaidCentroids(records)}, nil
}

// plaidCentroids returns the routing centroids of records. Of damaged ones, that no
// check has seen, it gives any.
func (cb *Codebook) plaidCentroids(records []byte) []uint32 {
	size := cb.PLAID.RecordBytes()
	out := make([]uint32, 0, len(records)/size)
	for at := 0; at+size <= len(records); at += size {
		code := binary.LittleEndian.Uint32(records[at:])
		out = append(out, cb.routed[min(int64(code), int64(len(cb.routed)-1))])
	}
	return out
}

// decodePLAID writes the vectors of n tokens of a document, from the first, to dst.
// A record that is damaged, which reading has its checksums to find, is a zero vector.
func (cb *Codebook) decodePLAID(dst []float32, v View, first, n int) {
	size := cb.PLAID.RecordBytes()
	for t := range n {
		record := v.PLAID[(first+t)*size : (first+t+1)*size]
		row := dst[t*cb.Dim : (t+1)*cb.Dim]
		if cb.PLAID.Decode(row, record) != nil {
			clear(row)
		}
	}
}

// encodePLAID encodes unit vectors as the programs that such codebooks come from
// do: the centroid with the greatest dot product, the first of equals, and the
// buckets of what is left.
func (e *Encoder) encodePLAID(unit Matrix) *Encoded {
	p := e.cb.PLAID
	n, size := unit.Len(), p.RecordBytes()
	records := make([]byte, n*size)
	lanes := make([]float32, simd.Lanes*p.Dim)
	for first := 0; first < n; first += simd.Lanes {
		last := min(first+simd.Lanes, n)
		simd.PackLanesF32(lanes, unit.Data[first*p.Dim:last*p.Dim], p.Dim)
		best, ids := [][simd.Lanes]float32{lowestF32}, make([][simd.Lanes]int32, 1)
		for at := 0; at < p.NumCentroids(); at += rowBatchF32 {
			m := min(rowBatchF32, p.NumCentroids()-at)
			simd.ArgmaxRowsF32(lanes, p.centroids[at*p.Dim:(at+m)*p.Dim], m, p.Dim, int32(at), best, ids)
		}
		for t := first; t < last; t++ {
			code := uint32(ids[0][t-first])
			record := records[t*size : (t+1)*size]
			binary.LittleEndian.PutUint32(record, code)
			p.EncodeResidual(record[plaidCodeBytes:], unit.Row(t), code)
		}
	}
	return &Encoded{View: View{Tokens: n, PLAID: records}, Centroids: e.cb.plaidCentroids(records)}
}
