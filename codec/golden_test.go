package codec_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/envelope"
	"github.com/colbertdb-go/colbertdb/internal/simd"
)

var update = flag.Bool("update", false, "write golden files anew")

// smallSpace is a codebook and a routing written by hand.
func smallSpace() (*codec.Codebook, *codec.Routing) {
	cb := &codec.Codebook{ID: 7, Dim: 8, Cells: make([]int16, 3*8), ResidualNorm: 0.5, ResidualP95: 0.75}
	for i := range cb.Cells {
		cb.Cells[i] = int16(i*601%4001 - 2000)
	}
	for i := range cb.Levels {
		cb.Levels[i] = int16(i*240 - 1800)
		if i < len(cb.Bounds) {
			cb.Bounds[i] = cb.Levels[i] + 120
		}
	}
	for i := range cb.CoarseLevels {
		cb.CoarseLevels[i] = cb.Levels[4*i] + 360
	}
	rt := &codec.Routing{ID: 9, CodebookID: 7, Dim: 8, Start: []uint32{0, 2, 3, 5}, Centroids: make([]int8, 5*8)}
	for i := range rt.Centroids {
		rt.Centroids[i] = int8(i*37%81 - 40)
	}
	return cb, rt
}

// The stored bytes of version 1 never change.
func TestGolden(t *testing.T) {
	var b strings.Builder
	line := func(name string, v []byte) { fmt.Fprintf(&b, "%s %s\n", name, hex.EncodeToString(v)) }
	stored, storedRouting := smallSpace()
	line("codebook", stored.AppendBinary(nil))
	line("routing", storedRouting.AppendBinary(nil))
	cb, err := codec.DecodeCodebook(stored.AppendBinary(nil))
	if err != nil {
		t.Fatal(err)
	}
	rt, err := codec.DecodeRouting(storedRouting.AppendBinary(nil))
	if err != nil {
		t.Fatal(err)
	}
	m := codec.NewMatrix(3, 8)
	for i := range m.Data {
		m.Data[i] = float32(i*29%17) - 8
	}
	clear(m.Row(2))
	m.Row(2)[5] = 3 // raises the document's exponent
	for _, p := range []codec.Profile{codec.Exact, codec.Balanced, codec.Compact} {
		e := mustEncode(t, codec.NewEncoder(8, p, true, cb, rt), m)
		for i, c := range [][]byte{{e.Exp}, e.Codes, e.A, e.B, e.C, e.Raw} {
			line(p.String()+"."+[]string{"exp", "codes", "a", "b", "c", "raw"}[i], c)
		}
		line(p.String()+".centroids", []byte(fmt.Sprint(e.Centroids)))
	}
	const path = "testdata/codec-v1.golden"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("stored bytes changed:\n%s\nwant:\n%s", b.String(), want)
	}
}

// Training and encoding give the same bytes on any number of cores and on every
// kernel tier.
func TestBytesAreTheSameEverywhere(t *testing.T) {
	sample := clustered(rand.New(rand.NewPCG(7, 7)), 1500, 24)
	var want []byte
	for _, cores := range []int{1, 2, 7} {
		for _, tier := range simd.Tiers() {
			func() {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
				restore, err := simd.Force(tier)
				if err != nil {
					t.Fatal(err)
				}
				defer restore()
				cb, rt, err := codec.Train(context.Background(), sample, codec.TrainOptions{Seed: 3})
				if err != nil {
					t.Fatal(err)
				}
				got := rt.AppendBinary(cb.AppendBinary(nil))
				e := mustEncode(t, codec.NewEncoder(24, codec.Balanced, true, cb, rt), codec.Matrix{Dim: 24, Data: sample.Data[:24*70]})
				for _, c := range [][]byte{e.Codes, e.A, e.B, e.C, e.Raw} {
					got = append(got, c...)
				}
				for _, c := range e.Centroids {
					got = binary.LittleEndian.AppendUint32(got, c)
				}
				if want == nil {
					want = got
				} else if !bytes.Equal(got, want) {
					t.Errorf("%s on %d cores: other bytes", tier, cores)
				}
			}()
		}
	}
}

// Raw scores, too, are the same bits on every tier.
func TestRawScoresAreTheSameOnEveryTier(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	e := mustEncode(t, codec.NewEncoder(96, codec.Exact, true, nil, nil), clustered(r, 130, 96))
	q := mustQuery(t, clustered(r, 33, 96))
	scores := map[float32]bool{}
	for _, tier := range simd.Tiers() {
		restore, err := simd.Force(tier)
		if err != nil {
			t.Fatal(err)
		}
		s := codec.NewScorer()
		s.Reset(q, nil)
		scores[s.MaxSim(codec.PlaneRaw, e.View)] = true
		restore()
	}
	if len(scores) != 1 {
		t.Errorf("tiers disagree: %v", scores)
	}
}

// The targets get bodies behind a right checksum: a checksum keeps accidents
// out, not a hostile writer. What is accepted must encode and score.
func FuzzDecodeCodebook(f *testing.F) {
	cb, _ := smallSpace()
	_, body, err := envelope.Open(cb.AppendBinary(nil), "CDBK", 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		b := envelope.Append(nil, "CDBK", 1, func(b []byte) []byte { return append(b, body...) })
		cb, err := codec.DecodeCodebook(b)
		if err != nil {
			return
		}
		if !bytes.Equal(cb.AppendBinary(nil), b) {
			t.Error("does not round-trip")
		}
		rt := &codec.Routing{Dim: cb.Dim, Start: make([]uint32, cb.NumCells()+1), Centroids: make([]int8, cb.Dim)}
		for i := range rt.Start[1:] {
			rt.Start[i+1] = 1
		}
		m := codec.NewMatrix(2, cb.Dim)
		m.Row(0)[0], m.Row(1)[1] = 1, 1
		e := mustEncode(t, codec.NewEncoder(cb.Dim, codec.Balanced, false, cb, rt), m)
		s := codec.NewScorer()
		s.Reset(mustQuery(t, m), cb)
		s.MaxSim(codec.PlaneB, e.View)
	})
}

func FuzzDecodeRouting(f *testing.F) {
	_, rt := smallSpace()
	_, body, err := envelope.Open(rt.AppendBinary(nil), "CDBR", 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		b := envelope.Append(nil, "CDBR", 1, func(b []byte) []byte { return append(b, body...) })
		if rt, err := codec.DecodeRouting(b); err == nil && !bytes.Equal(rt.AppendBinary(nil), b) {
			t.Error("does not round-trip")
		}
	})
}
