package reliability

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
)

// R9, while the model changes: a name is searched and written to while its
// collection is re-encoded with another model, and after the name leads to the new
// one. Every search is answered by one of the two collections, whole: each id once,
// in a version that was written no later than the search ended and replaced no
// earlier than it began, with the score that the collection's model gives it.
func TestR09AliasSwitchUnderSearches(t *testing.T) {
	var searches, newModel atomic.Int64
	Seeds(t, 1, Count(10, 300), func(seed uint64) error {
		return aliasSwitch(seed, &searches, &newModel)
	})
	t.Logf("%d searches, %d of them by the new model", searches.Load(), newModel.Load())
	if searches.Load() < 20 || newModel.Load() == 0 || newModel.Load() == searches.Load() {
		t.Errorf("%d searches, %d by the new model: the test has no power", searches.Load(), newModel.Load())
	}
}

// words are what texts are made of.
var words = []string{"rain", "hills", "dog", "fire", "tide", "letters", "front", "river", "bread", "winter", "lamp", "road"}

func sentence(r *rand.Rand) string {
	text := words[r.IntN(len(words))]
	for range r.IntN(8) {
		text += " " + words[r.IntN(len(words))]
	}
	return text
}

// aliasWriter knows of each id the number of its newest version that is
// acknowledged, and of the newest that was begun. Versions are texts, by number.
type aliasWriter struct {
	acked, begun []atomic.Int64
	texts        [][]string
	mu           sync.Mutex
}

func (w *aliasWriter) text(id, version int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.texts[id][version]
}

func aliasSwitch(seed uint64, searches, byNew *atomic.Int64) error {
	const ids = 25
	r := rand.New(rand.NewPCG(seed, 90))
	models := []*fake.Encoder{fake.Named("old", 16), fake.Named("new", 24)}
	db, closed, err := openTracked(vfs.NewMem(), RandomOptions(r))
	if err != nil {
		return err
	}
	w := &aliasWriter{acked: make([]atomic.Int64, ids), begun: make([]atomic.Int64, ids), texts: make([][]string, ids)}
	open := func() (*engine.Collection, int, error) {
		for {
			for i, m := range models {
				col, err := db.Collection("docs", engine.WithEncoder(m))
				if !errors.Is(err, engine.ErrModelMismatch) {
					return col, i, err
				}
			}
		}
	}
	write := func(col *engine.Collection, id int, text string) error {
		w.mu.Lock()
		w.texts[id] = append(w.texts[id], text)
		version := int64(len(w.texts[id]) - 1)
		w.mu.Unlock()
		w.begun[id].Store(version)
		doc := engine.Document{ID: fmt.Sprint(id), Text: fmt.Sprintf("%d. %s", version, text)}
		_, err := col.Upsert(ctx, doc)
		for errors.Is(err, engine.ErrMoved) {
			if col, _, err = open(); err == nil {
				_, err = col.Upsert(ctx, doc)
			}
		}
		if err == nil {
			w.acked[id].Store(version)
		}
		return err
	}
	col, err := db.CreateCollection(ctx, "docs", engine.CollectionConfig{Encoder: models[0]})
	for id := 0; id < ids && err == nil; id++ {
		err = write(col, id, sentence(r))
	}
	if err != nil {
		return errors.Join(err, closed())
	}
	stop, writing := make(chan struct{}), make(chan struct{})
	errs := make(chan error, 5)
	var wg sync.WaitGroup
	for reader := range 4 {
		r := rand.New(rand.NewPCG(seed, 91+uint64(reader)))
		wg.Go(func() {
			for {
				select {
				case <-stop:
					errs <- nil
					return
				case <-time.After(time.Duration(r.IntN(1000)) * time.Microsecond):
				}
				least := w.least()
				col, model, err := open()
				if err == nil {
					err = w.search(col, models[model], least, r)
				}
				if err != nil {
					errs <- err
					return
				}
				searches.Add(1)
				byNew.Add(int64(model))
			}
		})
	}
	wg.Go(func() {
		r := rand.New(rand.NewPCG(seed, 99))
		for err := error(nil); ; {
			select {
			case <-writing:
				errs <- err
				return
			case <-time.After(time.Duration(r.IntN(2000)) * time.Microsecond):
			}
			if err == nil {
				var col *engine.Collection
				if col, _, err = open(); err == nil {
					err = write(col, r.IntN(ids), sentence(r))
				}
			}
		}
	})
	time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
	_, err = db.Reindex(ctx, "docs", models[1], nil)
	time.Sleep(10 * time.Millisecond) // of the new collection
	close(writing)
	close(stop)
	wg.Wait()
	for range cap(errs) {
		err = errors.Join(err, <-errs)
	}
	if err == nil { // all of it, in the new collection
		if col, _, err = open(); err == nil {
			err = w.search(col, models[1], w.least(), r)
		}
	}
	return errors.Join(err, Verify(ctx, db), closed())
}

// least are the versions that a search that begins now must see.
func (w *aliasWriter) least() []int64 {
	out := make([]int64, len(w.acked))
	for id := range out {
		out[id] = w.acked[id].Load()
	}
	return out
}

// search searches for everything and compares it with what may be there.
func (w *aliasWriter) search(col *engine.Collection, model *fake.Encoder, least []int64, r *rand.Rand) error {
	query := sentence(r)
	res, err := col.Search(ctx, engine.SearchRequest{Text: query, K: len(least) + 5, Exact: true})
	if err != nil {
		return fmt.Errorf("search: %w", err)
	}
	if len(res.Hits) != len(least) {
		return fmt.Errorf("%d hits, want %d", len(res.Hits), len(least))
	}
	q, err := model.EncodeQueries(ctx, []string{query})
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, h := range res.Hits {
		var id, version int
		if _, err := fmt.Sscan(h.ID, &id); err != nil || seen[h.ID] {
			return fmt.Errorf("hit %q (%v), seen before: %t", h.ID, err, seen[h.ID])
		}
		seen[h.ID] = true
		if _, err := fmt.Sscanf(h.Text, "%d. ", &version); err != nil || int64(version) < least[id] || int64(version) > w.begun[id].Load() || h.Text != fmt.Sprintf("%d. %s", version, w.text(id, version)) {
			return fmt.Errorf("%q has text %q, version %d was acknowledged before the search, %d is the newest", h.ID, h.Text, least[id], w.begun[id].Load())
		}
		d, err := model.EncodeDocuments(ctx, []string{h.Text})
		if err != nil {
			return err
		}
		if want := MaxSim(q[0].Vectors.Normalized(), d[0].Vectors.Normalized()); math.Abs(want-float64(h.Score)) > 0.05*float64(q[0].Vectors.Len()) {
			return fmt.Errorf("%q scores %v, brute force %v", h.ID, h.Score, want)
		}
	}
	return nil
}
