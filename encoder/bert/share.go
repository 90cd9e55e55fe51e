package bert

import (
	"sync"
	"sync/atomic"
)

// share calls f once for each i below n, on up to so many goroutines, which are
// numbered from 0, and waits for them.
func share(workers, n int, f func(worker, i int)) {
	workers = min(workers, n)
	var next atomic.Int64
	work := func(worker int) {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			f(worker, i)
		}
	}
	var wg sync.WaitGroup
	for w := 1; w < workers; w++ {
		wg.Go(func() { work(w) })
	}
	work(0)
	wg.Wait()
}
