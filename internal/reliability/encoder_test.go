package reliability

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
)

// brokenEncoder is a fake encoder whose output something spoils.
type brokenEncoder struct {
	*fake.Encoder
	documents func(context.Context, []encoder.Document) ([]encoder.Document, error)
	queries   func(context.Context, []encoder.Query) ([]encoder.Query, error)
}

func (e *brokenEncoder) EncodeDocuments(ctx context.Context, texts []string) ([]encoder.Document, error) {
	out, err := e.Encoder.EncodeDocuments(ctx, texts)
	if err != nil || e.documents == nil {
		return out, err
	}
	return e.documents(ctx, out)
}

func (e *brokenEncoder) EncodeQueries(ctx context.Context, texts []string) ([]encoder.Query, error) {
	out, err := e.Encoder.EncodeQueries(ctx, texts)
	if err != nil || e.queries == nil {
		return out, err
	}
	return e.queries(ctx, out)
}

// R22: an encoder that returns nonsense, too little or nothing, fails, hangs or
// panics, fails the call that used it and nothing else: nothing of the batch is
// stored, before or after a restart, and the store takes the next write.
func TestR22BrokenEncoder(t *testing.T) {
	const dim = 16
	errModel := errors.New("the model has gone")
	inf := float32(math.Inf(1))
	for _, c := range []struct {
		name  string
		want  error // nil: any
		spoil func(context.Context, *engine.Matrix) (drop bool, err error)
	}{
		{"NaN", engine.ErrBadVector, func(_ context.Context, m *engine.Matrix) (bool, error) {
			m.Data[len(m.Data)-1] = float32(math.NaN())
			return false, nil
		}},
		{"infinity", engine.ErrBadVector, func(_ context.Context, m *engine.Matrix) (bool, error) {
			m.Data[0] = inf
			return false, nil
		}},
		{"zero vector", engine.ErrBadVector, func(_ context.Context, m *engine.Matrix) (bool, error) {
			clear(m.Row(0))
			return false, nil
		}},
		{"no vectors", engine.ErrNoVectors, func(_ context.Context, m *engine.Matrix) (bool, error) {
			m.Data = nil
			return false, nil
		}},
		{"half a row", nil, func(_ context.Context, m *engine.Matrix) (bool, error) {
			m.Data = m.Data[:len(m.Data)-dim/2]
			return false, nil
		}},
		{"another dimension", engine.ErrDimension, func(_ context.Context, m *engine.Matrix) (bool, error) {
			m.Dim = dim / 2
			return false, nil
		}},
		{"too few results", nil, func(context.Context, *engine.Matrix) (bool, error) { return true, nil }},
		{"error", errModel, func(context.Context, *engine.Matrix) (bool, error) { return false, errModel }},
		{"hangs", context.DeadlineExceeded, func(ctx context.Context, _ *engine.Matrix) (bool, error) {
			<-ctx.Done()
			return false, ctx.Err()
		}},
		{"panic", nil, func(context.Context, *engine.Matrix) (bool, error) { panic("index out of range") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := brokenEncoderCase(dim, c.want, c.spoil); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func brokenEncoderCase(dim int, want error, spoil func(context.Context, *engine.Matrix) (bool, error)) (err error) {
	fs := vfs.NewMem()
	db, closed, err := openTracked(fs, fixedOptions())
	if err != nil {
		return err
	}
	open := true
	defer func() {
		if open {
			err = errors.Join(err, closed())
		}
	}()
	good := fake.New(dim)
	col, err := db.CreateCollection(ctx, "a", engine.CollectionConfig{Encoder: good})
	if err != nil {
		return err
	}
	texts := []string{"rain over the hills", "a dog asleep by the fire", "the tide comes in", "letters from the front"}
	for i, text := range texts {
		if _, err := col.Upsert(ctx, engine.Document{ID: fmt.Sprint(i), Text: text}); err != nil {
			return err
		}
	}
	before, err := documents(ctx, db, "a")
	if err != nil {
		return err
	}
	broken, err := db.Collection("a", engine.WithEncoder(&brokenEncoder{
		Encoder: good,
		documents: func(ctx context.Context, out []encoder.Document) ([]encoder.Document, error) {
			last := len(out) - 1
			drop, err := spoil(ctx, &out[last].Vectors)
			if drop {
				return out[:last], err
			}
			return out, err
		},
		queries: func(ctx context.Context, out []encoder.Query) ([]encoder.Query, error) {
			drop, err := spoil(ctx, &out[0].Vectors)
			if drop {
				return nil, err
			}
			return out, err
		},
	}))
	if err != nil {
		return err
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, werr := broken.Upsert(short, engine.Document{ID: "0", Text: "replaced"}, engine.Document{ID: "new", Text: "never there"})
	_, serr := broken.Search(short, engine.SearchRequest{Text: "hills in the rain"})
	for _, err := range []error{werr, serr} {
		if err == nil || want != nil && !errors.Is(err, want) {
			return fmt.Errorf("got %v, want %v", err, want)
		}
	}
	if err := sameDocuments(ctx, db, before); err != nil {
		return fmt.Errorf("after the failed calls: %w", err)
	}
	if err := errors.Join(Verify(ctx, db), closed()); err != nil {
		return err
	}
	if db, closed, err = openTracked(fs, fixedOptions()); err != nil {
		open = false
		return err
	}
	if err := sameDocuments(ctx, db, before); err != nil {
		return fmt.Errorf("after a restart: %w", err)
	}
	if col, err = db.Collection("a", engine.WithEncoder(good)); err != nil {
		return err
	}
	if _, err := col.Upsert(ctx, engine.Document{ID: "next", Text: "written by a sound model"}); err != nil {
		return err
	}
	res, err := col.Search(ctx, engine.SearchRequest{Text: "a sound model", K: 1})
	if err != nil {
		return err
	}
	if len(res.Hits) != 1 || res.Hits[0].ID != "next" {
		return fmt.Errorf("the next document is not found: %+v", res.Hits)
	}
	return Verify(ctx, db)
}

// sameDocuments compares a collection with what it held before.
func sameDocuments(ctx context.Context, db *engine.Engine, want map[string]*engine.Document) error {
	got, err := documents(ctx, db, "a")
	if err != nil {
		return err
	}
	equal := func(a, b *engine.Document) bool {
		return a.Text == b.Text && slices.Equal(a.Vectors.Data, b.Vectors.Data)
	}
	if !maps.EqualFunc(got, want, equal) {
		return fmt.Errorf("%d documents, want the %d from before, unchanged", len(got), len(want))
	}
	return nil
}
