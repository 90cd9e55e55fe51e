package server

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
)

// models are the encoders of the server: those that it was given, which clients
// may name, and those that records of collections lead to. The standard one is there
// all the time; the others are loaded when they are used (lazymodel.go).
type models struct {
	standard encoder.Encoder // nil: none
	named    []encoder.Encoder
	lazy     []*lazyModel // of named
	idle     time.Duration
	load     func(location string) (encoder.Encoder, error)

	mu      sync.Mutex
	records map[string]*lazyModel // by fingerprint: not named
}

func newModels(o *Options) *models {
	m := &models{load: o.LoadModel, idle: cmp.Or(o.ModelIdle, 15*time.Minute), records: map[string]*lazyModel{}}
	if o.Model != nil {
		m.standard = noting{o.Model}
		m.named = append(m.named, m.standard)
	}
	for _, further := range o.Models {
		l := &lazyModel{model: further}
		m.lazy = append(m.lazy, l)
		m.named = append(m.named, noting{l})
	}
	return m
}

// all are the models that come and go.
func (m *models) all() []*lazyModel {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.AppendSeq(slices.Clone(m.lazy), maps.Values(m.records))
}

func (m *models) close() error {
	var err error
	for _, l := range m.all() {
		err = errors.Join(err, l.Close())
	}
	return err
}

// evict closes the models that nobody has used since a time.
func (m *models) evict(log *slog.Logger, since time.Time) {
	for _, l := range m.all() {
		if evicted, err := l.evict(since); evicted {
			log.Info("a model was idle and is closed", "model", l.Info().Name, "error", err)
		}
	}
}

// find returns the model of a name, nil without one.
func (m *models) find(name string) encoder.Encoder {
	for _, e := range m.named {
		if info := e.Info(); info.Name == name || info.Location == name {
			return e
		}
	}
	return nil
}

// of returns the encoder of a collection's record, nil where the server cannot load
// it.
func (m *models) of(record *engine.Model, dim int) encoder.Encoder {
	for _, e := range m.named {
		if e.Info().Fingerprint == record.Fingerprint {
			return e
		}
	}
	if m.load == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.records[record.Fingerprint]
	if l == nil {
		l = &lazyModel{model: Model{
			Info: encoder.Info{Name: record.Name, Fingerprint: record.Fingerprint, Location: record.Location, Dim: dim},
			Load: func() (encoder.Encoder, error) { return m.load(record.Location) },
		}}
		m.records[record.Fingerprint] = l
	}
	return noting{l}
}

// open returns a handle on the request's collection, with its encoder where it has
// one.
func (q *request) open() (*engine.Collection, error) { return q.s.openCollection(q.collection) }

func (s *Server) openCollection(name string) (*engine.Collection, error) {
	col, err := s.db.Collection(name)
	if err != nil {
		return nil, err
	}
	record := col.Model()
	if record == nil {
		return col, nil
	}
	enc := s.models.of(record, col.Info().Dim)
	if enc == nil { // vectors are searched and stored without it; who brings text is told
		return col, nil
	}
	return col, engine.WithEncoder(enc)(col)
}

// noting is an encoder that notes in a context's notes what did not fit.
type noting struct{ encoder.Encoder }

// notes are about the documents encoded for one request, in order.
type notes struct {
	truncated []int // tokens left out of each text
}

type notesKey struct{}

func withNotes(ctx context.Context) (context.Context, *notes) {
	n := &notes{}
	return context.WithValue(ctx, notesKey{}, n), n
}

// EncodeDocuments encodes and takes notes.
func (e noting) EncodeDocuments(ctx context.Context, texts []string) ([]encoder.Document, error) {
	var out []encoder.Document
	err := spanning(ctx, "encode", func(ctx context.Context) (err error) {
		out, err = e.Encoder.EncodeDocuments(ctx, texts)
		return err
	})
	if n, ok := ctx.Value(notesKey{}).(*notes); ok && err == nil {
		for _, d := range out {
			n.truncated = append(n.truncated, d.Truncated)
		}
	}
	return out, err
}

// loaded reports whether a model is in memory.
func loaded(e encoder.Encoder) bool {
	if l, ok := e.(noting).Encoder.(*lazyModel); ok {
		is, _ := l.state()
		return is
	}
	return true
}

// runtimeOf says what a model runs on, "" where it is not loaded or does not tell.
func runtimeOf(e encoder.Encoder) string {
	e = e.(noting).Encoder
	if l, ok := e.(*lazyModel); ok {
		if e = l.now(); e == nil {
			return ""
		}
	}
	if r, ok := e.(interface{ Runtime() string }); ok {
		return r.Runtime()
	}
	return ""
}
