package bert

import (
	"context"
	"fmt"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/colbertdb-go/colbertdb/encoder"
)

// Options configure a model. The zero value is ready to use.
type Options struct {
	// Threads is the number of goroutines that share a batch. Default: one a core.
	Threads int
}

// Open opens a model folder; location names it for errors and for opening it
// again. A folder with another architecture is an error that wraps
// encoder.ErrModel.
func Open(fsys fs.FS, location string, o Options) (encoder.Encoder, error) {
	f, err := encoder.ReadFolder(fsys, location)
	if err != nil {
		return nil, err
	}
	m, err := newModel(f.Graph)
	if err != nil {
		return nil, fmt.Errorf("%w: %s in %s: %w", encoder.ErrModel, f.GraphName, location, err)
	}
	f.Graph = nil // its weights are unpacked
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	return encoder.NewColBERT(f, &session{model: m, threads: o.Threads})
}

type session struct {
	model   *model
	threads int
	pool    sync.Pool
}

// groupRows is how many tokens go through the layers together: enough that
// weights are read from memory once for many, few enough for the caches.
const groupRows = 128

// Run implements encoder.Session.
func (s *session) Run(ctx context.Context, b encoder.Batch) ([]float32, int, error) {
	dim := s.model.dim
	out := make([]float32, b.Rows*b.Cols*dim)
	var groups [][]text
	tokens := groupRows
	for r := range b.Rows {
		at, n := r*b.Cols, b.Lengths[r]
		if n > s.model.positions {
			return nil, 0, fmt.Errorf("%w: a text of %d tokens, the model has %d positions", encoder.ErrModel, n, s.model.positions)
		}
		for _, id := range b.IDs[at : at+n] {
			if id < 0 || int(id) >= len(s.model.wordScales) {
				return nil, 0, fmt.Errorf("%w: token %d, the model has %d", encoder.ErrModel, id, len(s.model.wordScales))
			}
		}
		if tokens+n > groupRows {
			groups, tokens = append(groups, nil), 0
		}
		last := len(groups) - 1
		groups[last] = append(groups[last], text{b.IDs[at : at+n], b.Mask[at : at+n], out[at*dim : (at+n)*dim]})
		tokens += n
	}
	workers := min(s.threads, len(groups))
	errs := make([]error, workers)
	var next atomic.Int64
	work := func(w int) {
		mem, _ := s.pool.Get().(*scratch)
		if mem == nil {
			mem = &scratch{}
		}
		defer s.pool.Put(mem)
		for errs[w] == nil {
			i := int(next.Add(1)) - 1
			if i >= len(groups) {
				return
			}
			errs[w] = s.model.run(ctx, mem, groups[i])
		}
	}
	var wg sync.WaitGroup
	for w := 1; w < workers; w++ {
		wg.Go(func() { work(w) })
	}
	if workers > 0 {
		work(0)
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, 0, err
		}
	}
	return out, dim, nil
}

// Close implements encoder.Session.
func (s *session) Close() error { return nil }
