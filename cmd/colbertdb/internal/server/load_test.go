package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// busyModel takes a millisecond for a text, so that requests pile up.
type busyModel struct{ encoder.Encoder }

func (m busyModel) EncodeQueries(ctx context.Context, texts []string) ([]encoder.Query, error) {
	time.Sleep(time.Millisecond)
	return m.Encoder.EncodeQueries(ctx, texts)
}

func (m busyModel) EncodeDocuments(ctx context.Context, texts []string) ([]encoder.Document, error) {
	time.Sleep(time.Millisecond)
	return m.Encoder.EncodeDocuments(ctx, texts)
}

// With four times as many clients as may run and wait, and writers beside them, every
// request is answered: with the hits that an idle server finds, or with 429; and every
// write that was acknowledged is there.
func TestFourTimesTheCapacity(t *testing.T) {
	const running, queued = 2, 2
	i := start(t, server.Options{Model: busyModel{fake.New(dim)}, Limits: server.Limits{Running: running, Queued: queued, Writing: 1, WritesQueued: 1}})
	i.http.Transport.(*http.Transport).MaxIdleConnsPerHost = 100
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	i.do(201, "PUT", "/v1/collections/written", nil, nil)
	i.fill("notes", 100)
	queries := make([]string, 25)
	want := make([]string, len(queries))
	for n := range queries {
		queries[n] = fmt.Sprintf(`{"text":%s,"k":5}`, quote(words(paragraphs[n], 6)))
		want[n] = i.hits(queries[n])
	}
	var answered, busy, written, refused atomic.Int64
	var mu sync.Mutex
	acknowledged := map[string]uint64{}
	var wg sync.WaitGroup
	for c := range 4 * (running + queued) {
		wg.Go(func() {
			for n := range 60 {
				q := (c + n) % len(queries)
				resp, b := i.send("POST", "/v1/collections/notes/search", "application/json", []byte(queries[q]))
				switch resp.StatusCode {
				case 200:
					answered.Add(1)
					if got := hitsOf(t, b); got != want[q] {
						t.Errorf("query %d found %s, on the idle server %s", q, got, want[q])
					}
				case 429:
					busy.Add(1)
					if resp.Header.Get("Retry-After") == "" {
						t.Error("429 without Retry-After")
					}
				default:
					t.Errorf("%d: %s", resp.StatusCode, b)
				}
			}
		})
	}
	for c := range 6 {
		wg.Go(func() {
			for n := range 30 {
				id := fmt.Sprintf("w%d-%d", c, n)
				resp, b := i.send("PUT", "/v1/collections/written/documents/"+id, "application/json", []byte(`{"text":"written under load"}`))
				switch resp.StatusCode {
				case 200:
					written.Add(1)
					var r wire.UpsertResult
					if err := json.Unmarshal(b, &r); err != nil {
						t.Error(err)
					}
					mu.Lock()
					acknowledged[id] = r.Seq
					mu.Unlock()
				case 429:
					refused.Add(1)
				default:
					t.Errorf("%d: %s", resp.StatusCode, b)
				}
			}
		})
	}
	wg.Wait()
	if answered.Load() == 0 || busy.Load() == 0 || written.Load() == 0 || refused.Load() == 0 {
		t.Errorf("%d answered, %d turned away, %d written, %d refused: the load was none", answered.Load(), busy.Load(), written.Load(), refused.Load())
	}
	col, err := i.db.Collection("written")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]string{}
	for id, seq := range acknowledged {
		if _, err := col.Get(ctx, id); err != nil {
			t.Errorf("a write that was acknowledged: %v", err)
		}
		if other, twice := seen[seq]; twice {
			t.Errorf("%s and %s are both change %d", id, other, seq)
		}
		seen[seq] = id
	}
	if n := col.Info().Documents; n != written.Load() {
		t.Errorf("%d documents, %d writes were acknowledged", n, written.Load())
	}
	_, metrics := i.send("GET", "/metrics", "", nil)
	for _, line := range []string{
		"colbertdb_search_running 0", "colbertdb_search_queued 0", fmt.Sprintf("colbertdb_search_denied_total %d", busy.Load()),
		fmt.Sprintf("colbertdb_write_denied_total %d", refused.Load()), "colbertdb_http_panics_total 0",
	} {
		if !strings.Contains(string(metrics), line+"\n") {
			t.Errorf("the metrics do not say %q", line)
		}
	}
}

func (i *instance) hits(body string) string {
	i.t.Helper()
	resp, b := i.send("POST", "/v1/collections/notes/search", "application/json", []byte(body))
	if resp.StatusCode != 200 {
		i.t.Fatalf("%d: %s", resp.StatusCode, b)
	}
	return hitsOf(i.t, b)
}

func hitsOf(t testing.TB, b []byte) string {
	var answer struct{ Hits json.RawMessage }
	if err := json.Unmarshal(b, &answer); err != nil {
		t.Error(err)
	}
	return string(answer.Hits)
}
