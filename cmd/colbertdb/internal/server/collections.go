package server

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// sees reports whether the request's key may know of a collection.
func (q *request) sees(name string) bool { return q.allowed == nil || slices.Contains(q.allowed, name) }

func listCollections(q *request) error {
	out := wire.Collections{Collections: []wire.Collection{}, Aliases: []wire.Alias{}}
	for _, info := range q.s.db.Collections() {
		if q.sees(info.Name) {
			out.Collections = append(out.Collections, wire.CollectionOf(&info))
		}
	}
	for _, a := range q.s.db.Aliases() {
		if q.sees(a.Name) {
			out.Aliases = append(out.Aliases, wire.Alias(a))
		}
	}
	q.json(http.StatusOK, out)
	return nil
}

// createCollection makes a collection, or finds the one of equal configuration.
func createCollection(q *request) error {
	var c wire.CollectionConfig
	if q.r.ContentLength != 0 {
		if err := q.readJSON(&c, true); err != nil {
			return err
		}
	}
	cfg := engine.CollectionConfig{Dim: c.Dim, RetainRaw: c.RetainRaw, RecallTarget: c.RecallTarget, TextIndex: engine.Analyzer(c.TextIndex)}
	var err error
	if cfg.Profile, err = engine.ParseProfile(cmp.Or(c.Profile, engine.Exact.String())); err != nil {
		return unprocessable("profile %.40q: use exact, balanced or compact", c.Profile)
	}
	switch {
	case c.Model != "":
		if cfg.Encoder = q.s.models.find(c.Model); cfg.Encoder == nil {
			return unprocessable("model %.80q is not one of this server: GET /v1/models lists them", c.Model)
		}
	case c.Dim == 0:
		if cfg.Encoder = q.s.models.standard; cfg.Encoder == nil {
			return unprocessable("the server has no model: give dim, for a collection of vectors")
		}
	}
	if _, err = q.s.db.Collection(q.collection); err == nil {
		q.detail = append(q.detail, "existed", true)
	}
	existed := err == nil
	col, err := q.s.db.CreateCollection(q.r.Context(), q.collection, cfg)
	if err != nil {
		return err
	}
	if (col.Model() == nil) != (cfg.Encoder == nil) {
		return fmt.Errorf("%w: %q has the model %s", engine.ErrCollectionExists, q.collection, modelName(col.Model()))
	}
	info := col.Info()
	status := http.StatusCreated
	if existed {
		status = http.StatusOK
	}
	q.json(status, wire.CollectionOf(&info))
	return nil
}

func modelName(m *engine.Model) string {
	if m == nil {
		return "none: it takes vectors"
	}
	return m.Name
}

func getCollection(q *request) error {
	col, err := q.s.db.Collection(q.collection)
	if err != nil {
		return err
	}
	info := col.Info()
	q.json(http.StatusOK, wire.CollectionOf(&info))
	return nil
}

func dropCollection(q *request) error {
	if err := q.s.db.DropCollection(q.r.Context(), q.collection); err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

func collectionStats(q *request) error {
	col, err := q.s.db.Collection(q.collection)
	if err != nil {
		return err
	}
	i := col.Info()
	out := wire.CollectionStats{
		Collection: wire.CollectionOf(&i), Cells: i.Cells, Centroids: i.Centroids, Tiers: i.Tiers, Columns: i.Columns, Debt: i.Debt, Recall: i.Calibration, Live: q.s.recall.of(i.Name, i.RetainRaw),
	}
	if i.Segments > 0 && i.Buffered == 0 && i.Deleted == 0 && i.Tokens > 0 {
		out.BytesPerToken = float64(i.Bytes) / float64(i.Tokens)
	}
	if out.Indexes, err = indexesOf(col); err != nil {
		return err
	}
	q.json(http.StatusOK, out)
	return nil
}

// compactCollection answers when the merges are done; who cannot wait goes away,
// and they end.
func compactCollection(q *request) error {
	col, err := q.s.db.Collection(q.collection)
	if err != nil {
		return err
	}
	if err := col.Compact(q.r.Context()); err != nil {
		return err
	}
	info := col.Info()
	q.json(http.StatusOK, wire.CollectionOf(&info))
	return nil
}

// calibrateCollection measures what searches find and gives the default effort the
// cheapest budgets that reach the target.
func calibrateCollection(q *request) error {
	var body wire.Calibrate
	if q.r.ContentLength != 0 {
		if err := q.readJSON(&body, true); err != nil {
			return err
		}
	}
	if n := len(body.Queries); n > q.s.limits.Documents {
		return tooLarge("give at most %d queries, not %d", q.s.limits.Documents, n)
	}
	col, err := q.open()
	if err != nil {
		return err
	}
	o := engine.CalibrateOptions{RecallTarget: body.RecallTarget}
	if len(body.Queries) > 0 {
		if col.Encoder() == nil {
			return fmt.Errorf("%w: collection %q has no model for texts", engine.ErrNoEncoder, q.collection)
		}
		err := q.inside(q.s.searches, q.s.limits.MaxTimeout, func(ctx context.Context) error {
			return guarded(func() (err error) {
				o.Queries, err = col.Encoder().EncodeQueries(ctx, body.Queries)
				return err
			})
		})
		if err != nil {
			return err
		}
	}
	m, err := col.Calibrate(q.r.Context(), o)
	if err != nil {
		return err
	}
	q.json(http.StatusOK, wire.Calibrated{Recall: m})
	return nil
}

func indexesOf(col *engine.Collection) ([]wire.Index, error) {
	all, err := col.AttributeIndexes()
	out := make([]wire.Index, 0, len(all))
	for _, x := range all {
		out = append(out, wire.Index{Path: x.Path, Segments: x.Segments, Indexed: x.Indexed, Values: x.Values, Bytes: x.Bytes})
	}
	return out, err
}

func listIndexes(q *request) error {
	col, err := q.s.db.Collection(q.collection)
	if err != nil {
		return err
	}
	out := wire.Indexes{}
	if out.Indexes, err = indexesOf(col); err != nil {
		return err
	}
	text, err := col.TextIndex()
	if err != nil {
		return err
	}
	if text != nil {
		out.Text = &wire.TextIndex{Analyzer: string(text.Analyzer), Segments: text.Segments, Indexed: text.Indexed, Terms: text.Terms, Bytes: text.Bytes}
	}
	q.json(http.StatusOK, out)
	return nil
}

// changeIndexes declares or drops the indexes that the body names.
func (q *request) changeIndexes(change func(col *engine.Collection, body *wire.Paths) error) error {
	var body wire.Paths
	if err := q.readJSON(&body, true); err != nil {
		return err
	}
	if len(body.Paths) == 0 && body.Text == "" || len(body.Paths) > engine.MaxAttributeIndexes {
		return unprocessable("give 1 to %d names of attributes in paths, or an analyzer in text", engine.MaxAttributeIndexes)
	}
	col, err := q.s.db.Collection(q.collection)
	if err != nil {
		return err
	}
	if err := change(col, &body); err != nil {
		return err
	}
	return listIndexes(q)
}

// makeIndexes answers when every segment has them.
func makeIndexes(q *request) error {
	return q.changeIndexes(func(col *engine.Collection, body *wire.Paths) error {
		if body.Text != "" {
			if err := col.IndexText(q.r.Context(), engine.Analyzer(body.Text)); err != nil {
				return err
			}
		}
		return col.IndexAttributes(q.r.Context(), body.Paths...)
	})
}

func dropIndexes(q *request) error {
	return q.changeIndexes(func(col *engine.Collection, body *wire.Paths) error {
		if body.Text != "" {
			have, err := col.TextIndex()
			if err != nil {
				return err
			}
			if have == nil || string(have.Analyzer) != body.Text {
				return fmt.Errorf("%w: collection %q has no text index of %.40q terms", engine.ErrNotFound, q.collection, body.Text)
			}
			if err := col.DropTextIndex(q.r.Context()); err != nil {
				return err
			}
		}
		return col.DropAttributeIndexes(q.r.Context(), body.Paths...)
	})
}

func listAliases(q *request) error {
	out := []wire.Alias{}
	for _, a := range q.s.db.Aliases() {
		if q.sees(a.Name) {
			out = append(out, wire.Alias(a))
		}
	}
	q.json(http.StatusOK, map[string][]wire.Alias{"aliases": out})
	return nil
}

func setAlias(q *request) error {
	var body wire.SetAlias
	if err := q.readJSON(&body, true); err != nil {
		return err
	}
	name := q.r.PathValue("a")
	if err := q.s.db.SetAlias(q.r.Context(), name, body.Collection); err != nil {
		return err
	}
	q.json(http.StatusOK, wire.Alias{Name: name, Collection: body.Collection})
	return nil
}

func dropAlias(q *request) error {
	if err := q.s.db.DropAlias(q.r.Context(), q.r.PathValue("a")); err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}
