package server_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
)

// Whatever a client sends: the handlers do not panic, answer every error as one, do
// not call the client's fault their own, give back the memory of bodies, and leave a
// store that is whole.
func FuzzRequests(f *testing.F) {
	const notes = "/v1/collections/notes"
	for _, s := range []struct{ method, path, contentType, encoding, body string }{
		{"PUT", "/v1/collections/other", "application/json", "", `{"dim":8,"profile":"compact","retain_raw":true}`},
		{"POST", notes + "/documents", "application/json", "", `{"documents":[{"id":"a","text":"b","attributes":{"n":1},"vectors":[[1,2]]}]}`},
		{"POST", notes + "/documents", "application/json", "gzip", "\x1f\x8b\x08"},
		{"POST", notes + "/documents", "application/json", "zstd", "\x28\xb5\x2f\xfd"},
		{"POST", notes + "/documents?on_error=skip", "application/x-ndjson", "", "{\"id\":\"x\",\"text\":\"y\"}\n{\n\n[]"},
		{"PUT", notes + "/documents/a%2Fb?dtype=f16&dim=64", "application/octet-stream", "", strings.Repeat("a", 128)},
		{"PUT", notes + "/documents/a", "application/x-npy", "", "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999), }"},
		{"GET", notes + "/documents?cursor=zz&limit=3&filter=n%20%3D%201&vectors=true&include=text", "", "", ""},
		{"GET", notes + "/documents/..%2f..%2fetc", "", "", ""},
		{"DELETE", notes + "/documents/b", "", "", ""},
		{"POST", notes + "/documents:delete", "application/json", "", `{"filter":{"and":[{"eq":{"n":1}},{"not":{"exists":"x"}}]}}`},
		{"POST", notes + "/search", "application/json", "", `{"text":"amber","k":3,"offset":1,"filter":"n > 0","explain":true,"include":["highlights"],"group_by":"n","weights":[1]}`},
		{"POST", notes + "/search", "application/json", "", `{"vectors_f32_b64":"AAAA","shape":[1,-9223372036854775808],"k":1e9}`},
		{"POST", notes + "/search:batch", "application/json", "", `{"searches":[{"document_id":"a"},{"text":"b","effort":"full"}]}`},
		{"POST", notes + "/indexes", "application/json", "", `{"paths":["n","a.b","\u0000"]}`},
		{"PUT", "/v1/aliases/x", "application/json", "", `{"collection":"notes"}`},
		{"POST", "/v1/snapshots", "application/json", "", `{"name":"../../x"}`},
		{"POST", "/v1/multi-vector", "application/json", "", `{"input":[{"text":"a"},"b"],"input_type":"query","embedding_type":["base64"]}`},
		{"POST", "/v1/rerank", "application/json", "", `{"query":{"text":"a"},"documents":["b",{"title":5}],"rank_fields":["title"],"top_n":1}`},
		{"POST", "/rerank", "application/json", "", `{"query":"a","texts":["b"],"raw_scores":true}`},
		{"GET", "/v1/models/x", "", "", ""},
	} {
		f.Add(s.method, s.path, s.contentType, s.encoding, []byte(s.body))
	}
	db, err := engine.OpenMem(&engine.Options{SealDocuments: 50, TrainTokens: 1000})
	if err != nil {
		f.Fatal(err)
	}
	s, err := server.New(db, server.Options{Model: fake.New(dim), AnyHost: true, Snapshots: f.TempDir(), Limits: server.Limits{Body: 1 << 20, Decompressed: 2 << 20}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		r, err := db.Verify(ctx)
		if err != nil {
			f.Error(err)
		}
		for _, p := range r.Problems {
			f.Error(p)
		}
		if err := db.Close(); err != nil {
			f.Error(err)
		}
	})
	send := func(method, path, contentType, encoding string, body []byte) *httptest.ResponseRecorder {
		r, err := http.NewRequest(method, "http://localhost"+path, bytes.NewReader(body))
		if err != nil || !strings.HasPrefix(path, "/") {
			return nil // no client could send it
		}
		r.RequestURI = path
		if contentType != "" {
			r.Header["Content-Type"] = []string{contentType}
		}
		if encoding != "" {
			r.Header["Content-Encoding"] = []string{encoding}
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w
	}
	f.Fuzz(func(t *testing.T, method, path, contentType, encoding string, body []byte) {
		if send("PUT", "/v1/collections/notes", "", "", nil).Code >= 300 { // it may have been dropped, or be another's name
			t.Skip()
		}
		w := send(method, path, contentType, encoding, body)
		if w == nil {
			return
		}
		switch {
		case w.Code == 500:
			t.Fatalf("%s %s: %s", method, path, w.Body)
		case w.Code >= 400 && method != "HEAD":
			var e struct {
				Type string `json:"error_type"`
				Code int
			}
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Type == "" || e.Code != w.Code {
				t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
			}
		}
		if n := s.MemoryOfBodies(); n != 0 {
			t.Fatalf("%s %s: %d bytes of bodies were not given back", method, path, n)
		}
	})
}
