package bert

import (
	"sync"
	"sync/atomic"
)

// crew are goroutines that help with a session's work.
type crew struct{ helpers sync.WaitGroup }

// share calls f once for each i below n, on up to so many goroutines, which are
// numbered from 0, and returns when all calls have. It does not wait for
// helpers that find nothing left to do: a busy machine may start them late.
func (c *crew) share(workers, n int, f func(worker, i int)) {
	var next atomic.Int64
	var done sync.WaitGroup
	done.Add(n)
	work := func(worker int) {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			f(worker, i)
			done.Done()
		}
	}
	for w := 1; w < min(workers, n); w++ {
		c.helpers.Go(func() { work(w) })
	}
	work(0)
	done.Wait()
}

// wait returns when every helper has.
func (c *crew) wait() { c.helpers.Wait() }
