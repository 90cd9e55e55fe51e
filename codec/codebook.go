package codec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/colbertdb-go/colbertdb/internal/envelope"
	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// Codebook is level one of the codebook: the cells that residual codes are
// relative to, and the levels of those codes. It is immutable. Its ID is the
// codec version: segments with equal IDs hold comparable bytes.
//
// Its values are int16 at codebookScale, 64 int8 units. What is added up when a
// plane is expanded is derived from them: int8 cells and levels at IntScale/2^exp,
// so that expansion is the same integers on every machine.
type Codebook struct {
	ID           uint32
	Dim          int
	Cells        []int16   // [cells][Dim], true means of their training points
	Bounds       [15]int16 // between the 16 levels of a residual component
	Levels       [16]int16 // of planes A and B together: code = 4·a + b
	CoarseLevels [4]int16  // of plane A alone
	// ResidualNorm is the mean norm of a residual and ResidualP95 the 95th
	// percentile, of tokens like the training's that it did not see: what drift
	// is measured against.
	ResidualNorm, ResidualP95 float32
	// PLAID is the imported codebook that codes are of, nil for those of colbertdb's
	// own training. Cells then hold its centroids together, for routing alone, and
	// there are no levels.
	PLAID *PLAID
	// cellOf is the cell of every PLAID centroid, and routed its number in the routing.
	cellOf []uint16
	routed []uint32

	units []int8 // [cells][Dim] unit vectors at IntScale, for assignment

	exp           uint8
	cells8        []int8   // [cells][Dim]
	levels8       [16]int8 // of planes A and B
	coarseLevels8 [16]int8 // of plane A, four times over
}

// Routing is level two: fine centroids inside the cells, for finding candidates
// only. It is immutable. Its ID is the routing version of posting lists.
type Routing struct {
	ID         uint32
	CodebookID uint32
	Dim        int
	Start      []uint32 // [cells+1]: centroids Start[c] to Start[c+1] belong to cell c
	Centroids  []int8   // [centroids][Dim], unit vectors at IntScale
}

// fraction is the number of sub-steps of an int8 unit in a codebook.
const fraction = 64

// codebookScale is the number of codebook units per 1.0.
func codebookScale(dim int) float32 { return fraction * IntScale(dim) }

// NumCells returns the number of cells.
func (cb *Codebook) NumCells() int { return len(cb.Cells) / cb.Dim }

// NumCells returns the number of cells that it has centroids in.
func (r *Routing) NumCells() int { return len(r.Start) - 1 }

// NumCentroids returns the number of fine centroids.
func (r *Routing) NumCentroids() int { return len(r.Centroids) / r.Dim }

// NumCodes returns the number of values that a token's code can have.
func (cb *Codebook) NumCodes() int {
	if cb.PLAID != nil {
		return cb.PLAID.NumCentroids()
	}
	return cb.NumCells()
}

// cell returns cell c.
func (cb *Codebook) cell(c int) []int16 { return cb.Cells[c*cb.Dim : (c+1)*cb.Dim] }

// deriveCells sets what follows from the stored cells: those at unit length, which
// assignment compares with, and those that expansion adds to.
func (cb *Codebook) deriveCells() {
	cb.units = make([]int8, len(cb.Cells))
	unit := make([]float32, cb.Dim)
	for c := range cb.NumCells() {
		var norm float64
		for _, x := range cb.cell(c) {
			norm += float64(x) * float64(x)
		}
		inv := 0.0
		if norm > 0 {
			inv = 1 / math.Sqrt(norm)
		}
		for d, x := range cb.cell(c) {
			unit[d] = float32(float64(x) * inv)
		}
		simd.QuantizeInt8(cb.units[c*cb.Dim:(c+1)*cb.Dim], unit, IntScale(cb.Dim))
	}
	cb.exp = cb.cellExponent()
	cb.cells8 = make([]int8, len(cb.Cells))
	for i, x := range cb.Cells {
		cb.cells8[i] = cb.toInt8(x)
	}
}

// deriveLevels sets the int8 levels; the cells come first.
func (cb *Codebook) deriveLevels() {
	for i := range cb.levels8 {
		cb.levels8[i] = cb.toInt8(cb.Levels[i])
		cb.coarseLevels8[i] = cb.toInt8(cb.CoarseLevels[i%4])
	}
}

// step is what an int8 cell or level counts in codebook units.
func (cb *Codebook) step() float32 { return float32(int(fraction) << cb.exp) }

func (cb *Codebook) toInt8(x int16) int8 {
	return int8(max(-127, min(127, math.RoundToEven(float64(x)/float64(cb.step())))))
}

// cell8 returns cell c in int8 steps.
func (cb *Codebook) cell8(c int) []int8 { return cb.cells8[c*cb.Dim : (c+1)*cb.Dim] }

// cellExponent returns the smallest exponent at which no cell loses more than
// maxClipped to the range of int8.
func (cb *Codebook) cellExponent() uint8 {
	for exp := uint8(0); ; exp++ {
		limit := 127 * int(fraction) << exp
		allowed := maxClipped * float64(codebookScale(cb.Dim))
		if !slices.ContainsFunc(slices.Collect(slices.Chunk(cb.Cells, cb.Dim)), func(cell []int16) bool {
			var lost float64
			for _, x := range cell {
				if over := max(int(x), -int(x)) - limit; over > 0 {
					lost += float64(over) * float64(over)
				}
			}
			return lost > allowed*allowed
		}) {
			return exp
		}
	}
}

const (
	codebookMagic = "CDBK"
	routingMagic  = "CDBR"
	blobVersion   = 1
	maxCells      = 1 << 16
	maxCentroids  = 1 << 24
)

// AppendBinary appends the stored form: docs/format/codebook.md.
func (cb *Codebook) AppendBinary(dst []byte) []byte {
	if cb.PLAID != nil {
		return cb.appendPLAID(dst)
	}
	return envelope.Append(dst, codebookMagic, blobVersion, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, cb.ID)
		b = binary.LittleEndian.AppendUint32(b, uint32(cb.Dim))
		b = binary.LittleEndian.AppendUint32(b, uint32(cb.NumCells()))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(cb.ResidualNorm))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(cb.ResidualP95))
		b = appendInt16s(b, cb.Bounds[:])
		b = appendInt16s(b, cb.Levels[:])
		b = appendInt16s(b, cb.CoarseLevels[:])
		return appendInt16s(b, cb.Cells)
	})
}

// DecodeCodebook reads what Codebook.AppendBinary wrote; ErrCorruption otherwise.
func DecodeCodebook(b []byte) (*Codebook, error) {
	if bytes.HasPrefix(b, []byte(plaidMagic)) {
		return decodePLAID(b)
	}
	d, err := openBlob(b, codebookMagic, "codebook")
	if err != nil {
		return nil, err
	}
	cb := &Codebook{ID: d.u32(), Dim: int(d.u32())}
	cells := int(d.u32())
	cb.ResidualNorm, cb.ResidualP95 = math.Float32frombits(d.u32()), math.Float32frombits(d.u32())
	if d.err != nil || ValidDim(cb.Dim) != nil || cells < 1 || cells > maxCells || len(d.b) != 2*(15+16+4+cells*cb.Dim) {
		return nil, fmt.Errorf("%w: codebook: %d cells of dimension %d do not fit its length", ErrCorruption, cells, cb.Dim)
	}
	d.int16s(cb.Bounds[:])
	d.int16s(cb.Levels[:])
	d.int16s(cb.CoarseLevels[:])
	cb.Cells = make([]int16, cells*cb.Dim)
	d.int16s(cb.Cells)
	cb.deriveCells()
	cb.deriveLevels()
	return cb, d.err
}

// AppendBinary appends the stored form: docs/format/codebook.md.
func (r *Routing) AppendBinary(dst []byte) []byte {
	return envelope.Append(dst, routingMagic, blobVersion, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, r.ID)
		b = binary.LittleEndian.AppendUint32(b, r.CodebookID)
		b = binary.LittleEndian.AppendUint32(b, uint32(r.Dim))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Start)-1))
		for _, s := range r.Start {
			b = binary.LittleEndian.AppendUint32(b, s)
		}
		for _, x := range r.Centroids {
			b = append(b, byte(x))
		}
		return b
	})
}

// DecodeRouting reads what Routing.AppendBinary wrote; ErrCorruption otherwise.
func DecodeRouting(b []byte) (*Routing, error) {
	d, err := openBlob(b, routingMagic, "routing")
	if err != nil {
		return nil, err
	}
	r := &Routing{ID: d.u32(), CodebookID: d.u32(), Dim: int(d.u32())}
	cells := int(d.u32())
	if d.err != nil || ValidDim(r.Dim) != nil || cells < 1 || cells > maxCells || len(d.b) < 4*(cells+1) {
		return nil, fmt.Errorf("%w: routing: %d cells of dimension %d do not fit its length", ErrCorruption, cells, r.Dim)
	}
	r.Start = make([]uint32, cells+1)
	for i := range r.Start {
		r.Start[i] = d.u32()
		if i > 0 && r.Start[i] < r.Start[i-1] {
			return nil, fmt.Errorf("%w: routing: cell %d ends before it starts", ErrCorruption, i-1)
		}
	}
	n := int64(r.Start[cells])
	if r.Start[0] != 0 || n > maxCentroids || int64(len(d.b)) != n*int64(r.Dim) {
		return nil, fmt.Errorf("%w: routing: %d centroids do not fit its length", ErrCorruption, n)
	}
	r.Centroids = make([]int8, len(d.b))
	for i, x := range d.b {
		r.Centroids[i] = int8(x)
	}
	return r, nil
}

func openBlob(b []byte, magic, what string) (*blob, error) {
	_, body, err := envelope.Open(b, magic, blobVersion)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorruption, what, err)
	}
	return &blob{b: body}, nil
}

// blob reads little-endian fields, remembering the first error.
type blob struct {
	b   []byte
	err error
}

func (d *blob) u32() uint32 {
	if len(d.b) < 4 {
		d.err = fmt.Errorf("%w: cut short", ErrCorruption)
		return 0
	}
	v := binary.LittleEndian.Uint32(d.b)
	d.b = d.b[4:]
	return v
}

func (d *blob) int16s(dst []int16) {
	for i := range dst {
		dst[i] = int16(binary.LittleEndian.Uint16(d.b[2*i:]))
	}
	d.b = d.b[2*len(dst):]
}

func appendInt16s(dst []byte, v []int16) []byte {
	for _, x := range v {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(x))
	}
	return dst
}
