package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

// PLAID is a classic codebook of late interaction (Santhanam et al. 2022,
// ColBERTv2, section 3.3): one level of centroids of full dimension, and for every
// dimension of a token the bucket that its residual falls into, 1 to 8 bits. All
// dimensions share the buckets. A token stands for
//
//	v[d] = centroid[d] + Weights[bucket[d]], at unit length
//
// Such codebooks come with indexes of other programs, whose codes and residual bits
// are kept as they are; colbertdb trains none. The numbers are kept in the form in
// which the index has them, so that it can be written again bit by bit.
// docs/rfcs/0006-imported-indexes.md.
type PLAID struct {
	Dim, Bits int
	Centroids Floats // [centroids][Dim]
	Cutoffs   Floats // [2^Bits-1]: a residual is in the bucket of as many as are below it
	Weights   Floats // [2^Bits]: what a bucket adds
	// Average and Threshold are carried along for who updates the index: the mean
	// magnitude of residuals, of all or of each dimension, and the distance beyond
	// which a token calls for a centroid of its own. Either may be empty.
	Average, Threshold Floats
	// Source is JSON about where it comes from, carried along.
	Source []byte

	centroids []float32
	cutoffs   []float32
	values    []float32 // [256][8/Bits]: the weights that a byte of residuals stands for
}

// FloatType is how a number is stored.
type FloatType uint8

const (
	Float16 FloatType = 2 // the value is the number of bytes
	Float32 FloatType = 4
	Float64 FloatType = 8
)

// Floats are little-endian numbers as they were stored.
type Floats struct {
	Type FloatType
	Data []byte
}

// Len is the number of numbers.
func (f Floats) Len() int {
	if f.Type == 0 {
		return 0
	}
	return len(f.Data) / int(f.Type)
}

// Float32 converts the numbers.
func (f Floats) Float32() []float32 {
	out := make([]float32, f.Len())
	switch f.Type {
	case Float16:
		DecodeF16(out, f.Data)
	case Float32:
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(f.Data[4*i:]))
		}
	case Float64:
		for i := range out {
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(f.Data[8*i:])))
		}
	}
	return out
}

func (f Floats) valid() bool {
	switch f.Type {
	case 0:
		return len(f.Data) == 0
	case Float16, Float32, Float64:
		return len(f.Data)%int(f.Type) == 0
	}
	return false
}

// MaxPLAIDCentroids bounds the centroids of an imported codebook.
const MaxPLAIDCentroids = maxCentroids

// Init checks the codebook and derives what scoring needs; it comes before every
// other use. ErrCorruption says what is wrong.
func (p *PLAID) Init() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: PLAID codebook: %s", ErrCorruption, fmt.Sprintf(format, args...))
	}
	if err := ValidDim(p.Dim); err != nil {
		return bad("%v", err)
	}
	if p.Bits != 1 && p.Bits != 2 && p.Bits != 4 && p.Bits != 8 {
		return bad("%d bits a dimension, must be 1, 2, 4 or 8", p.Bits)
	}
	for _, f := range []Floats{p.Centroids, p.Cutoffs, p.Weights, p.Average, p.Threshold} {
		if !f.valid() {
			return bad("%d bytes of %d-byte numbers", len(f.Data), f.Type)
		}
	}
	k := p.Centroids.Len() / p.Dim
	switch {
	case k < 1 || k > MaxPLAIDCentroids || p.Centroids.Len()%p.Dim != 0:
		return bad("%d numbers are not 1 to %d centroids of dimension %d", p.Centroids.Len(), MaxPLAIDCentroids, p.Dim)
	case p.Weights.Len() != 1<<p.Bits || p.Cutoffs.Len() != 1<<p.Bits-1:
		return bad("%d bucket weights and %d cutoffs for %d bits", p.Weights.Len(), p.Cutoffs.Len(), p.Bits)
	}
	p.centroids, p.cutoffs = p.Centroids.Float32(), p.Cutoffs.Float32()
	weights := p.Weights.Float32()
	for _, list := range [][]float32{p.centroids, p.cutoffs, weights} {
		for _, x := range list {
			if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) || math.Abs(f) > 1e6 {
				return bad("a number is %v", x)
			}
		}
	}
	per := 8 / p.Bits
	p.values = make([]float32, 256*per)
	for b := range 256 {
		for i := range per {
			p.values[b*per+i] = weights[bucketOf(byte(b), i, p.Bits)]
		}
	}
	return nil
}

// NumCentroids returns the number of centroids.
func (p *PLAID) NumCentroids() int { return len(p.centroids) / p.Dim }

// ResidualBytes is the size of a token's packed buckets.
func (p *PLAID) ResidualBytes() int { return p.Dim * p.Bits / 8 }

// plaidCodeBytes is the size of a token's centroid number.
const plaidCodeBytes = 4

// RecordBytes is the size of a token: its centroid as a little-endian uint32, then
// its packed buckets.
func (p *PLAID) RecordBytes() int { return plaidCodeBytes + p.ResidualBytes() }

// bucketOf returns the i-th bucket of a byte. Values stand in a byte from the top
// down, the bits of a value from the lowest up: buckets 0, 1, 2, 3 of two bits are
// the byte 0x27, buckets 3, 12 of four bits 0xC3.
func bucketOf(b byte, i, width int) int {
	v := b >> (8 - width*(i+1)) & (1<<width - 1)
	return int(bits.Reverse8(v) >> (8 - width))
}

// Decode writes the unit vectors of tokens, [n][RecordBytes], to dst, [n][Dim].
// Records whose centroid does not exist are an error.
func (p *PLAID) Decode(dst []float32, records []byte) error {
	size := p.RecordBytes()
	for at, t := 0, 0; at < len(records); at, t = at+size, t+1 {
		code := binary.LittleEndian.Uint32(records[at:])
		if int64(code) >= int64(p.NumCentroids()) {
			return fmt.Errorf("%w: centroid %d of %d", ErrCorruption, code, p.NumCentroids())
		}
		row := dst[t*p.Dim : (t+1)*p.Dim]
		p.add(row, p.centroids[int(code)*p.Dim:][:len(row)], records[at+plaidCodeBytes:at+size])
		unitLength(row)
	}
	return nil
}

// add writes a centroid plus the weights of packed residuals to row.
func (p *PLAID) add(row, centroid []float32, residuals []byte) {
	switch p.Bits {
	case 2:
		for i, b := range residuals {
			w := (*[4]float32)(p.values[4*int(b):])
			r, c := (*[4]float32)(row[4*i:]), (*[4]float32)(centroid[4*i:])
			r[0], r[1], r[2], r[3] = c[0]+w[0], c[1]+w[1], c[2]+w[2], c[3]+w[3]
		}
	case 4:
		for i, b := range residuals {
			w := (*[2]float32)(p.values[2*int(b):])
			r, c := (*[2]float32)(row[2*i:]), (*[2]float32)(centroid[2*i:])
			r[0], r[1] = c[0]+w[0], c[1]+w[1]
		}
	default:
		per := 8 / p.Bits
		for i, b := range residuals {
			for j, w := range p.values[int(b)*per : (int(b)+1)*per] {
				row[i*per+j] = centroid[i*per+j] + w
			}
		}
	}
}

// unitLength scales a vector, of a multiple of eight dimensions, to unit length; one
// of length zero stays. The order of adding is fixed and nothing is fused, so that
// results are the same on every machine.
func unitLength(row []float32) {
	var s [4]float64
	for i := 0; i+4 <= len(row); i += 4 {
		r := (*[4]float32)(row[i:])
		s[0] += float64(float64(r[0]) * float64(r[0]))
		s[1] += float64(float64(r[1]) * float64(r[1]))
		s[2] += float64(float64(r[2]) * float64(r[2]))
		s[3] += float64(float64(r[3]) * float64(r[3]))
	}
	sum := s[0] + s[1] + s[2] + s[3]
	if sum == 0 {
		return
	}
	inv := float32(1 / math.Sqrt(sum))
	for d, x := range row {
		row[d] = float32(x * inv)
	}
}

// EncodeResidual packs the buckets of a unit vector, as the programs that such
// indexes come from do, into dst, [ResidualBytes].
func (p *PLAID) EncodeResidual(dst []byte, row []float32, code uint32) {
	centroid := p.centroids[int(code)*p.Dim:][:p.Dim]
	clear(dst)
	per := 8 / p.Bits
	for d, x := range row {
		r, bucket := x-centroid[d], 0
		for _, c := range p.cutoffs { // ascending, and few
			if r <= c {
				break
			}
			bucket++
		}
		v := bits.Reverse8(uint8(bucket)) >> (8 - p.Bits)
		dst[d/per] |= v << (8 - p.Bits*(d%per+1))
	}
}
