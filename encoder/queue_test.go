package encoder_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/encoder"
)

// laned is a session that takes a while, and of which several batches run at once.
type laned struct {
	session
	lanes int
	takes time.Duration
	fail  error
	panic any

	mu      sync.Mutex
	rows    []int           // of each batch, in the order of their starts
	at      []time.Duration // when they started, since the first
	first   time.Time
	running int
	most    int // batches at once
}

func (l *laned) Lanes() (queries, documents int) { return l.lanes, l.lanes }

func (l *laned) Run(ctx context.Context, b encoder.Batch) ([]float32, int, error) {
	l.mu.Lock()
	if l.first.IsZero() {
		l.first = time.Now()
	}
	l.rows, l.at = append(l.rows, b.Rows), append(l.at, time.Since(l.first))
	l.running++
	l.most = max(l.most, l.running)
	l.mu.Unlock()
	time.Sleep(l.takes)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	if l.panic != nil {
		panic(l.panic)
	}
	if l.fail != nil {
		return nil, 0, l.fail
	}
	return l.session.Run(ctx, b)
}

// reset forgets what ran so far.
func (l *laned) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows, l.at, l.most, l.first = nil, nil, 0, time.Now()
}

func openLaned(t *testing.T, lanes int, takes time.Duration, tuning encoder.Tuning) (*encoder.ColBERT, *laned) {
	t.Helper()
	f, err := encoder.ReadFolder(folder(), "models/tiny", nil)
	if err != nil {
		t.Fatal(err)
	}
	l := &laned{session: session{dim: 4}, lanes: lanes, takes: takes}
	c, err := encoder.NewColBERT(f, l, tuning)
	if err != nil {
		t.Fatal(err)
	}
	l.reset()
	return c, l
}

// Queries that come while another runs are run together, and those that were together
// a moment ago wait for one another, for 2 ms at most. One alone never waits.
func TestQueriesJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		c, l := openLaned(t, 1, ms, encoder.Tuning{})
		var all sync.WaitGroup
		ask := func(n int) {
			for range n {
				all.Go(func() {
					if _, err := c.EncodeQueries(t.Context(), []string{"what"}); err != nil {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
		}
		ask(1) // 0 ms: alone, at once
		ask(7) // 1 ms: together
		all.Wait()
		time.Sleep(ms / 2)
		ask(1) // 2.5 ms: waits
		time.Sleep(ms / 2)
		ask(6) // 3 ms: all are there
		all.Wait()
		time.Sleep(10 * ms)
		ask(1) // 14 ms: long after, at once
		all.Wait()
		ask(1) // 15 ms: the last was alone, at once
		all.Wait()
		ask(1) // 16 ms
		ask(2) // 17 ms: together
		all.Wait()
		ask(1) // 18 ms: waits for another until 20
		all.Wait()
		ask(1) // 21 ms: that was alone
		all.Wait()
		if diff := cmp.Diff([]int{1, 7, 7, 1, 1, 1, 2, 1, 1}, l.rows); diff != "" {
			t.Errorf("rows of batches (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]time.Duration{0, 1 * ms, 3 * ms, 14 * ms, 15 * ms, 16 * ms, 17 * ms, 20 * ms, 21 * ms}, l.at); diff != "" {
			t.Errorf("times of batches (-want +got):\n%s", diff)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Documents join too, but wait for nobody.
func TestDocumentsJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := openLaned(t, 1, time.Millisecond, encoder.Tuning{})
		var all sync.WaitGroup
		for range 3 {
			for range 5 {
				all.Go(func() {
					if _, err := c.EncodeDocuments(t.Context(), []string{"the color", "is amber"}); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
			}
			all.Wait()
		}
		if diff := cmp.Diff([]int{2, 8, 2, 8, 2, 8}, l.rows); diff != "" {
			t.Errorf("rows of batches (-want +got):\n%s", diff)
		}
		if last, want := l.at[5], 5*time.Millisecond; last != want {
			t.Errorf("the last batch began after %v, want %v", last, want)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// More calls than may wait are turned away, and nothing of them is done; the others
// are served.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := openLaned(t, 1, time.Second, encoder.Tuning{Waiting: 2})
		var all sync.WaitGroup
		var mu sync.Mutex
		busy := 0
		for range 6 { // one runs, two wait
			all.Go(func() {
				_, err := c.EncodeDocuments(t.Context(), []string{"the color"})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case errors.Is(err, encoder.ErrBusy):
					busy++
				case err != nil:
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		if busy != 3 {
			t.Errorf("%d of 6 calls were turned away, want 3", busy)
		}
		// Queries have a queue of their own.
		if _, err := c.EncodeQueries(t.Context(), []string{"what"}); err != nil {
			t.Error(err)
		}
		all.Wait()
		if _, err := c.EncodeDocuments(t.Context(), []string{"the color"}); err != nil {
			t.Errorf("%v when the queue is empty again", err)
		}
		if diff := cmp.Diff([]int{1, 1, 2, 1}, l.rows); diff != "" {
			t.Errorf("rows of batches (-want +got):\n%s", diff)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A call that ends early is gone from the queue; those that wait with it are served.
func TestQueueCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := openLaned(t, 1, time.Second, encoder.Tuning{})
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		start := time.Now()
		for i, ctx := range []context.Context{t.Context(), ctx, t.Context(), ctx} {
			all.Go(func() {
				_, err := c.EncodeQueries(ctx, []string{"what"})
				switch {
				case i%2 == 0 && err != nil:
					t.Error(err)
				case i%2 == 1 && (!errors.Is(err, context.Canceled) || time.Since(start) != time.Second/2):
					t.Errorf("error %v after %v", err, time.Since(start))
				}
			})
			synctest.Wait()
		}
		time.Sleep(time.Second / 2)
		cancel()
		all.Wait()
		if diff := cmp.Diff([]int{1, 1}, l.rows); diff != "" {
			t.Errorf("rows of batches (-want +got):\n%s", diff)
		}
		// Close waits for a batch whose caller has gone.
		ctx, cancel = context.WithCancel(t.Context())
		all.Go(func() { _, _ = c.EncodeQueries(ctx, []string{"what"}) })
		synctest.Wait()
		cancel()
		all.Wait()
		before := time.Now()
		if err := c.Close(); err != nil || time.Since(before) != time.Second || !l.closed {
			t.Errorf("Close took %v: %v", time.Since(before), err)
		}
	})
}

// What is wrong with a call's own text fails that call alone; where the session fails
// or panics, every call of the batch fails with the cause, and the next is served.
func TestQueueFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := openLaned(t, 1, time.Millisecond, encoder.Tuning{})
		l.poison = id(t, "urine")
		together := func() (errs []error) {
			texts := []string{"what", "what", "urine", "is"} // the first is alone
			errs = make([]error, len(texts))
			var all sync.WaitGroup
			for i, text := range texts {
				all.Go(func() { _, errs[i] = c.EncodeQueries(t.Context(), []string{text}) })
				synctest.Wait()
			}
			all.Wait()
			time.Sleep(time.Second)
			return errs
		}
		for i, err := range together() {
			if (i == 2) != (err != nil && strings.Contains(err.Error(), "urine")) {
				t.Errorf("call %d: %v", i, err)
			}
		}
		l.fail = errors.New("the device is gone")
		for i, err := range together() {
			if !errors.Is(err, l.fail) {
				t.Errorf("call %d: %v", i, err)
			}
		}
		l.fail, l.panic = nil, "a bug"
		for i, err := range together() {
			if err == nil || !strings.Contains(err.Error(), "panicked: a bug") {
				t.Errorf("call %d: %v", i, err)
			}
		}
		l.panic = nil
		if _, err := c.EncodeQueries(t.Context(), []string{"what"}); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]int{1, 3, 1, 3, 1, 3, 1}, l.rows); diff != "" {
			t.Errorf("rows of batches (-want +got):\n%s", diff)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// One call keeps every lane busy, with a share each.
func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := openLaned(t, 3, time.Millisecond, encoder.Tuning{})
		texts := slices.Repeat([]string{"what is the color of amber"}, 300) // of 9 tokens each
		if _, err := c.EncodeDocuments(t.Context(), texts); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]int{100, 100, 100}, l.rows); diff != "" || l.most != 3 {
			t.Errorf("%d batches at once, rows (-want +got):\n%s", l.most, diff)
		}
		l.reset()
		if _, err := c.EncodeDocuments(t.Context(), texts[:40]); err != nil { // too few to cut up
			t.Fatal(err)
		}
		if diff := cmp.Diff([]int{40}, l.rows); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Many calls at once, of texts of all lengths, give each the vectors that it gets
// alone.
func TestQueueAgainstAlone(t *testing.T) {
	c, l := openLaned(t, 2, 0, encoder.Tuning{BatchTokens: 64})
	r := rand.New(rand.NewPCG(3, 4))
	var texts []string
	for range 200 {
		var words []string
		for range r.IntN(8) {
			words = append(words, []string{"what", "is", "amber", ".", "of"}[r.IntN(5)])
		}
		texts = append(texts, strings.Join(words, " "))
	}
	want, err := c.EncodeDocuments(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for k := range 8 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(k), 5))
			for range 100 {
				from := r.IntN(len(texts))
				to := from + r.IntN(min(5, len(texts)-from)) + 1
				got, err := c.EncodeDocuments(context.Background(), texts[from:to])
				if err != nil {
					t.Error(err)
					return
				}
				if diff := cmp.Diff(want[from:to], got); diff != "" {
					t.Errorf("texts %d to %d (-alone +together):\n%s", from, to, diff)
					return
				}
			}
		})
	}
	all.Wait()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for _, b := range l.batches {
		if b.Rows > 1 && b.Rows*b.Cols > 64 {
			t.Errorf("a batch of %d × %d positions", b.Rows, b.Cols)
		}
	}
	if _, err := c.EncodeDocuments(context.Background(), texts[:3]); err != nil { // the session would say if it minded
		t.Error(fmt.Errorf("after Close: %w", err))
	}
}
