package codec

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"os"
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

// The stored form of an imported codebook, and what follows from it, stay as they are.
func TestPLAIDGolden(t *testing.T) {
	p := testPLAID(t, 4)
	p.Average, p.Source = Floats{Type: Float16, Data: []byte{0, 0x3c}}, []byte(`{"form":"test"}`)
	cb, rt, err := NewPLAIDCodebook(context.Background(), 3, 4, p)
	if err != nil {
		t.Fatal(err)
	}
	const path = "testdata/plaid-v1.golden"
	got := hex.EncodeToString(rt.AppendBinary(cb.AppendBinary(nil)))
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Error("the stored form has changed; a new version is needed")
	}
	stored := cb.AppendBinary(nil)
	again, err := DecodeCodebook(stored)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.AppendBinary(nil), stored) || again.NumCodes() != 16 {
		t.Error("decoded and encoded it is another")
	}
	for i := range stored {
		bad := bytes.Clone(stored)
		bad[i] ^= 0x10
		if _, err := DecodeCodebook(bad); err == nil {
			t.Fatalf("damage at byte %d was not noticed", i)
		}
	}
	// Every centroid has one number in the routing, inside its cell.
	seen := map[uint32]bool{}
	for code, to := range cb.routed {
		c := cb.cellOf[code]
		if to < rt.Start[c] || to >= rt.Start[c+1] || seen[to] {
			t.Errorf("centroid %d is number %d of the routing, its cell has %d to %d", code, to, rt.Start[c], rt.Start[c+1])
		}
		seen[to] = true
	}
}

// What the encoder makes is what brute force makes: the nearest centroid, and
// the buckets of the residual.
func TestPLAIDEncoder(t *testing.T) {
	p := testPLAID(t, 2)
	cb, rt, err := NewPLAIDCodebook(context.Background(), 1, 1, p)
	if err != nil {
		t.Fatal(err)
	}
	m := NewMatrix(40, 8)
	for i := range m.Data {
		m.Data[i] = float32(math.Sin(float64(i*i%97 + i)))
	}
	enc, err := NewEncoder(8, PLAID2, false, cb, rt).Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	unit := m.Normalized()
	for i := range m.Len() {
		best, code := math.Inf(-1), uint32(0)
		for c := range p.NumCentroids() {
			var dot float64
			for d, x := range unit.Row(i) {
				dot += float64(x) * float64(p.centroids[c*8+d])
			}
			if dot > best+1e-6 {
				best, code = dot, uint32(c)
			}
		}
		record := enc.PLAID[i*p.RecordBytes():][:p.RecordBytes()]
		want := make([]byte, p.ResidualBytes())
		p.EncodeResidual(want, unit.Row(i), code)
		if binary.LittleEndian.Uint32(record) != code || !bytes.Equal(record[4:], want) {
			t.Errorf("token %d is %x, want centroid %d and %x", i, record, code, want)
		}
		if enc.Centroids[i] != cb.routed[code] {
			t.Errorf("token %d is at centroid %d of the routing, want %d", i, enc.Centroids[i], cb.routed[code])
		}
	}
	// Scores are MaxSim of what it decodes to, on every tier of kernels.
	q, err := NewQuery(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	var back Matrix
	Reconstruct(cb, 8, enc.View, PlanePLAID, &back)
	var want float64
	for i := range unit.Len() {
		best := math.Inf(-1)
		for j := range back.Len() {
			var dot float64
			for d, x := range unit.Row(i) {
				dot += float64(x) * float64(back.Row(j)[d])
			}
			best = max(best, dot)
		}
		want += best
	}
	s := NewScorer()
	s.Reset(q, cb)
	if got := s.MaxSim(PlanePLAID, enc.View); math.Abs(float64(got)-want) > 1e-4 {
		t.Errorf("MaxSim is %v, brute force %v", got, want)
	}
	tokens, sims := make([]int32, q.Tokens), make([]float32, q.Tokens)
	if got := s.Explain(PlanePLAID, enc.View, tokens, sims); math.Abs(float64(got)-want) > 1e-4 {
		t.Errorf("Explain's sum is %v, brute force %v", got, want)
	}
}

func BenchmarkPLAIDMaxSim(b *testing.B) {
	for _, bits := range []int{2, 4} {
		b.Run(fmt.Sprint(bits, " bits"), func(b *testing.B) {
			const dim, tokens = 128, 113
			p := &PLAID{Dim: dim, Bits: bits}
			random := func(n int) Floats {
				f := Floats{Type: Float32}
				for i := range n {
					f.Data = binary.LittleEndian.AppendUint32(f.Data, math.Float32bits(float32(math.Sin(float64(i)))/8))
				}
				return f
			}
			p.Centroids, p.Cutoffs, p.Weights = random(2048*dim), random(1<<bits-1), random(1<<bits)
			if err := p.Init(); err != nil {
				b.Fatal(err)
			}
			cb := &Codebook{Dim: dim, PLAID: p}
			v := View{Tokens: tokens}
			for i := range tokens {
				v.PLAID = binary.LittleEndian.AppendUint32(v.PLAID, uint32(i*7%2048))
				for j := range p.ResidualBytes() {
					v.PLAID = append(v.PLAID, byte(i*31+j*17))
				}
			}
			m := NewMatrix(32, dim)
			for i := range m.Data {
				m.Data[i] = float32(math.Sin(float64(i)))
			}
			q, err := NewQuery(m, nil)
			if err != nil {
				b.Fatal(err)
			}
			s := NewScorer()
			s.Reset(q, cb)
			b.ReportAllocs()
			for b.Loop() {
				s.MaxSim(PlanePLAID, v)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/tokens, "ns/token")
		})
	}
}
