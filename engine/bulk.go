package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
)

// BulkOptions configure a load. The zero value is ready to use.
type BulkOptions struct {
	// Token names the load, so that it can go on after its program ended: a load
	// opened with the same token says with Bulk.Documents how many documents are
	// stored already, and takes the rest. Default: none.
	Token string
	// ExpectedTokens is about how many token vectors the load brings. A
	// collection that has no codebook yet gets one for that size, rather than for
	// what was seen when it was trained. Default: unknown.
	ExpectedTokens int64
	// Workers is the number of goroutines that encode. Default: GOMAXPROCS.
	Workers int
	// PublishEvery is the age of its first document at which a segment is
	// published though it is not full. Default: 0, when it is full.
	PublishEvery time.Duration
	// OnPublish is called after each published segment, by a goroutine of the
	// load, which waits for it. Default: none.
	OnPublish func(BulkProgress)
}

// BulkProgress says what of a load is stored: durable, and seen by searches.
type BulkProgress struct {
	Documents int64 // since its first start, where it has a token
	Tokens    int64 // token vectors since this start
	Segments  int   // since this start
	Seq       uint64
}

// Bulk loads many documents into a collection, straight into segments: their
// vectors are written once and never logged. Documents become durable and
// visible a segment at a time, each step atomic; what was not published when the
// program ends is lost, and a load with a token goes on where the last published
// segment ended.
//
// A load counts as made when it was opened: it replaces documents that were
// there then, and its own earlier documents of the same id, while what is
// upserted or deleted beside it is newer than anything that it brings. One load
// at a time is open on a collection. Its methods are for one goroutine.
//
//	load, err := col.Bulk(ctx, engine.BulkOptions{Token: "corpus.jsonl"})
//	defer load.Close()
//	for _, d := range documents[load.Documents():] {
//		err = load.Add(ctx, d)
//	}
//	err = load.Commit(ctx)
//
// Memory is bounded: a few batches, one segment's postings, and, until a new
// collection has its codebook, the documents that it is trained on.
type Bulk struct {
	h    *Collection
	o    BulkOptions
	ctx  context.Context // ends with the load, the collection or the store
	stop context.CancelCauseFunc

	// Documents go to the workers and, in the same order, to the builder.
	work  chan *bulkBatch
	order chan *bulkBatch
	ready chan struct{} // closed when space is known
	done  chan struct{} // closed when the goroutines have ended
	space *space
	spool []*bulkBatch // what waits for the first codebook
	spooledTokens,
	spooledBytes int64
	designed   int64          // tokens that the load's codebook was made for, 0: it made none
	trainedNum segment.DocNum // first document number that it was not trained on
	state      *bulkState
	over       bool // committed or closed

	mu       sync.Mutex
	progress BulkProgress
}

// bulkState is what the rest of the collection knows of an open load.
type bulkState struct {
	next, last segment.DocNum      // the document numbers reserved for it
	touched    map[string]struct{} // ids changed since it was opened; guarded by Engine.mu
}

// bulkNumbers is how many document numbers a load reserves. Numbers are 64 bits
// wide and need not be dense.
const bulkNumbers = 1 << 32

// Limits of what a load keeps in memory.
const (
	bulkBatchDocuments = 64
	bulkBatchBytes     = 1 << 20
	bulkSpoolTokens    = 512 << 10 // for the first codebook
)

// ErrBulkOpen is returned for a second load of a collection.
var ErrBulkOpen = errors.New("colbertdb: a load is open on the collection")

// Bulk opens a load. It seals the collection's buffer first. Close must follow.
func (h *Collection) Bulk(ctx context.Context, o BulkOptions) (*Bulk, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	b := &Bulk{
		h: h, o: o,
		work: make(chan *bulkBatch, 2*o.Workers), order: make(chan *bulkBatch, 4*o.Workers),
		ready: make(chan struct{}), done: make(chan struct{}),
	}
	c, e := h.c, h.c.engine
	v, err := c.acquire() // the collection is kept, not the segments of this version
	if err != nil {
		return nil, err
	}
	c.unref(v)
	if err := e.fit(ctx, func(o *collection) bool { return o == c }); err != nil {
		c.unuse()
		return nil, err
	}
	err = e.publishing(ctx, func(ctx context.Context) error {
		e.commitMu.Lock()
		e.mu.Lock()
		err := b.begin()
		e.mu.Unlock()
		e.commitMu.Unlock()
		if err != nil {
			return err
		}
		// What the load replaces is in segments, and no log record of it is left
		// that a replay would take for newer: nor one of a delete that found nothing.
		if err := e.sealAndRotate(ctx, func(o *collection) bool { return o == c }, true); err != nil {
			b.end()
			return err
		}
		b.ctx, b.stop = context.WithCancelCause(c.alive)
		if l := c.record.load(o.Token); l != nil {
			b.progress.Documents = l.Documents
		}
		if s := c.space(); s.coded() {
			b.start(s)
		}
		go b.run()
		return nil
	})
	if err != nil {
		c.unuse()
		return nil, err
	}
	return b, nil
}

// begin reserves document numbers: below them is what is there, above them what
// comes beside the load. The caller holds Engine.pub, commitMu and mu.
func (b *Bulk) begin() error {
	c := b.h.c
	switch {
	case c.engine.closed():
		return ErrClosed
	case c.dropped.Load():
		return fmt.Errorf("%w: %q was dropped", ErrCollectionNotFound, c.name)
	case c.bulk != nil:
		return fmt.Errorf("%w: %q", ErrBulkOpen, c.name)
	case c.notes != nil: // its numbers would come behind the reindex's position
		return fmt.Errorf("%w: collection %q is being re-encoded", ErrInUse, c.title())
	}
	if err := b.h.mayWrite(); err != nil {
		return err
	}
	c.freeze()
	b.state = &bulkState{next: c.nextNum, last: c.nextNum + bulkNumbers - 1, touched: map[string]struct{}{}}
	c.nextNum += bulkNumbers
	c.bulk = b.state
	c.finish(c.next())
	c.engine.wg.Add(1)
	return nil
}

// end makes room for another load. It undoes begin.
func (b *Bulk) end() {
	c, e := b.h.c, b.h.c.engine
	e.mu.Lock()
	c.bulk = nil
	e.mergeable[c] = struct{}{} // merges and trainings that were put off
	e.mu.Unlock()
	e.wake()
	e.wg.Done()
}

// start lets the encoders work.
func (b *Bulk) start(s *space) {
	b.space = s
	close(b.ready)
}

// Documents is the number of documents of this load that are stored: a caller
// that goes on with a load leaves out so many.
func (b *Bulk) Documents() int64 { return b.Progress().Documents }

// Progress says what is stored.
func (b *Bulk) Progress() BulkProgress {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.progress
}

// Add takes documents, as Upsert does, at most MaxBatchDocuments; they are
// published in one step. After an error that concerns a document
// (ErrInvalid, ErrDimension, ErrBadVector, ErrNoVectors, ErrNoEncoder) none of
// these was taken and the load goes on; any other error ends the load.
func (b *Bulk) Add(ctx context.Context, docs ...Document) error {
	if err := b.usable(); err != nil {
		return err
	}
	if len(docs) > MaxBatchDocuments {
		return fmt.Errorf("%w: %d documents in one batch, the limit is %d", ErrInvalid, len(docs), MaxBatchDocuments)
	}
	docs, err := b.h.encodeTexts(ctx, docs)
	if err != nil {
		return err
	}
	ops := make([]op, len(docs))
	for i := range docs {
		if ops[i], err = newUpsert(&docs[i], b.h.c.config.Dim); err != nil {
			return err
		}
	}
	return b.add(ctx, ops)
}

// add passes the upserts of one step on.
func (b *Bulk) add(ctx context.Context, ops []op) error {
	group := bulkGroup{documents: len(ops)}
	size := 0
	for i := range ops {
		size += ops[i].bytes()
	}
	if err := b.h.c.engine.disk.grow(int64(size)); err != nil {
		return err
	}
	for i := range ops {
		group.tokens += int64(ops[i].tokens())
	}
	for len(ops) > 0 {
		n, size := 0, 0
		for n < len(ops) && n < bulkBatchDocuments && size < bulkBatchBytes {
			size += ops[n].bytes()
			n++
		}
		if err := b.put(ctx, &bulkBatch{ops: ops[:n:n], group: group, last: n == len(ops), done: make(chan struct{})}); err != nil {
			return err
		}
		ops, group = ops[n:], bulkGroup{}
	}
	return nil
}

func (b *Bulk) usable() error {
	if b.over {
		return fmt.Errorf("%w: the load has ended", ErrClosed)
	}
	return b.failure()
}

// failure is why the load ended early, nil while it goes on.
func (b *Bulk) failure() error {
	switch err := context.Cause(b.ctx); {
	case err == nil:
		return nil
	case b.h.c.engine.closed():
		return ErrClosed
	case b.h.c.alive.Err() != nil:
		return fmt.Errorf("%w: %q was dropped", ErrCollectionNotFound, b.h.c.name)
	default:
		return err
	}
}

// put passes a batch on, or keeps it until there is a codebook.
func (b *Bulk) put(ctx context.Context, batch *bulkBatch) error {
	if b.space != nil {
		return b.send(ctx, batch)
	}
	b.spool = append(b.spool, batch)
	for i := range batch.ops {
		b.spooledTokens += int64(batch.ops[i].tokens())
		b.spooledBytes += int64(batch.ops[i].bytes())
	}
	o := &b.h.c.engine.opts
	enough := max(o.TrainTokens, min(bulkSpoolTokens, int64(o.TrainSample)))
	if b.spooledTokens < enough && b.spooledBytes < 1<<10*bulkSpoolTokens {
		return nil
	}
	return b.settle(ctx)
}

// settle fixes how the load encodes: by a codebook trained on what has been
// spooled, or flat where there is too little; and passes the spool on.
func (b *Bulk) settle(ctx context.Context) error {
	s, err := b.train(ctx)
	if err != nil {
		b.stop(err)
		return err
	}
	b.start(s)
	spool := b.spool
	b.spool = nil
	for i, batch := range spool {
		spool[i] = nil
		if err := b.send(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bulk) send(ctx context.Context, batch *bulkBatch) error {
	for _, to := range []chan *bulkBatch{b.work, b.order} {
		select {
		case to <- batch:
		case <-b.ctx.Done():
			return b.failure()
		case <-ctx.Done(): // it may be in one queue and not in the other
			b.stop(ctx.Err())
			return ctx.Err()
		}
	}
	return nil
}

// Commit publishes what is left and ends the load. A load with a token stays on
// record as stored: opened again, it has all its documents.
func (b *Bulk) Commit(ctx context.Context) error {
	if err := b.usable(); err != nil {
		return err
	}
	if b.space == nil {
		if err := b.settle(ctx); err != nil {
			return err
		}
	}
	close(b.work)
	close(b.order)
	select {
	case <-b.done:
	case <-ctx.Done():
		b.stop(ctx.Err())
		<-b.done
	}
	b.over = true
	err := b.failure()
	b.stop(ErrClosed)
	return err
}

// Close ends the load; what was not published is dropped. After Commit it does
// nothing.
func (b *Bulk) Close() error {
	b.stop(ErrClosed)
	<-b.done
	b.over = true
	return nil
}

// run is the load's goroutine: it owns the workers and builds segments.
func (b *Bulk) run() {
	defer close(b.done)
	defer b.h.c.unuse()
	defer b.end()
	select {
	case <-b.ready:
	case <-b.ctx.Done():
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for range b.o.Workers {
		wg.Go(b.encode)
	}
	if err := b.build(); err != nil {
		b.stop(err)
	}
}

// bulkBatch is some documents on their way to a segment.
type bulkBatch struct {
	ops     []op
	group   bulkGroup // all documents of one Add, told with its first batch
	last    bool      // the last batch of one Add
	encoded []*codec.Encoded
	err     error
	done    chan struct{} // closed when encoded
}

// bulkGroup is the size of what goes into one segment together.
type bulkGroup struct {
	documents int
	tokens    int64
}

// encode is one worker.
func (b *Bulk) encode() {
	enc := b.space.encoder()
	for {
		select {
		case batch, ok := <-b.work:
			if !ok {
				return
			}
			batch.encode(enc)
		case <-b.ctx.Done():
			return
		}
	}
}

func (b *bulkBatch) encode(enc *codec.Encoder) {
	defer close(b.done)
	b.encoded = make([]*codec.Encoded, len(b.ops))
	for i := range b.ops {
		o := &b.ops[i]
		if o.enc != nil {
			b.encoded[i] = o.enc
			continue
		}
		if b.encoded[i], b.err = enc.Encode(o.matrix()); b.err != nil {
			b.err = fmt.Errorf("document %q: %w", o.id, b.err)
			return
		}
		o.raw = nil // what is stored of it is encoded
	}
}

// build takes encoded batches in order and publishes segments of them.
func (b *Bulk) build() (err error) {
	var s *bulkSegment
	defer func() {
		if s != nil {
			s.builder.Abort()
		}
	}()
	publish := func() error {
		if s == nil {
			return nil
		}
		full := s
		s = nil
		return b.publish(full)
	}
	age := time.NewTimer(time.Hour)
	defer age.Stop()
	due := age.C
	if b.o.PublishEvery == 0 {
		due = nil
	}
	whole, old := true, false // between two groups; the segment is old enough
	for {
		if whole && old {
			old = false
			if err := publish(); err != nil {
				return err
			}
		}
		select {
		case batch, ok := <-b.order:
			if !ok {
				return publish()
			}
			select {
			case <-batch.done:
			case <-b.ctx.Done():
				return nil
			}
			if batch.err != nil {
				return batch.err
			}
			if s != nil && !s.takes(batch.group, &b.h.c.engine.opts) {
				if err := publish(); err != nil {
					return err
				}
			}
			if s == nil {
				if s, err = b.newSegment(); err != nil {
					return err
				}
				if b.o.PublishEvery > 0 {
					age.Reset(b.o.PublishEvery)
				}
			}
			whole = batch.last
			for i := range batch.ops {
				if err := s.add(b.state, &batch.ops[i], batch.encoded[i]); err != nil {
					return err
				}
			}
		case <-due:
			old = true
		case <-b.ctx.Done():
			return nil
		}
	}
}

// train gives a flat collection the codebook that the load calls for; where
// there is too little to train on, it stays flat.
func (b *Bulk) train(ctx context.Context) (s *space, err error) {
	c, e := b.h.c, b.h.c.engine
	err = e.background(ctx, func(ctx context.Context) error {
		v, err := c.acquire()
		if err != nil {
			return err
		}
		defer c.release(v)
		s = v.space
		have := v.liveTokens()
		if s.coded() || have+b.spooledTokens < e.opts.TrainTokens {
			return nil
		}
		sample := codec.Matrix{Dim: s.dim}
		if have > 0 {
			if sample, _, err = v.sample(ctx, e.opts.TrainSample, have); err != nil { // flat: hardly lossy
				return err
			}
		}
		// Evenly over the spool, as from segments.
		limit := int64(e.opts.TrainSample)
		stride, n := (b.spooledTokens+limit-1)/limit, int64(0)
		sample.Data = append(make([]float32, 0, len(sample.Data)+int(b.spooledTokens/stride+1)*s.dim), sample.Data...)
		for _, batch := range b.spool {
			for i := range batch.ops {
				if n++; n%stride == 0 {
					sample.Data = append(sample.Data, batch.ops[i].matrix().Data...)
				}
			}
		}
		b.trainedNum = b.state.next + segment.DocNum(n)
		b.designed = max(have+b.spooledTokens, b.o.ExpectedTokens)
		// A sample of a few points a centroid is the least that clusters.
		centroids := min(codec.DesignCentroids(b.designed), max(1024, sample.Len()/4))
		o := codec.TrainOptions{TotalTokens: b.designed, Centroids: centroids}
		if err := e.trainOn(ctx, c, v, trainFirst, sample, o); err != nil {
			return err
		}
		now, err := c.acquire()
		if err != nil {
			return err
		}
		defer c.release(now)
		s = now.space
		return nil
	})
	return s, err
}
