package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"github.com/colbertdb-go/colbertdb/wal"
)

// Change is one committed batch: the operations of one Upsert or Delete, which
// were applied in one step and in this order.
type Change struct {
	Seq uint64
	// Collection is its own name: of one that is gone the one that it was created
	// with, empty where nothing names it.
	Collection string
	Operations []Operation
}

// Operation is one document of a Change.
type Operation struct {
	ID string
	// Document is what was stored, with its float16 vectors; nil: deleted.
	Document *Document
}

// ChangesOptions say what Changes yields.
type ChangesOptions struct {
	// Collection limits it to one, named by itself or by an alias as of the call: an
	// alias that is switched later leads where it did. ErrCollectionNotFound: there is
	// none. Default: all.
	Collection string
	// Follow goes on with new changes as they are committed, until the context
	// ends. Default: it ends with the last change committed so far.
	Follow bool
}

// TooOldError says from where on the log can be read.
type TooOldError struct {
	After uint64 // what was asked for
	First uint64 // the first change that can be had: ask for those after First-1
}

func (e *TooOldError) Error() string {
	return fmt.Sprintf("%v: changes after %d were asked for, those from %d on are there; take a new backup or raise Options.KeepLogBytes, KeepLogAge", ErrTooOld, e.After, e.First)
}

// Is makes errors.Is(err, ErrTooOld) true.
func (e *TooOldError) Is(target error) bool { return target == ErrTooOld }

// Changes yields the committed changes with sequence numbers above after, in
// order, out of the log: as far back as it reaches, which Options.KeepLogBytes
// and KeepLogAge extend. Where it does not reach, or where documents came by a
// way that is not logged (a bulk load, an attached segment), the error is a
// TooOldError that names the first change to be had after that; nothing is left
// out silently. While an iteration runs, the log files that it has still to
// read are kept.
func (e *Engine) Changes(ctx context.Context, after uint64, o ChangesOptions) iter.Seq2[*Change, error] {
	return func(yield func(*Change, error) bool) {
		c := &logCursor{e: e, o: o, last: after, after: after, yield: yield}
		e.mu.Lock()
		e.cursors[c] = struct{}{}
		e.mu.Unlock()
		defer func() {
			e.mu.Lock()
			delete(e.cursors, c)
			e.mu.Unlock()
		}()
		if err := c.run(ctx); err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

// Seq is the sequence number of the last change of the store.
func (e *Engine) Seq() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seq
}

var errStopped = errors.New("colbertdb: the caller has enough")

// logCursor is an iteration of Changes: a place in the log.
type logCursor struct {
	e     *Engine
	o     ChangesOptions
	yield func(*Change, error) bool
	after uint64
	last  uint64 // the change read last, or passed over
	names map[uint32]string
	only  uint32 // collection, 0: all

	file   wal.FileNum // guarded by Engine.mu; 0: everything is still to be read
	offset int64
}

// logEnd is how far the log can be read at one moment.
type logEnd struct {
	file wal.FileNum
	end  int64
	seq  uint64
	wait chan struct{} // closed by the next commit
}

func (c *logCursor) run(ctx context.Context) error {
	if name := c.o.Collection; name != "" {
		h, err := c.e.Collection(name)
		if err != nil {
			return err
		}
		c.only = h.c.id
	}
	for {
		end, err := c.now()
		if err != nil {
			return err
		}
		if err := c.readTo(ctx, end); err != nil {
			return err
		}
		if c.last < end.seq { // what no record of the log accounts for
			return &TooOldError{After: c.after, First: end.seq + 1}
		}
		if !c.o.Follow {
			return nil
		}
		select {
		case <-end.wait:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.e.closing:
			return ErrClosed
		}
	}
}

// now fixes the end, and takes over the names of collections.
func (c *logCursor) now() (logEnd, error) {
	e := c.e
	e.commitMu.Lock() // what is in the log is applied
	defer e.commitMu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.isClosed.Load() {
		return logEnd{}, ErrClosed
	}
	if c.names == nil {
		c.names = map[uint32]string{}
	}
	for _, col := range e.byName {
		c.names[col.id] = col.title()
	}
	if e.newChange == nil {
		e.newChange = make(chan struct{})
	}
	out := logEnd{file: e.logLast, end: e.logLastEnd, seq: e.seq, wait: e.newChange}
	if e.log != nil {
		out.file, out.end = e.log.End()
	}
	return out, nil
}

// announce wakes those who follow. The caller holds Engine.mu.
func (e *Engine) announce() {
	if e.newChange != nil {
		close(e.newChange)
		e.newChange = nil
	}
}

// readTo reads the files up to an end.
func (c *logCursor) readTo(ctx context.Context, end logEnd) error {
	nums, err := wal.List(c.e.fs, c.e.walDir())
	if err != nil {
		return err
	}
	for _, num := range nums {
		if num < c.file || num > end.file {
			continue
		}
		if num > c.file {
			c.offset = 0
			c.e.mu.Lock()
			c.file = num
			c.e.mu.Unlock()
		}
		limit := int64(-1)
		if num == end.file {
			limit = end.end
		}
		c.offset, err = wal.Scan(c.e.fs, c.e.walDir(), num, c.offset, limit, func(r wal.Record) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return c.record(r, end.seq)
		})
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed before this iteration began: the gap shows
		}
		if err != nil {
			return corruptLog(err)
		}
	}
	return nil
}

// record takes one record of the log.
func (c *logCursor) record(r wal.Record, newest uint64) error {
	switch r.Type {
	case recordCollection:
		n, err := decodeCollectionNote(r.Payload)
		if err == nil && n.Created != nil && c.names[n.Created.ID] == "" { // it is gone
			c.names[n.Created.ID] = n.Created.Name
		}
		return err
	case recordBatch:
	default:
		return nil // the time, and copies of what was committed earlier
	}
	if r.Seq > newest {
		return nil // written, and never acknowledged
	}
	if r.Seq > c.last+1 {
		return &TooOldError{After: c.after, First: r.Seq}
	}
	if r.Seq <= c.last {
		return nil
	}
	c.last = r.Seq
	batch, err := decodeBatch(r.Payload)
	if err != nil {
		return err
	}
	ops := batch.ops
	if c.only != 0 && batch.collection != c.only || len(ops) == 0 { // or a key alone
		return nil
	}
	change := &Change{Seq: r.Seq, Collection: c.names[batch.collection], Operations: make([]Operation, len(ops))}
	for i := range ops {
		change.Operations[i] = Operation{ID: ops[i].id, Document: ops[i].document()}
	}
	if !c.yield(change, nil) {
		return errStopped
	}
	return nil
}

// document is what an upsert stores, nil for a delete.
func (o *op) document() *Document {
	if o.kind == opDelete {
		return nil
	}
	return &Document{ID: o.id, Text: o.text, Attributes: o.attrs, Vectors: o.matrix()}
}
