package bert

import (
	"context"
	"fmt"
	"io/fs"
	"runtime"
	"sync"

	"github.com/colbertdb-go/colbertdb/encoder"
)

// Options configure a model. The zero value is ready to use.
type Options struct {
	// Threads is the number of goroutines that share a batch, or a text where
	// the batch has few. Default: GOMAXPROCS when the model is opened.
	Threads int
	encoder.Tuning
}

// Open opens a model folder; location names it for errors and for opening it
// again. A folder with another architecture is an error that wraps
// encoder.ErrModel.
func Open(fsys fs.FS, location string, o Options) (encoder.Encoder, error) {
	f, err := encoder.ReadFolder(fsys, location, nil)
	if err != nil {
		return nil, err
	}
	m, err := newModel(f.Graph)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %s: %w", encoder.ErrModel, location, f.GraphName, err)
	}
	longest := max(f.Config.QueryLength, f.Config.DocumentLength)
	if p := f.Config.Pooled; p != nil {
		longest += len(p.IDs)
	}
	if longest > m.positions {
		return nil, fmt.Errorf("%w: %s: %s allows texts of %d tokens, %s has %d positions",
			encoder.ErrModel, location, f.ConfigName(), longest, f.GraphName, m.positions)
	}
	f.Graph = nil // its weights are unpacked
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	return encoder.NewColBERT(f, &session{model: m, threads: o.Threads}, o.Tuning)
}

type session struct {
	model   *model
	threads int
	pool    sync.Pool // of *scratch
	crew    crew
}

// Lanes implements encoder.Laned: a query is too short to be shared out.
func (s *session) Lanes() (queries, documents int) { return s.threads, 1 }

// SkipsPadding says that rows may be of different lengths: see Run.
func (s *session) SkipsPadding() bool { return true }

// Runtime says what runs the model.
func (s *session) Runtime() string { return fmt.Sprintf("Go, %d threads", s.threads) }

// groupRows is how many tokens go through the layers together: enough that
// weights are read from memory once for many, few enough for the caches.
const groupRows = 128

// Run implements encoder.Session. Padding, which is what follows a row's length
// in the batch, is not computed: its vectors are zero.
func (s *session) Run(ctx context.Context, b encoder.Batch) ([]float32, int, error) {
	out := make([]float32, b.Rows*b.Cols*s.model.dim)
	groups, err := s.groups(b, out)
	if err != nil || len(groups) == 0 {
		return out, s.model.dim, err
	}
	// Whole groups are shared out; where there are fewer than goroutines, so is
	// the work within one.
	outer := min(s.threads, len(groups))
	errs := make([]error, len(groups))
	s.crew.share(outer, len(groups), func(_, i int) {
		mem, _ := s.pool.Get().(*scratch)
		if mem == nil {
			mem = &scratch{crew: &s.crew}
		}
		mem.workers = s.threads / outer
		errs[i] = s.model.run(ctx, mem, groups[i])
		s.pool.Put(mem)
	})
	for _, err := range errs {
		if err != nil {
			return nil, 0, err
		}
	}
	return out, s.model.dim, nil
}

// groups cuts a batch into texts that are computed together, whose vectors are
// parts of out.
func (s *session) groups(b encoder.Batch, out []float32) (groups [][]text, err error) {
	m, tokens := s.model, groupRows
	for r := range b.Rows {
		at, n := r*b.Cols, b.Lengths[r]
		if n > m.positions {
			return nil, fmt.Errorf("%w: a text of %d tokens, the model has %d positions", encoder.ErrModel, n, m.positions)
		}
		t := text{b.IDs[at : at+n], b.Mask[at : at+n], out[at*m.dim : (at+n)*m.dim]}
		for _, id := range t.ids {
			if id < 0 || int(id) >= len(m.wordScales) {
				return nil, fmt.Errorf("%w: token %d, the model has %d", encoder.ErrModel, id, len(m.wordScales))
			}
		}
		if tokens+n > groupRows {
			groups, tokens = append(groups, nil), 0
		}
		last := len(groups) - 1
		groups[last] = append(groups[last], t)
		tokens += n
	}
	return groups, nil
}

// Close implements encoder.Session.
func (s *session) Close() error {
	s.crew.wait()
	return nil
}
