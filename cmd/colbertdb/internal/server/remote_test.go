package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
)

// program is a program that is written against remote.Database. It returns what it
// saw.
func program(t *testing.T, db remote.Database) (saw []string) {
	t.Helper()
	note := func(what string, v any, err error) {
		for _, sentinel := range []error{
			engine.ErrInvalid, engine.ErrNotFound, engine.ErrCollectionNotFound, engine.ErrCollectionExists, engine.ErrDimension, engine.ErrBadVector,
			engine.ErrNoVectors, engine.ErrNoEncoder, engine.ErrIdempotencyConflict, engine.ErrInUse, engine.ErrFilter, engine.ErrSearch, engine.ErrNotVisible,
		} {
			if errors.Is(err, sentinel) {
				saw = append(saw, what+": "+sentinel.Error())
				return
			}
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		saw = append(saw, what+": "+string(b))
	}
	result := func(r *engine.SearchResult, err error) (any, error) {
		if err != nil {
			return nil, err
		}
		c := *r
		c.Took, c.Stages = 0, nil
		for i := range c.Hits {
			if len(c.Hits[i].Passages) == 0 {
				c.Hits[i].Passages = nil
			}
		}
		return c, nil
	}
	r := rand.New(rand.NewPCG(21, 1))
	col, err := db.CreateCollection(ctx, "notes", engine.CollectionConfig{Encoder: fake.New(dim), Profile: engine.Balanced})
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 120; n += 10 {
		var docs []engine.Document
		for m := n; m < n+10; m++ {
			d := document(m)
			docs = append(docs, engine.Document{ID: d.ID, Text: d.Text, Attributes: d.Attributes})
		}
		seq, err := col.Upsert(ctx, docs...)
		note("upsert", seq, err)
	}
	m := engine.Matrix{Dim: dim, Data: make([]float32, 5*dim)}
	for i := range m.Data {
		m.Data[i] = float32(r.NormFloat64())
	}
	seq, err := col.Upsert(ctx, engine.Document{ID: "a/../b%2F?", Vectors: m})
	note("vectors", seq, err)
	d, err := col.Get(ctx, "a/../b%2F?")
	note("get", d, err)
	for _, id := range []string{"never", "..", "", "documents:delete"} {
		_, err = col.Get(ctx, id)
		note("get "+id, nil, err)
	}
	f := mustFilter(t, `even = true and tag in ("t1", "t2", "t\"3")`)
	for n, req := range []engine.SearchRequest{
		{Text: words(paragraphs[5], 8)}, {Text: words(paragraphs[5], 8), K: 3, Filter: f, Explain: true}, {Vectors: m, K: 20, Exact: true},
		{Vectors: m, Weights: []float32{1, 0.5, 2, 0, 1}, K: 4, Effort: engine.EffortHigh, NProbe: 7, NCandidates: 99, NFullScores: 9},
		{Text: words(paragraphs[9], 8), GroupBy: "tag", GroupSize: 2, K: 4, MinSeq: seq},
		{}, {Text: "a", Vectors: m}, {Text: "a", K: -1}, {Vectors: engine.Matrix{Dim: 8, Data: make([]float32, 8)}}, {Text: "a", Weights: []float32{1}},
		{Text: "a", NProbe: 100_000},
	} {
		res, err := result(col.Search(ctx, req))
		note(fmt.Sprint("search ", n), res, err)
	}
	weight := 0.25
	for n, req := range []engine.SearchRequest{
		{Mode: engine.ModeBM25, Text: words(paragraphs[5], 8), Explain: true}, {Mode: engine.ModeBM25, Text: words(paragraphs[5], 8), BM25: &engine.BM25{K1: 0.9, B: 0.4}, Filter: f},
		{Mode: engine.ModeRerank, Text: words(paragraphs[5], 8), NCandidates: 7, Explain: true}, {Mode: engine.ModeRerank, Text: words(paragraphs[5], 8), Vectors: m},
		{Mode: engine.ModeHybrid, Text: words(paragraphs[5], 8), MinSeq: seq}, {Mode: engine.ModeHybrid, Text: words(paragraphs[5], 8), Fusion: engine.Fusion{RRF: true, RankConstant: 10}},
		{Mode: engine.ModeHybrid, Text: words(paragraphs[5], 8), Fusion: engine.Fusion{Weight: &weight}, GroupBy: "tag"},
		{Mode: engine.ModeHybrid, Vectors: m}, {Mode: engine.ModeBM25, Text: "a", BM25: &engine.BM25{K1: -1}}, {Mode: engine.ModeBM25, Text: "a", Vectors: m},
	} {
		res, err := result(col.Search(ctx, req))
		note(fmt.Sprint("mode ", n), res, err)
	}
	note("drop text index", nil, col.DropTextIndex(ctx))
	note("drop it again", nil, col.DropTextIndex(ctx))
	_, err = col.Search(ctx, engine.SearchRequest{Mode: engine.ModeBM25, Text: "a"})
	note("no text index", nil, err)
	note("unknown analyzer", nil, col.IndexText(ctx, "latin"))
	note("text index", nil, col.IndexText(ctx, engine.AnalyzerPlain))
	plain, err := result(col.Search(ctx, engine.SearchRequest{Mode: engine.ModeBM25, Text: words(paragraphs[5], 8)}))
	note("plain", plain, err)
	batch, err := col.SearchBatch(ctx, []engine.SearchRequest{{Text: words(paragraphs[1], 5), Mode: engine.ModeHybrid}, {Text: words(paragraphs[1], 5), Filter: f}, {Vectors: m}})
	for _, b := range batch {
		res, err := result(b, err)
		note("batch", res, err)
	}
	note("batch", len(batch), err)
	del, err := col.Delete(ctx, document(3).ID, "never")
	note("delete", del, err)
	keyed := remote.Idempotent(col, "a-key")
	del, err = keyed.DeleteWhere(ctx, mustFilter(t, "n < 20"))
	note("delete where", del, err)
	del, err = keyed.DeleteWhere(ctx, mustFilter(t, "n < 20"))
	note("again", del, err)
	del, err = keyed.DeleteWhere(ctx, mustFilter(t, "n < 30"))
	note("conflict", del, err)
	note("no filter", nil, second(col.DeleteWhere(ctx, nil)))
	note("no ids", nil, second(col.Delete(ctx)))
	note("no documents", nil, second(col.Upsert(ctx)))
	note("bad vector", nil, second(col.Upsert(ctx, engine.Document{ID: "x", Vectors: engine.Matrix{Dim: dim, Data: make([]float32, dim)}})))
	note("dimension", nil, second(col.Upsert(ctx, engine.Document{ID: "x", Vectors: engine.Matrix{Dim: 8, Data: []float32{1, 0, 0, 0, 0, 0, 0, 0}}})))
	note("empty", nil, second(col.Upsert(ctx, engine.Document{ID: "x"})))
	note("no id", nil, second(col.Upsert(ctx, engine.Document{Text: "x"})))
	note("attributes", nil, second(col.Upsert(ctx, engine.Document{ID: "x", Text: "x", Attributes: json.RawMessage(`[1]`)})))
	note("index", nil, col.IndexAttributes(ctx, "n", "tag"))
	for after, first := uint64(0), true; first || after != 0; first = false {
		p, err := col.Page(ctx, engine.PageOptions{After: after, Limit: 13, Filter: mustFilter(t, "n < 70"), WithoutVectors: first})
		note("page", p, err)
		after = p.Next
	}
	note("drop index", nil, col.DropAttributeIndexes(ctx, "n"))
	purged, err := col.Purge(ctx, document(50).ID)
	note("purge", purged.Deleted, err)
	note("compact", nil, col.Compact(ctx))
	note("other", nil, second(db.CreateCollection(ctx, "notes", engine.CollectionConfig{Dim: dim, Profile: engine.Compact})))
	note("bad name", nil, second(db.CreateCollection(ctx, "../x", engine.CollectionConfig{Dim: dim})))
	note("bad dim", nil, second(db.CreateCollection(ctx, "x", engine.CollectionConfig{Dim: 3})))
	note("alias", nil, db.SetAlias(ctx, "alias", "notes"))
	col, err = db.Collection(ctx, "alias")
	note("alias", col.Name(), err)
	note("in use", nil, db.DropCollection(ctx, "notes"))
	note("drop alias", nil, db.DropAlias(ctx, "alias"))
	note("gone", nil, second(db.Collection(ctx, "alias")))
	list, err := db.Collections(ctx)
	for i := range list {
		list[i] = engine.CollectionInfo{Name: list[i].Name, Dim: list[i].Dim, Profile: list[i].Profile, Model: list[i].Model, Documents: list[i].Documents, Tokens: list[i].Tokens}
	}
	note("collections", list, err)
	note("drop", nil, db.DropCollection(ctx, "notes"))
	note("drop again", nil, db.DropCollection(ctx, "notes"))
	return saw
}

func second[T any](_ T, err error) error { return err }

// A program sees the same in an embedded store and over HTTP, but for the way in
// which it opens.
func TestEmbeddedAndServerAgree(t *testing.T) {
	options := &engine.Options{SealDocuments: 1000, DisableAutoCompaction: true, TrainTokens: 1 << 40}
	open := func() *engine.Engine {
		o := *options
		db, err := engine.Open(ctx, filepath.Join(t.TempDir(), "db"), &o)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	own := open()
	embedded := remote.Embedded(own, engine.WithEncoder(fake.New(dim)))
	want := program(t, embedded)
	if err := embedded.Close(); err != nil {
		t.Fatal(err)
	}
	i := startOn(t, open(), server.Options{})
	c, err := remote.Open(ctx, i.url, &remote.Options{HTTP: i.http})
	if err != nil {
		t.Fatal(err)
	}
	got := program(t, c)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("embedded (-) and over HTTP (+):\n%.4000s", diff)
	}
	if len(want) < 60 {
		t.Errorf("the program saw %d things only", len(want))
	}
}

// flaky is a network on which some requests fail before and some after the server
// has them.
type flaky struct {
	next http.RoundTripper
	r    *rand.Rand
	lost int
}

func (f *flaky) RoundTrip(r *http.Request) (*http.Response, error) {
	switch f.r.IntN(3) {
	case 0:
		f.lost++
		return nil, errors.New("the request was lost")
	case 1:
		resp, err := f.next.RoundTrip(r)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		f.lost++
		return nil, errors.New("the answer was lost")
	}
	return f.next.RoundTrip(r)
}

// Over a network that loses requests and answers, keyed writes are made once.
func TestRetries(t *testing.T) {
	i := start(t, server.Options{})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	network := &flaky{next: i.http.Transport, r: rand.New(rand.NewPCG(5, 5))}
	c, err := remote.Open(ctx, i.url, &remote.Options{HTTP: &http.Client{Transport: network}, Retries: 40, RetryWait: 1})
	if err != nil {
		t.Fatal(err)
	}
	col, err := c.Collection(ctx, "notes")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 30 {
		d := document(n)
		seq, err := remote.Idempotent(col, fmt.Sprint("write ", n)).Upsert(ctx, engine.Document{ID: d.ID, Text: d.Text})
		if err != nil || seq != uint64(n)+1 {
			t.Fatalf("write %d is change %d, %v", n, seq, err)
		}
	}
	if network.lost < 20 {
		t.Errorf("the network lost %d", network.lost)
	}
	// A write without a key is not sent twice.
	failures := 0
	for n := range 20 {
		before := i.db.Seq()
		_, err := col.Delete(ctx, document(n).ID)
		if err != nil {
			failures++
		}
		if now := i.db.Seq(); now > before+1 {
			t.Errorf("a delete was made %d times", now-before)
		}
	}
	if failures == 0 {
		t.Error("no delete failed")
	}
	if _, err := remote.Open(ctx, "ftp://x", nil); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("a bad address: %v", err)
	}
	if _, err := remote.Open(ctx, "127.0.0.1:8080", nil); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("an address without scheme: %v", err)
	}
}

// answers is a transport that answers by itself.
type answers func(n int) *http.Response

func (a *answerer) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := a.f(a.n)
	a.n++
	resp.Request = r
	return resp, nil
}

type answerer struct {
	n int
	f answers
}

// What the server did not begin is sent again after the time that it asks for; what it
// may have begun is not; an answer of another kind of server is an error with words.
func TestBusyServer(t *testing.T) {
	answer := func(status int, kind, after string) *http.Response {
		h := http.Header{}
		if after != "" {
			h.Set("Retry-After", after)
		}
		body := fmt.Sprintf(`{"message":"m","error_type":%q,"code":%d}`, kind, status)
		if kind == "" {
			body = "<html>a proxy</html>"
		}
		return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: h, Body: io.NopCloser(strings.NewReader(body))}
	}
	for _, c := range []struct {
		status int
		kind   string
		sent   int
		is     error
	}{
		{429, "overloaded", 4, engine.ErrBusy}, {429, "busy", 4, engine.ErrBusy}, {429, "encoder_busy", 4, engine.ErrEncoderBusy}, {503, "shutting_down", 4, nil}, {503, "read_only", 1, engine.ErrReadOnly},
		{507, "disk_full", 1, engine.ErrDiskFull}, {504, "timeout", 1, context.DeadlineExceeded}, {502, "", 1, nil}, {500, "internal", 1, nil},
	} {
		a := &answerer{f: func(n int) *http.Response {
			if n == 0 {
				return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader([]byte("{}")))}
			}
			return answer(c.status, c.kind, "")
		}}
		db, err := remote.Open(ctx, "http://localhost", &remote.Options{HTTP: &http.Client{Transport: a}, Retries: 3, RetryWait: time.Microsecond})
		if err != nil {
			t.Fatal(err)
		}
		err = db.DropCollection(ctx, "x")
		var e *remote.Error
		if !errors.As(err, &e) || e.Status != c.status || a.n-1 != c.sent || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%d %s: sent %d times, want %d; %v", c.status, c.kind, a.n-1, c.sent, err)
		}
	}
}

// A load stores what it says while it is sent, and tells of what it cannot store.
func TestLoad(t *testing.T) {
	i := start(t, server.Options{})
	c, err := remote.Open(ctx, i.url, &remote.Options{HTTP: i.http})
	if err != nil {
		t.Fatal(err)
	}
	col, err := c.CreateCollection(ctx, "notes", engine.CollectionConfig{})
	if err != nil {
		t.Fatal(err)
	}
	h := col.(*remote.Handle)
	given := func(bad ...int) func(yield func(engine.Document) bool) {
		return func(yield func(engine.Document) bool) {
			for n := range 700 {
				d := document(n)
				e := engine.Document{ID: d.ID, Text: d.Text, Attributes: d.Attributes}
				if slices.Contains(bad, n) {
					e.Text = ""
				}
				if !yield(e) {
					return
				}
			}
		}
	}
	var steps []int64
	got, err := h.Load(ctx, given(), &remote.LoadOptions{Progress: func(p remote.LoadProgress) { steps = append(steps, p.Stored) }})
	if err != nil || got.Stored != 700 || got.Refused != 0 || got.Seq != i.db.Seq() || len(steps) < 3 || !slices.IsSorted(steps) {
		t.Fatalf("%+v, %v, steps %v", got, err, steps)
	}
	var refused []int64
	got, err = h.Load(ctx, given(5, 300), &remote.LoadOptions{Refused: func(place int64, err error) {
		refused = append(refused, place)
		if !errors.Is(err, engine.ErrNoVectors) {
			t.Error(err)
		}
	}})
	if err != nil || got.Stored != 698 || got.Refused != 2 || fmt.Sprint(refused) != "[5 300]" {
		t.Errorf("%+v, %v, refused %v", got, err, refused)
	}
	got, err = h.Load(ctx, given(300), nil)
	if !errors.Is(err, engine.ErrNoVectors) || !strings.Contains(err.Error(), "document 300") || got.Stored != 300 {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = h.Load(ctx, given(0), nil)
	if !errors.Is(err, engine.ErrNoVectors) {
		t.Error(err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	n := 0
	_, err = h.Load(cancelled, func(yield func(engine.Document) bool) {
		for yield(engine.Document{ID: fmt.Sprint(n), Text: "a"}) {
			if n++; n == 500 {
				cancel()
			}
		}
	}, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if list, err := c.Collections(ctx); err != nil || list[0].Documents < 700 {
		t.Errorf("%+v, %v", list, err)
	}
}
