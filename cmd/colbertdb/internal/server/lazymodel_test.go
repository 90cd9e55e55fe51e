package server_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// shelf has one model, and counts how often it was loaded and how many of it are open.
// Using one that was closed is an error.
type shelf struct {
	info  encoder.Info
	fails atomic.Bool
	loads atomic.Int64
	open  atomic.Int64
	used  atomic.Int64 // after Close: a defect
}

func newShelf(dim int) *shelf { return &shelf{info: fake.New(dim).Info()} }

func (s *shelf) load() (encoder.Encoder, error) {
	if s.fails.Load() {
		return nil, errors.New("the file is torn")
	}
	s.loads.Add(1)
	s.open.Add(1)
	return &shelved{Encoder: fake.New(s.info.Dim), s: s}, nil
}

func (s *shelf) model() server.Model { return server.Model{Info: s.info, Load: s.load} }

// shelved is a model of a shelf.
type shelved struct {
	encoder.Encoder
	s      *shelf
	closed atomic.Bool
}

func (m *shelved) check() {
	if m.closed.Load() {
		m.s.used.Add(1)
	}
}

func (m *shelved) EncodeQueries(ctx context.Context, texts []string) ([]encoder.Query, error) {
	m.check()
	defer m.check() // closed while it works
	return m.Encoder.EncodeQueries(ctx, texts)
}

func (m *shelved) EncodeDocuments(ctx context.Context, texts []string) ([]encoder.Document, error) {
	m.check()
	defer m.check()
	return m.Encoder.EncodeDocuments(ctx, texts)
}

func (m *shelved) Close() error {
	if m.closed.Swap(true) {
		m.s.used.Add(1)
	}
	m.s.open.Add(-1)
	return m.Encoder.Close()
}

// A model is loaded when a collection of it first needs it, closed when it was idle,
// and loaded again; what it stored is found by it all the while.
func TestModelsComeAndGo(t *testing.T) {
	shelf := newShelf(32)
	i := start(t, server.Options{Models: []server.Model{shelf.model()}})
	var list struct {
		Data []struct {
			ID              string
			Default, Loaded bool
		}
	}
	want := func(loaded bool, loads int64) {
		t.Helper()
		i.do(200, "GET", "/v1/models", nil, &list)
		if len(list.Data) != 2 || !list.Data[0].Default || !list.Data[0].Loaded || list.Data[1].Loaded != loaded || shelf.loads.Load() != loads {
			t.Fatalf("models %+v, loaded %d times, want %v and %d", list.Data, shelf.loads.Load(), loaded, loads)
		}
		_, b := i.send("GET", "/metrics", "", nil)
		state := map[bool]int{true: 1}[loaded]
		for _, line := range []string{fmt.Sprintf(`colbertdb_model_loaded{fingerprint="%.12s",model="fake-32"} %d`, shelf.info.Fingerprint, state), fmt.Sprintf(`colbertdb_model_loads_total{fingerprint="%.12s",model="fake-32"} %d`, shelf.info.Fingerprint, loads)} {
			if !strings.Contains(string(b), line+"\n") {
				t.Errorf("the metrics have no %s", line)
			}
		}
	}
	want(false, 0)
	i.do(201, "PUT", "/v1/collections/notes", wire.CollectionConfig{Model: "fake-32"}, nil)
	want(false, 0) // its name was enough
	i.fill("notes", 30)
	want(true, 1)
	query := wire.Search{Text: words(document(3).Text, 8), K: 1}
	find := func() {
		t.Helper()
		var got wire.SearchResult
		i.do(200, "POST", "/v1/collections/notes/search", query, &got)
		if len(got.Hits) != 1 || got.Hits[0].ID != document(3).ID {
			t.Fatalf("found %+v", got.Hits)
		}
	}
	find()
	i.s.EvictModels(time.Now().Add(-time.Hour)) // it was used since
	want(true, 1)
	i.s.EvictModels(time.Now())
	want(false, 1)
	var got wire.SearchResult // vectors need no model
	m := fake.New(32)
	q, err := m.EncodeQueries(ctx, []string{query.Text})
	if err != nil {
		t.Fatal(err)
	}
	i.do(200, "POST", "/v1/collections/notes/search", wire.Search{Vectors: wire.Vectors{Rows: wire.Rows{Matrix: q[0].Vectors}}, K: 1}, &got)
	want(false, 1)
	find()
	want(true, 2)
	if shelf.open.Load() != 1 || shelf.used.Load() != 0 {
		t.Errorf("%d are open, %d uses of closed ones", shelf.open.Load(), shelf.used.Load())
	}
}

// A model that cannot be loaded fails the requests that need it, with the reason, and
// is not tried at each of them.
func TestModelThatCannotBeLoaded(t *testing.T) {
	shelf := newShelf(32)
	shelf.fails.Store(true)
	var asked atomic.Int64
	model := shelf.model()
	model.Load = func() (encoder.Encoder, error) { asked.Add(1); return shelf.load() }
	other := server.Model{Info: fake.New(16).Info(), Load: func() (encoder.Encoder, error) { return fake.New(24), nil }}
	i := start(t, server.Options{Models: []server.Model{model, other}})
	i.do(201, "PUT", "/v1/collections/notes", wire.CollectionConfig{Model: "fake-32"}, nil)
	for range 5 {
		resp, b := i.send("POST", "/v1/collections/notes/documents", "application/json", []byte(`{"documents":[{"id":"a","text":"b"}]}`))
		if resp.StatusCode != 422 || !strings.Contains(string(b), "the file is torn") {
			t.Fatalf("status %d: %s", resp.StatusCode, b)
		}
	}
	if asked.Load() >= 5 { // one, unless ten seconds went by in between
		t.Errorf("it was tried %d times", asked.Load())
	}
	i.do(201, "PUT", "/v1/collections/changed", wire.CollectionConfig{Model: "fake-16"}, nil)
	resp, b := i.send("POST", "/v1/collections/changed/search", "application/json", []byte(`{"text":"b"}`))
	if resp.StatusCode != 422 || !strings.Contains(string(b), "another version") {
		t.Errorf("status %d: %s", resp.StatusCode, b)
	}
	var info wire.Collection
	i.do(200, "GET", "/v1/collections/notes", nil, &info)
	if info.Documents != 0 {
		t.Errorf("%d documents", info.Documents)
	}
}

// The model of a collection's record is found by its place, and closed by the server.
func TestModelOfARecord(t *testing.T) {
	shelf := newShelf(32)
	db, err := engine.OpenMem(nil)
	if err != nil {
		t.Fatal(err)
	}
	col, err := db.CreateCollection(ctx, "notes", engine.CollectionConfig{Encoder: placed{fake.New(32)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := col.Upsert(ctx, engine.Document{ID: "a", Text: "a lamp of brass"}); err != nil {
		t.Fatal(err)
	}
	i := startOn(t, db, server.Options{LoadModel: func(location string) (encoder.Encoder, error) {
		if location != "the place" {
			return nil, fmt.Errorf("no model at %q", location)
		}
		return shelf.load()
	}})
	var got wire.SearchResult
	i.do(200, "POST", "/v1/collections/notes/search", `{"text": "brass lamp", "include": ["text", "highlights"]}`, &got)
	if len(got.Hits) != 1 || len(got.Hits[0].Highlights) == 0 || shelf.loads.Load() != 1 {
		t.Errorf("found %+v, loaded %d times", got.Hits, shelf.loads.Load())
	}
	if err := i.s.Close(); err != nil || shelf.open.Load() != 0 {
		t.Errorf("%d models are open after Close: %v", shelf.open.Load(), err)
	}
	i.wantError(422, "no_model", "POST", "/v1/collections/notes/search", `{"text": "brass"}`)
}

// placed is a model with a place.
type placed struct{ encoder.Encoder }

func (p placed) Info() encoder.Info {
	info := p.Encoder.Info()
	info.Location = "the place"
	return info
}

// Many use a model while it is evicted all the time: no use meets a closed one, none
// fails, and at most one is open.
func TestEvictionsBesideUses(t *testing.T) {
	shelf := newShelf(32)
	i := start(t, server.Options{Models: []server.Model{shelf.model()}, Limits: server.Limits{Running: 4, Queued: 100}})
	i.do(201, "PUT", "/v1/collections/notes", wire.CollectionConfig{Model: "fake-32"}, nil)
	i.fill("notes", 20)
	stop := make(chan struct{})
	var evicting, users sync.WaitGroup
	evicting.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				i.s.EvictModels(time.Now())
				if n := shelf.open.Load(); n > 1 {
					t.Errorf("%d are open", n)
				}
			}
		}
	})
	for u := range 4 {
		users.Go(func() {
			for n := range 15 {
				resp, b := i.send("POST", "/v1/collections/notes/search", "application/json", fmt.Appendf(nil, `{"text": %s, "k": 1, "include": ["text", "highlights"]}`, quote(words(document((u+n)%20).Text, 8))))
				if resp.StatusCode != 200 || !strings.Contains(string(b), `"hits":[{"id"`) {
					t.Errorf("status %d: %s", resp.StatusCode, b)
				}
			}
		})
	}
	users.Wait()
	close(stop)
	evicting.Wait()
	if shelf.used.Load() != 0 {
		t.Errorf("%d uses of closed models", shelf.used.Load())
	}
}

// Serve itself evicts.
func TestServeEvicts(t *testing.T) {
	shelf := newShelf(32)
	i := start(t, server.Options{Models: []server.Model{shelf.model()}, ModelIdle: 10 * time.Millisecond})
	i.do(201, "PUT", "/v1/collections/notes", wire.CollectionConfig{Model: "fake-32"}, nil)
	i.fill("notes", 5)
	c, cancel := context.WithCancel(ctx)
	l, err := i.s.Listen(c, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- i.s.Serve(c, l) }()
	for shelf.open.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
