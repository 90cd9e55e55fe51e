package engine

import (
	"fmt"
	"sort"

	"github.com/colbertdb-go/colbertdb/segment"
)

// Collections open at their first use and close again, so that a store may have
// many of them: one at rest is its record and a few numbers.
//
//	at rest ──acquire──► open ──upsert, delete──► unsealed
//	   ▲                  │  ▲                        │
//	   └──── closeIdle ───┘  └───── seal ─────────────┘
//
// An open collection has a current version and an active buffer. It stays open
// while somebody holds a version of it (collection.users) and while something
// of it is in the log alone (Engine.unsealed). Otherwise it is closed, the least
// recently used first, when more than Options.MaxOpenCollections are open.
// While a collection is at rest its record does not change, but for a drop,
// which waits for an opening that is under way.

// acquire returns the current version, opening the collection if need be;
// release must follow. Whoever holds Engine.mu may call it only while the
// collection is held open by a version or by what is unsealed.
func (c *collection) acquire() (*version, error) {
	if v := c.hold(); v != nil {
		return v, nil
	}
	return c.open()
}

// hold takes a reference to the current version, nil where the collection is at
// rest.
func (c *collection) hold() *version {
	c.vmu.Lock()
	defer c.vmu.Unlock()
	if c.current == nil {
		return nil
	}
	c.users++
	c.current.refs++
	c.used.Store(c.engine.clock.Load())
	return c.current
}

// space is the current space of a collection that is held open; it changes under
// Engine.pub.
func (c *collection) space() *space {
	c.vmu.Lock()
	defer c.vmu.Unlock()
	return c.current.space
}

// release lets go of an acquired version.
func (c *collection) release(v *version) {
	c.unuse()
	c.unref(v)
}

// use keeps the collection open, but not the segments of the version that it
// returns; unuse must follow.
func (c *collection) use() (*version, error) {
	v, err := c.acquire()
	if err == nil {
		c.unref(v)
	}
	return v, err
}

// unuse ends a use of the collection.
func (c *collection) unuse() {
	c.vmu.Lock()
	c.users--
	c.vmu.Unlock()
}

// open reads the collection's codebook and segments and returns the version of
// them, held.
func (c *collection) open() (*version, error) {
	c.opening.Lock()
	defer c.opening.Unlock()
	if v := c.hold(); v != nil { // another was first
		return v, nil
	}
	e := c.engine
	if err := e.enter(); err != nil { // whoever opens it: also a write
		return nil, err
	}
	defer e.exit()
	s, segs, err := c.load()
	if err != nil {
		return nil, fmt.Errorf("collection %q: %w", c.name, err)
	}
	e.mu.Lock()
	if e.isClosed.Load() {
		e.mu.Unlock()
		for _, s := range segs {
			s.onLast(s.segHandle)
		}
		return nil, ErrClosed
	}
	c.active = newMemtable(s, c.declared())
	c.publish(&version{space: s, trainedNum: c.record.TrainedNum, segs: segs, mems: []*memView{c.active.view()}, seq: max(c.lastSeq, e.sealedSeq)})
	v := c.hold()
	e.opened[c] = struct{}{}
	e.mergeable[c] = struct{}{} // merges that an earlier process left undone
	c.noteChange()
	e.mu.Unlock()
	e.closeIdle()
	if !e.opts.ReadOnly && len(segs) > 0 {
		e.wake()
	}
	return v, nil
}

// load reads what the record names. The caller holds opening.
func (c *collection) load() (*space, []segView, error) {
	e, r := c.engine, &c.record
	if c.dropped.Load() {
		return c.flatSpace(), nil, nil
	}
	spaces, err := e.loadSpaces(r, c.flatSpace())
	if err != nil {
		return nil, nil, err
	}
	segs := make([]segView, 0, len(r.Segments))
	for _, s := range r.Segments {
		view, err := e.loadSegment(s, spaces[s.Routing])
		if err != nil {
			for _, s := range segs {
				s.onLast(s.segHandle)
			}
			return nil, nil, err
		}
		segs = append(segs, view)
	}
	return spaces[r.Routing], segs, nil
}

// loadSegment opens a segment with its delete set.
func (e *Engine) loadSegment(r segmentRecord, in *space) (segView, error) {
	s, err := e.openSegment(r.ID, r.written(), in, r.Indexes)
	if err != nil {
		return segView{}, fmt.Errorf("segment %d: %w", r.ID, err)
	}
	if r.Deletes != 0 {
		decode := func(b []byte) (*segment.Bitset, error) { return segment.DecodeDeletes(b, s.Len()) }
		if s.saved, err = load(e.db, segment.DeletesKey(r.ID, r.Deletes), decode); err != nil {
			s.onLast(s.segHandle)
			return segView{}, fmt.Errorf("deletes of segment %d: %w", r.ID, err)
		}
		s.savedDeletes = r.Deletes
	}
	s.live = s.saved
	return *s, nil
}

// resting is a version that a collection had when it was closed.
type resting struct {
	col     *collection
	version *version
}

// closeIdle closes the least recently used of the collections that nobody uses
// and that have nothing unsealed, when too many are open. It takes an eighth
// more than need be, so that it is rarely called for.
func (e *Engine) closeIdle() {
	e.mu.Lock()
	out := e.restIdle()
	e.mu.Unlock()
	for _, r := range out {
		r.col.unref(r.version)
	}
}

// restIdle is closeIdle but for the versions, which the caller lets go of after
// Engine.mu, which it holds.
func (e *Engine) restIdle() (out []resting) {
	e.clock.Add(1)
	limit := e.opts.MaxOpenCollections
	if len(e.opened) <= limit {
		return nil
	}
	idle := make([]*collection, 0, len(e.opened))
	for c := range e.opened {
		if _, ok := e.unsealed[c]; !ok {
			idle = append(idle, c)
		}
	}
	sort.Slice(idle, func(i, j int) bool { return idle[i].used.Load() < idle[j].used.Load() })
	excess := len(e.opened) - limit + limit/8
	for _, c := range idle {
		if len(out) == excess {
			break
		}
		if v := c.rest(); v != nil {
			delete(e.opened, c)
			delete(e.mergeable, c)
			delete(e.restless, c)
			out = append(out, resting{c, v})
		}
	}
	return out
}

// rest closes the collection unless somebody uses it, and returns the version
// it had. The caller holds Engine.mu.
func (c *collection) rest() *version {
	c.vmu.Lock()
	defer c.vmu.Unlock()
	if c.users > 0 {
		return nil
	}
	v := c.current
	c.current, c.active, c.frozen = nil, nil, nil
	return v
}

// noteUnsealed keeps Engine.unsealed up to date: the collections of which
// something is in the log alone. The caller holds Engine.mu.
func (e *Engine) noteUnsealed(c *collection) {
	c.countBuffers()
	some := len(c.active.docs) > 0 || len(c.frozen) > 0
	for _, s := range c.current.segs {
		some = some || s.live != s.saved
	}
	if some && !c.dropped.Load() {
		e.unsealed[c] = struct{}{}
	} else {
		delete(e.unsealed, c)
	}
}

// byID returns the collections of a set in the order of their ids.
func byID(set map[*collection]struct{}) []*collection {
	out := make([]*collection, 0, len(set))
	for c := range set {
		out = append(out, c)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].id < out[j].id })
	return out
}

// takeMergeable returns the collections that merges or training may be due for: those
// that were opened or whose segments have changed since it was last called.
func (e *Engine) takeMergeable() []*collection {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := byID(e.mergeable)
	clear(e.mergeable)
	return out
}

// markMergeable puts back what takeMergeable returned.
func (e *Engine) markMergeable(cs []*collection) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range cs {
		if _, ok := e.opened[c]; ok {
			e.mergeable[c] = struct{}{}
		}
	}
}
