package server

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
)

// models are the encoders of the server: those that it was given, which clients
// may name, and those that records of collections lead to, loaded at first use.
type models struct {
	standard encoder.Encoder // nil: none
	named    []encoder.Encoder
	load     func(location string) (encoder.Encoder, error)

	mu     sync.Mutex // held while a model is loaded
	loaded map[string]encoder.Encoder
}

func newModels(o *Options) *models {
	m := &models{load: o.LoadModel, loaded: map[string]encoder.Encoder{}}
	if o.Model != nil {
		m.standard = noting{o.Model}
		m.named = append(m.named, m.standard)
	}
	for _, e := range o.Models {
		m.named = append(m.named, noting{e})
	}
	return m
}

func (m *models) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	for _, e := range m.loaded {
		err = errors.Join(err, e.Close())
	}
	m.loaded = nil
	return err
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

// of returns the encoder of a collection's record.
func (m *models) of(record *engine.Model) (encoder.Encoder, error) {
	for _, e := range m.named {
		if e.Info().Fingerprint == record.Fingerprint {
			return e, nil
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.loaded[record.Fingerprint]; e != nil {
		return e, nil
	}
	if m.load == nil || m.loaded == nil {
		return nil, fmt.Errorf("%w: the server does not have %s, the collection's model", engine.ErrNoEncoder, record.Name)
	}
	e, err := m.load(record.Location)
	if err != nil {
		return nil, fmt.Errorf("%w: the collection's model %s cannot be loaded", engine.ErrNoEncoder, record.Name)
	}
	if have := e.Info().Fingerprint; have != record.Fingerprint {
		return nil, errors.Join(fmt.Errorf("%w: the model %s is another version of it now (%.12s, the collection has %.12s): reindex it, or search by vectors",
			engine.ErrNoEncoder, record.Name, have, record.Fingerprint), e.Close())
	}
	m.loaded[record.Fingerprint] = noting{e}
	return m.loaded[record.Fingerprint], nil
}

// open returns a handle on the request's collection, with its encoder where it has
// one.
func (q *request) open() (*engine.Collection, error) {
	col, err := q.s.db.Collection(q.collection)
	if err != nil {
		return nil, err
	}
	record := col.Model()
	if record == nil {
		return col, nil
	}
	enc, err := q.s.models.of(record)
	if err != nil {
		// Vectors are searched and stored without it; who brings text is told.
		q.s.log.Warn("a collection's model is missing", "collection", q.collection, "model", record.Location, "error", err)
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
	out, err := e.Encoder.EncodeDocuments(ctx, texts)
	if n, ok := ctx.Value(notesKey{}).(*notes); ok && err == nil {
		for _, d := range out {
			n.truncated = append(n.truncated, d.Truncated)
		}
	}
	return out, err
}
