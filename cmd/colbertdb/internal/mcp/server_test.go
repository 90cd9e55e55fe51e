package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

// collections are one in the process and one of a server, with the same documents.
func collections(t *testing.T) map[string]remote.Collection {
	t.Helper()
	out := map[string]remote.Collection{}
	for _, kind := range []string{"store", "server"} {
		db, err := engine.OpenMem(nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if r, err := db.Verify(ctx); err != nil || !r.Ok() {
				t.Errorf("verify: %v, %v", r, err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		model := fake.New(32)
		if _, err := db.CreateCollection(ctx, "c", engine.CollectionConfig{Encoder: model}); err != nil {
			t.Fatal(err)
		}
		database := remote.Embedded(db, engine.WithEncoder(model))
		if kind == "server" {
			s, err := server.New(db, server.Options{Model: model})
			if err != nil {
				t.Fatal(err)
			}
			hs := httptest.NewServer(s.Handler())
			t.Cleanup(func() {
				hs.Close()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			if database, err = remote.Open(ctx, hs.URL, &remote.Options{HTTP: hs.Client()}); err != nil {
				t.Fatal(err)
			}
		}
		col, err := database.Collection(ctx, "c")
		if err != nil {
			t.Fatal(err)
		}
		for n := range 30 {
			if _, err := col.Upsert(ctx, engine.Document{
				ID: fmt.Sprintf("d%d", n), Text: fmt.Sprintf("note number n%d about subject s%d", n, n%5), Attributes: json.RawMessage(fmt.Sprintf(`{"year":%d}`, 2000+n)),
			}); err != nil {
				t.Fatal(err)
			}
		}
		out[kind] = col
	}
	return out
}

// connect is a client of the official library, in the process or over HTTP.
func connect(t *testing.T, s *Server, overHTTP bool) *mcp.ClientSession {
	t.Helper()
	c := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	var transport mcp.Transport
	if overHTTP {
		hs := httptest.NewServer(s.Handler())
		t.Cleanup(hs.Close)
		transport = &mcp.StreamableClientTransport{Endpoint: hs.URL, HTTPClient: hs.Client()}
	} else {
		here, there := mcp.NewInMemoryTransports()
		ctx, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.Run(ctx, there)
		}()
		t.Cleanup(func() { stop(); <-done })
		transport = here
	}
	session, err := c.Connect(ctx, transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// call calls a tool and reads what it returned; failed is what it complained of.
func call(t *testing.T, s *mcp.ClientSession, tool string, in map[string]any, out any) (failed string) {
	t.Helper()
	res, err := s.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: in})
	if err != nil {
		return err.Error()
	}
	if res.IsError {
		return res.Content[0].(*mcp.TextContent).Text
	}
	b, err := json.Marshal(res.StructuredContent)
	if err == nil {
		err = json.Unmarshal(b, out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ""
}

// The tools do what the collection does, whatever it is and however they are called.
func TestTools(t *testing.T) {
	for kind, col := range collections(t) {
		for _, overHTTP := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s over HTTP %t", kind, overHTTP), func(t *testing.T) {
				s := connect(t, New(Options{Collection: col, About: "notes", AllowWrites: true, Version: "v1"}), overHTTP)
				if about := s.InitializeResult(); !strings.Contains(about.Instructions, "notes") || about.ServerInfo.Version != "v1" {
					t.Errorf("%+v", about)
				}
				for _, mode := range []string{"", "bm25", "hybrid"} {
					in := map[string]any{"query": "n7 of s2", "k": 4, "filter": "year < 2020"}
					if mode != "" {
						in["mode"] = mode
					}
					var got SearchOutput
					if failed := call(t, s, "search", in, &got); failed != "" {
						t.Fatal(failed)
					}
					f, err := engine.ParseFilter("year < 2020")
					if err != nil {
						t.Fatal(err)
					}
					m, err := engine.ParseMode(cmpOr(mode, "late-interaction"))
					if err != nil {
						t.Fatal(err)
					}
					want, err := col.Search(ctx, engine.SearchRequest{Text: "n7 of s2", K: 4, Filter: f, Mode: m})
					if err != nil {
						t.Fatal(err)
					}
					if len(got.Hits) != len(want.Hits) || got.Documents != want.Documents || len(got.Hits) == 0 {
						t.Fatalf("by %s: %+v, want %+v", mode, got, want)
					}
					for i, h := range want.Hits {
						if g := got.Hits[i]; g.ID != h.ID || g.Score != h.Score || g.Text != h.Text || !(g.Attributes["year"].(float64) < 2020) {
							t.Errorf("by %s: hit %d is %+v, want %+v", mode, i, g, h)
						}
					}
				}
				var d Document
				if failed := call(t, s, "get", map[string]any{"id": "d7"}, &d); failed != "" {
					t.Fatal(failed)
				}
				if diff := cmp.Diff(Document{ID: "d7", Text: "note number n7 about subject s2", Attributes: map[string]any{"year": 2007.}}, d); diff != "" {
					t.Error(diff)
				}
				id := fmt.Sprintf("new %t", overHTTP)
				var up UpsertOutput
				if failed := call(t, s, "upsert", map[string]any{"documents": []map[string]any{{"id": id, "text": "stored by an agent", "attributes": map[string]any{"by": "agent"}}}}, &up); failed != "" || up.Upserted != 1 || up.Seq == 0 {
					t.Fatal(failed, up)
				}
				if got, err := col.Get(ctx, id); err != nil || got.Text != "stored by an agent" || string(got.Attributes) != `{"by":"agent"}` {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
	}
}

// What is asked wrongly is answered in words, and no tool writes without permission.
func TestRefused(t *testing.T) {
	col := collections(t)["store"]
	s := connect(t, New(Options{Collection: col}), true)
	var names []string
	for tool, err := range s.Tools(ctx, nil) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, tool.Name)
		if !tool.Annotations.ReadOnlyHint {
			t.Errorf("%s is not read-only", tool.Name)
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"get", "search"}) {
		t.Errorf("tools %v", names)
	}
	for _, c := range []struct {
		tool string
		in   map[string]any
		want string
	}{
		{"upsert", map[string]any{"documents": []map[string]any{{"id": "x", "text": "x"}}}, `"upsert"`},
		{"get", map[string]any{"id": "none"}, "document not found"},
		{"search", map[string]any{"query": ""}, "give a query"},
		{"search", map[string]any{"query": "x", "k": 1000}, "1 to 100"},
		{"search", map[string]any{"query": "x", "filter": "year >"}, "filter"},
		{"search", map[string]any{"query": "x", "mode": "best"}, "best"},
		{"search", map[string]any{"quest": "x"}, "quest"},
	} {
		var out any
		if failed := call(t, s, c.tool, c.in, &out); !strings.Contains(failed, c.want) {
			t.Errorf("%s %v: %q does not speak of %q", c.tool, c.in, failed, c.want)
		}
	}
	if _, err := col.Get(ctx, "x"); err == nil {
		t.Error("a tool that is not there has written")
	}
	// Pages of other sites are refused.
	hs := httptest.NewServer(New(Options{Collection: col}).Handler())
	defer hs.Close()
	for header, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Host": "evil.example"} {
		r, err := http.NewRequest("POST", hs.URL, strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(header, value)
		if header == "Host" {
			r.Host = value
		}
		resp, err := hs.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s: status %d", header, value, resp.StatusCode)
		}
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
