// Package resample makes synthetic documents of real token vectors, for measuring
// stores that are larger than the collections at hand.
package resample

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/colbertdb-go/colbertdb/engine"
)

// Noise is how far a token is moved, as a part of its length.
const Noise = 0.4

// Source makes documents; the same for the same number. It may be used from many
// goroutines.
type Source struct {
	Tokens  int // of each document
	Seed    uint64
	vectors engine.Matrix
	noise   []float32
}

// New returns a source of documents whose tokens are neighbours in vectors, each
// moved by Noise.
func New(vectors engine.Matrix, tokens int) (*Source, error) {
	if vectors.Len() < tokens {
		return nil, fmt.Errorf("%d vectors to resample, a document needs %d", vectors.Len(), tokens)
	}
	s := &Source{Tokens: tokens, vectors: vectors, noise: make([]float32, 1<<20)}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range s.noise {
		s.noise[i] = Noise * float32(r.NormFloat64()/math.Sqrt(float64(vectors.Dim)))
	}
	return s, nil
}

// Document returns a document and its id.
func (s *Source) Document(i int) engine.Document {
	return engine.Document{ID: ID(i), Vectors: s.Vectors(i)}
}

// Vectors returns the vectors of a document.
func (s *Source) Vectors(i int) engine.Matrix {
	r := rand.New(rand.NewPCG(7+s.Seed, uint64(i)))
	dim := s.vectors.Dim
	at := r.IntN(s.vectors.Len() - s.Tokens + 1)
	m := engine.Matrix{Dim: dim, Data: make([]float32, s.Tokens*dim)}
	for t := range s.Tokens {
		row, noise := m.Row(t), s.noise[r.IntN(len(s.noise)-dim):]
		for d, x := range s.vectors.Row(at + t) {
			row[d] = x + noise[d]
		}
	}
	return m
}

// Raw is the size of so many documents as float16.
func (s *Source) Raw(documents int) int64 {
	return int64(documents) * int64(s.Tokens) * int64(s.vectors.Dim) * 2
}

// ID is the id of a document.
func ID(i int) string { return fmt.Sprintf("doc-%07d", i) }
