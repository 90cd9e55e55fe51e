package codec

import (
	"bytes"
	"math"
	"testing"
)

func testPLAID(t *testing.T, bits int) *PLAID {
	t.Helper()
	p := &PLAID{Dim: 8, Bits: bits}
	var centroids []float32
	for c := range 16 {
		for d := range 8 {
			centroids = append(centroids, float32(math.Sin(float64(7*c+3*d+1)))/3)
		}
	}
	n := 1 << bits
	var cutoffs, weights []float32
	for b := range n {
		weights = append(weights, 0.4*(float32(b)+0.5)/float32(n)-0.2)
		if b > 0 {
			cutoffs = append(cutoffs, 0.4*float32(b)/float32(n)-0.2)
		}
	}
	as := func(x []float32) Floats {
		f := Floats{Type: Float32}
		for _, v := range x {
			bits := math.Float32bits(v)
			f.Data = append(f.Data, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24))
		}
		return f
	}
	p.Centroids, p.Cutoffs, p.Weights = as(centroids), as(cutoffs), as(weights)
	if err := p.Init(); err != nil {
		t.Fatal(err)
	}
	return p
}

// The order of bits in a byte is that of the programs that write such indexes.
func TestPLAIDBitOrder(t *testing.T) {
	for _, c := range []struct {
		bits    int
		buckets []int
		want    byte
	}{
		{1, []int{0, 1, 0, 0, 1, 1, 1, 0}, 0b01001110},
		{2, []int{0, 1, 2, 3}, 0x27},
		{4, []int{3, 12}, 0xC3},
		{8, []int{0b00000011}, 0b11000000},
	} {
		for i, b := range c.buckets {
			if got := bucketOf(c.want, i, c.bits); got != b {
				t.Errorf("%d bits: value %d of %#x is %d, want %d", c.bits, i, c.want, got, b)
			}
		}
		p := testPLAID(t, c.bits)
		row := make([]float32, 8)
		copy(row, p.centroids[:8])
		for i, b := range c.buckets {
			row[i] += p.Weights.Float32()[b]
		}
		packed := make([]byte, p.ResidualBytes())
		p.EncodeResidual(packed, row, 0)
		if packed[0] != c.want {
			t.Errorf("%d bits: %v is packed to %#x, want %#x", c.bits, c.buckets, packed[0], c.want)
		}
	}
}

// What a record decodes to is centroid plus weights at unit length, and encodes to
// the record again.
func TestPLAIDDecode(t *testing.T) {
	for _, bits := range []int{1, 2, 4, 8} {
		p := testPLAID(t, bits)
		for seed := range 50 {
			record := []byte{byte(seed % 16), 0, 0, 0}
			for i := range p.ResidualBytes() {
				record = append(record, byte(seed*31+i*17))
			}
			row := make([]float32, 8)
			if err := p.Decode(row, record); err != nil {
				t.Fatal(err)
			}
			var norm, dot, length float64
			plain := make([]float32, 8)
			for d := range row {
				bucket := bucketOf(record[4+d*bits/8], d%(8/bits), bits)
				plain[d] = p.centroids[seed%16*8+d] + p.Weights.Float32()[bucket]
				norm += float64(row[d]) * float64(row[d])
				dot += float64(row[d]) * float64(plain[d])
				length += float64(plain[d]) * float64(plain[d])
			}
			if math.Abs(norm-1) > 1e-6 || math.Abs(dot-math.Sqrt(length)) > 1e-5 {
				t.Fatalf("%d bits: norm %v, cosine %v", bits, norm, dot/math.Sqrt(length))
			}
			again := make([]byte, p.ResidualBytes())
			p.EncodeResidual(again, plain, uint32(seed%16))
			if !bytes.Equal(again, record[4:]) {
				t.Fatalf("%d bits: %x is encoded to %x", bits, record[4:], again)
			}
		}
		if err := p.Decode(make([]float32, 8), append([]byte{16, 0, 0, 0}, make([]byte, p.ResidualBytes())...)); err == nil {
			t.Error("centroid 16 of 16 was decoded")
		}
	}
}
