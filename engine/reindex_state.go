package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/segment"
)

// reindexRecord is the progress of an unfinished reindex, as stored with the
// collection that it fills.
type reindexRecord struct {
	Source  uint32         `json:"source"` // collection
	Next    segment.DocNum `json:"next"`   // documents of the source below it have been looked at
	Started time.Time      `json:"started"`

	Documents int64 `json:"documents"`
	Tokens    int64 `json:"tokens"`
	Skipped   int64 `json:"skipped,omitempty"`
	Truncated int64 `json:"truncated,omitempty"`
	Deleted   int64 `json:"deleted,omitempty"`
}

const reindexMagic = "CDBX"

func (r *reindexRecord) encode() []byte { return encodeJSON(reindexMagic, r) }

func decodeReindex(b []byte) (r reindexRecord, err error) {
	err = decodeJSON(reindexMagic, "reindex progress", b, &r)
	return r, err
}

// loadReindexes reads what unfinished reindexes there are.
func (e *Engine) loadReindexes() error {
	return eachGoodKey(e.db, segment.CollectionKeys(), func(key, value []byte) error {
		id, ok := segment.ReindexCollection(key)
		if !ok {
			return nil
		}
		r, err := decodeReindex(value)
		if err != nil {
			return fmt.Errorf("collection %d: %w", id, err)
		}
		e.reindexes[id] = &r
		return nil
	})
}

// save makes what the target has been given durable, and then says so. Readers do
// not wait for the disk.
func (r *reindexRun) save(ctx context.Context) error {
	if r.last {
		return r.publish()
	}
	return r.e.publishing(ctx, func(context.Context) error { return r.publish() })
}

// publish is save for who holds Engine.pub, under which collections are dropped.
func (r *reindexRun) publish() error {
	e := r.e
	if e.opts.Sync != SyncAlways {
		if err := e.log.Sync(); err != nil {
			return e.logFailed(err)
		}
	}
	if r.target.c.dropped.Load() {
		return fmt.Errorf("%w: %q was dropped", ErrCollectionNotFound, r.target.c.title())
	}
	if err := e.guard.write(func() error {
		return e.db.Set(segment.ReindexKey(r.target.c.id), r.state.encode(), pebble.Sync)
	}); err != nil {
		return err
	}
	state := r.state
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reindexes[r.target.c.id] = &state
	return nil
}

// deleteNotes are the ids deleted from a collection while it is re-encoded;
// guarded by Engine.mu.
type deleteNotes struct {
	ids  map[string]struct{}
	lost bool // there were too many: ids have to be compared
}

// maxDeleteNotes bounds the memory of deleteNotes.
const maxDeleteNotes = 1 << 20

// add notes a deleted id. A nil receiver notes nothing.
func (n *deleteNotes) add(id string) {
	if n == nil || n.lost {
		return
	}
	if n.ids == nil {
		n.ids = map[string]struct{}{}
	}
	if n.ids[id] = struct{}{}; len(n.ids) > maxDeleteNotes {
		n.ids, n.lost = nil, true
	}
}

// take returns what was noted since the last take.
func (n *deleteNotes) take() (ids []string, lost bool) {
	for id := range n.ids {
		ids = append(ids, id)
	}
	lost = n.lost
	n.ids, n.lost = nil, false
	return ids, lost
}
