package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
)

// A large index run stores through a load: its vectors go straight to segments
// and not through the log. A passage is added in one step, so that an
// interrupted run leaves no half of one; the next run finds what is in by id and
// hash, like after any other.

// bulkAfter is the number of documents that a run upserts before it opens a load.
const bulkAfter = 10_000

// bulkEvery bounds what an interrupted load loses.
const bulkEvery = time.Minute

// load stores passages through an engine.Bulk.
type load struct {
	p    *pipeline
	bulk *engine.Bulk

	mu    sync.Mutex
	added int64       // documents
	wait  []addedJobs // not yet published, in order
}

// addedJobs is a passage that the load has taken.
type addedJobs struct {
	job   job
	docs  int
	upTo  int64 // documents of the load, this one's included
	stale []string
}

func (p *pipeline) openLoad(ctx context.Context) (*load, error) {
	l := &load{p: p}
	var err error
	l.bulk, err = p.col.(*engine.Collection).Bulk(ctx, engine.BulkOptions{
		PublishEvery: bulkEvery,
		OnPublish:    func(b engine.BulkProgress) { l.published(ctx, b) },
	})
	return l, err
}

// add gives passages to the load.
func (l *load) add(ctx context.Context, jobs []encodedJob) error {
	for i := range jobs {
		j := &jobs[i]
		a := addedJobs{job: j.job, docs: len(j.docs)}
		for _, id := range j.old {
			if !slices.ContainsFunc(j.docs, func(d engine.Document) bool { return d.ID == id }) {
				a.stale = append(a.stale, id)
			}
		}
		// Before it is added: it may be published before Add returns.
		l.mu.Lock()
		before := l.added
		l.added += int64(len(j.docs))
		a.upTo = l.added
		l.wait = append(l.wait, a)
		l.mu.Unlock()
		err := l.bulk.Add(ctx, j.docs...)
		if refused(err) {
			l.mu.Lock()
			l.added = before
			l.wait = l.wait[:len(l.wait)-1]
			l.mu.Unlock()
			l.p.fail(&j.job, err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// commit publishes the rest.
func (l *load) commit(ctx context.Context) error {
	if err := l.bulk.Commit(ctx); err != nil {
		return err
	}
	l.published(ctx, l.bulk.Progress()) // passages without documents at the end
	return nil
}

// published counts what is stored, and deletes what it has replaced. It is
// called by the load.
func (l *load) published(ctx context.Context, b engine.BulkProgress) {
	l.mu.Lock()
	n := 0
	for n < len(l.wait) && l.wait[n].upTo <= b.Documents {
		n++
	}
	done := l.wait[:n]
	l.wait = l.wait[n:]
	l.mu.Unlock()
	for i := range done {
		a := &done[i]
		// What cannot be deleted now is found by the next run.
		if err := l.p.remove(ctx, a.stale); err != nil {
			l.p.log.Warn("old windows stay until the next run", "passage", a.job.passage.ID, "error", err)
		}
		l.p.stored.Add(int64(a.docs))
		l.p.report.count(a.job.change, 1)
		l.p.report.taken(a.job.from)
	}
	l.p.log.Debug("published", "documents", b.Documents, "segments", b.Segments, "seq", b.Seq)
	l.p.progress()
}
