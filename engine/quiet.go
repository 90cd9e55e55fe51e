package engine

import "time"

// A collection that nobody has written to for Options.QuietAge is quiet: space
// that deleted documents take is then worth a merge that it would not be worth
// under load (compaction.Options.Quiet). The sealer keeps the time of it.

// noteChange restarts the time that the collection has been quiet. The caller
// holds Engine.mu.
func (c *collection) noteChange() {
	e := c.engine
	c.changed.Store(time.Now().UnixNano())
	if _, ok := e.restless[c]; !ok && e.opts.QuietAge > 0 {
		e.restless[c] = struct{}{}
		e.wakeSealer() // to set its timer
	}
}

// quietAt is the time from which the collection is quiet.
func (c *collection) quietAt() time.Time {
	return time.Unix(0, c.changed.Load()).Add(c.engine.opts.QuietAge)
}

func (c *collection) quiet() bool {
	return c.engine.opts.QuietAge > 0 && !time.Now().Before(c.quietAt())
}

// considerQuiet lets the merger look at the collections that have become quiet,
// and returns how long it is until the next one does.
func (e *Engine) considerQuiet(now time.Time, wait time.Duration) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.restless {
		if at := c.quietAt(); now.Before(at) {
			wait = min(wait, at.Sub(now))
			continue
		}
		delete(e.restless, c)
		e.mergeable[c] = struct{}{}
		e.wake()
	}
	return wait
}
