package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
)

// Model is a model that collections may name. Info is what it will be; Load loads
// it, and the server closes what it loads.
type Model struct {
	Info encoder.Info
	Load func() (encoder.Encoder, error)
}

// loadAgainAfter is how long the error of a load is answered before another is tried.
const loadAgainAfter = 10 * time.Second

// lazyModel is an encoder that is loaded when it is first used, closed when it was
// idle for long enough, and loaded again at the next use. A use never sees it closed.
type lazyModel struct {
	model Model

	mu       sync.Mutex
	enc      encoder.Encoder // nil: not loaded
	loading  chan struct{}   // closed when the load that runs ends; nil: none runs
	failed   error           // of the last load
	failedAt time.Time
	using    int
	lastUse  time.Time // the end of the last one
	loads    int64
	closed   bool // for good
}

var _ encoder.Encoder = (*lazyModel)(nil)

// Info names the model, loaded or not.
func (l *lazyModel) Info() encoder.Info { return l.model.Info }

// enter returns the loaded model; leave must follow a nil error. It waits for a load
// as long as ctx lasts; the load goes on without it.
func (l *lazyModel) enter(ctx context.Context) (encoder.Encoder, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.closed:
			return nil, fmt.Errorf("%w: the server is shutting down", engine.ErrNoEncoder)
		case l.enc != nil:
			l.using++
			return l.enc, nil
		case l.failed != nil && time.Since(l.failedAt) < loadAgainAfter:
			return nil, l.failed
		case l.loading == nil:
			l.loading = make(chan struct{})
			go l.load(l.loading)
		}
		loaded := l.loading
		l.mu.Unlock()
		select {
		case <-loaded:
		case <-ctx.Done():
			l.mu.Lock()
			return nil, ctx.Err()
		}
		l.mu.Lock()
	}
}

// load loads the model and tells those who wait. Close waits for it.
func (l *lazyModel) load(done chan struct{}) {
	want := l.model.Info
	var enc encoder.Encoder
	err := guarded(func() (err error) {
		enc, err = l.model.Load()
		return err
	})
	if err != nil {
		err = fmt.Errorf("%w: the model %s cannot be loaded: %w", engine.ErrNoEncoder, want.Name, err)
	} else if have := enc.Info(); have.Fingerprint != want.Fingerprint {
		err = errors.Join(fmt.Errorf("%w: the model %s is another version of it now (%.12s, the collection has %.12s): reindex it, or search by vectors",
			engine.ErrNoEncoder, want.Name, have.Fingerprint, want.Fingerprint), enc.Close())
		enc = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.enc = enc; enc != nil {
		l.loads++
	}
	l.failed, l.failedAt, l.lastUse = err, time.Now(), time.Now()
	l.loading = nil
	close(done)
}

func (l *lazyModel) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.using--
	l.lastUse = time.Now()
}

// evict closes the model where nobody uses it and nobody has since a time.
func (l *lazyModel) evict(since time.Time) (evicted bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.enc == nil || l.using > 0 || l.lastUse.After(since) {
		return false, nil
	}
	enc := l.enc
	l.enc = nil
	return true, enc.Close()
}

// state says whether the model is loaded, and how often it was.
func (l *lazyModel) state() (loaded bool, loads int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.enc != nil, l.loads
}

// now is the encoder that is loaded, nil for none. It may be closed at any time.
func (l *lazyModel) now() encoder.Encoder {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.enc
}

// Close waits for a load and closes the model for good. No use may be running.
func (l *lazyModel) Close() error {
	l.mu.Lock()
	l.closed = true
	loading := l.loading
	l.mu.Unlock()
	if loading != nil {
		<-loading
	}
	_, err := l.evict(time.Now())
	return err
}

// EncodeQueries loads the model where it must and encodes.
func (l *lazyModel) EncodeQueries(ctx context.Context, texts []string) ([]encoder.Query, error) {
	enc, err := l.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer l.leave()
	return enc.EncodeQueries(ctx, texts)
}

// EncodeDocuments loads the model where it must and encodes.
func (l *lazyModel) EncodeDocuments(ctx context.Context, texts []string) ([]encoder.Document, error) {
	enc, err := l.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer l.leave()
	return enc.EncodeDocuments(ctx, texts)
}

// DocumentSpans loads the model where it must; there are no spans without it.
func (l *lazyModel) DocumentSpans(text string) []encoder.Span {
	enc, err := l.enter(context.Background())
	if err != nil {
		return nil
	}
	defer l.leave()
	return enc.DocumentSpans(text)
}

// Windows loads the model where it must; without it a text is one window, and
// encoding that tells what is wrong.
func (l *lazyModel) Windows(text string, overlap int) []encoder.Span {
	enc, err := l.enter(context.Background())
	if err != nil {
		return []encoder.Span{{Start: 0, End: len(text)}}
	}
	defer l.leave()
	return enc.Windows(text, overlap)
}
