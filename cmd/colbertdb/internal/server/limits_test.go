package server_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

func zipped(t testing.TB, encoding string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&out)
	if encoding == "zstd" {
		var err error
		if w, err = zstd.NewWriter(&out); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Compressed bodies are read; bombs, cut streams and unknown encodings are refused.
func TestCompressedBodies(t *testing.T) {
	i := start(t, server.Options{Limits: server.Limits{Decompressed: 1 << 20}})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	body, err := json.Marshal(wire.Upsert{Documents: []wire.Document{document(1)}})
	if err != nil {
		t.Fatal(err)
	}
	post := func(encoding string, b []byte) int {
		resp, answer := i.send("POST", "/v1/collections/notes/documents", "application/json", b, "Content-Encoding", encoding)
		if !json.Valid(answer) {
			t.Errorf("%s: %d: %q is no JSON", encoding, resp.StatusCode, answer)
		}
		return resp.StatusCode
	}
	bomb := bytes.Repeat([]byte(" "), 48<<20)
	for _, encoding := range []string{"gzip", "zstd"} {
		whole := zipped(t, encoding, body)
		if got := post(encoding, whole); got != 200 {
			t.Errorf("%s: %d", encoding, got)
		}
		for _, cut := range []int{0, 1, len(whole) / 2, len(whole) - 1} {
			if got := post(encoding, whole[:cut]); got != 400 {
				t.Errorf("%s cut at %d of %d: %d", encoding, cut, len(whole), got)
			}
		}
		if got := post(encoding, body); got != 400 {
			t.Errorf("%s that is none: %d", encoding, got)
		}
		packed := zipped(t, encoding, bomb)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if got := post(encoding, packed); got != 413 {
			t.Errorf("%s bomb: %d", encoding, got)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 24<<20 {
			t.Errorf("%s bomb: %d bytes were allocated", encoding, n)
		}
	}
	// A frame that asks for a window of 16 MiB.
	var huge bytes.Buffer
	w, err := zstd.NewWriter(&huge, zstd.WithWindowSize(16<<20), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(bomb[:20<<20])
	_ = w.Close()
	if got := post("zstd", huge.Bytes()); got != 413 {
		t.Errorf("zstd with a huge window: %d", got)
	}
	if got := post("br", body); got != 415 {
		t.Errorf("br: %d", got)
	}
}

// Everything that is too large, too deep, too many or of the wrong kind gets an
// answer that says so, and nothing of it is stored.
func TestLimits(t *testing.T) {
	i := start(t, server.Options{Limits: server.Limits{Body: 4 << 20, Documents: 50, DocumentTokens: 100, QueryTokens: 20, QueryText: 4 << 10}})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	i.do(201, "PUT", "/v1/collections/v", wire.CollectionConfig{Dim: 8}, nil)
	const notes, v = "/v1/collections/notes", "/v1/collections/v"
	row := "[" + strings.TrimSuffix(strings.Repeat("1,", 8), ",") + "]"
	rows := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat(row+",", n), ",") + "]" }
	docs := func(n int) string {
		return `{"documents":[` + strings.TrimSuffix(strings.Repeat(`{"id":"a","text":"b"},`, n), ",") + "]}"
	}
	for name, c := range map[string]struct {
		status int
		kind   string
		path   string
		body   string
	}{
		"body":                {413, "too_large", notes + "/documents", `{"documents":[{"id":"a","text":"` + strings.Repeat("x", 5<<20) + `"}]}`},
		"no documents":        {413, "too_large", notes + "/documents", `{"documents":[]}`},
		"documents":           {413, "too_large", notes + "/documents", docs(51)},
		"depth":               {400, "bad_request", notes + "/documents", strings.Repeat("[", 10_000)},
		"depth of attributes": {400, "bad_request", notes + "/documents", `{"documents":[{"id":"a","text":"b","attributes":` + strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100) + `}]}`},
		"objects":             {413, "too_large", notes + "/documents", `{"documents":[` + strings.TrimSuffix(strings.Repeat("{},", 70_000), ",") + "]}"},
		"numbers":             {422, "bad_vectors", v + "/search", `{"vectors":[` + strings.TrimSuffix(strings.Repeat("1,", 1_000_000), ",") + "]}"},
		"document tokens":     {413, "too_large", v + "/documents", `{"documents":[{"id":"a","vectors":` + rows(101) + "}]}"},
		"query tokens":        {413, "too_large", v + "/search", `{"vectors":` + rows(21) + "}"},
		"query text":          {413, "too_large", notes + "/search", `{"text":"` + strings.Repeat("x ", 3<<10) + `"}`},
		"dimension":           {422, "dimension", v + "/search", `{"vectors":[[1,2]]}`},
		"ragged":              {422, "bad_vectors", v + "/search", `{"vectors":[[1,2],[1]]}`},
		"empty row":           {422, "bad_vectors", v + "/search", `{"vectors":[[],[]]}`},
		"float32":             {422, "bad_vectors", v + "/search", `{"vectors":[[1e39,1,1,1,1,1,1,1]]}`},
		"zero vector":         {422, "bad_vector", v + "/search", `{"vectors":[[0,0,0,0,0,0,0,0]]}`},
		"k":                   {422, "bad_search", notes + "/search", `{"text":"a","k":1001}`},
		"negative k":          {422, "bad_search", notes + "/search", `{"text":"a","k":-1}`},
		"offset":              {422, "bad_search", notes + "/search", `{"text":"a","offset":9995}`},
		"overflowing offset":  {422, "bad_search", notes + "/search", `{"text":"a","offset":9223372036854775807}`},
		"n_probe":             {422, "bad_search", notes + "/search", `{"text":"a","n_probe":257}`},
		"n_full_scores":       {422, "bad_search", notes + "/search", `{"text":"a","n_full_scores":1000000000}`},
		"effort":              {422, "bad_search", notes + "/search", `{"text":"a","effort":"heroic"}`},
		"mode":                {422, "bad_search", notes + "/search", `{"text":"a","mode":"telepathy"}`},
		"include":             {422, "invalid", notes + "/search", `{"text":"a","include":["secrets"]}`},
		"no query":            {422, "invalid", notes + "/search", `{}`},
		"two queries":         {422, "invalid", notes + "/search", `{"text":"a","document_id":"b"}`},
		"unknown document":    {404, "not_found", notes + "/search", `{"document_id":"b"}`},
		"filter":              {422, "bad_filter", notes + "/search", `{"text":"a","filter":"year >"}`},
		"filter object":       {422, "bad_filter", notes + "/search", `{"text":"a","filter":{"like":{"a":1}}}`},
		"huge filter":         {422, "bad_filter", notes + "/search", `{"text":"a","filter":"` + strings.Repeat("a = 1 or ", 100_000) + `a = 1"}`},
		"misspelt field":      {400, "bad_request", notes + "/search", `{"text":"a","tpo_k":3}`},
		"wrong kind":          {400, "bad_request", notes + "/search", `{"text":5}`},
		"two values":          {400, "bad_request", notes + "/search", `{"text":"a"} {}`},
		"cut":                 {400, "bad_request", notes + "/search", `{"text":"a`},
		"not UTF-8":           {400, "bad_request", notes + "/search", "{\"text\":\"\xff\"}"},
		"id":                  {422, "invalid", notes + "/documents", `{"documents":[{"id":"` + strings.Repeat("i", 1025) + `","text":"b"}]}`},
		"no id":               {422, "invalid", notes + "/documents", `{"documents":[{"text":"b"}]}`},
		"no content":          {422, "no_vectors", notes + "/documents", `{"documents":[{"id":"a"}]}`},
		"attributes":          {422, "invalid", notes + "/documents", `{"documents":[{"id":"a","text":"b","attributes":[1]}]}`},
		"base64":              {400, "bad_request", v + "/documents", `{"documents":[{"id":"a","vectors_f32_b64":"*","shape":[1,8]}]}`},
		"shape":               {422, "bad_vectors", v + "/documents", `{"documents":[{"id":"a","vectors_f32_b64":"AAAA","shape":[1000000000000,1000000000000]}]}`},
		"negative shape":      {422, "bad_vectors", v + "/documents", `{"documents":[{"id":"a","vectors_f16_b64":"AAAA","shape":[-5,-8]}]}`},
		"npy":                 {422, "bad_vectors", v + "/documents", `{"documents":[{"id":"a","vectors_npy_b64":"AAAA"}]}`},
	} {
		i.t = t
		t.Run(name, func(t *testing.T) {
			i.t = t
			i.wantError(c.status, c.kind, "POST", c.path, c.body)
		})
	}
	i.t = t
	for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", "%"} {
		if resp, _ := i.send("POST", notes+"/search", contentType, []byte(`{"text":"a"}`)); resp.StatusCode != 415 {
			t.Errorf("Content-Type %q: %d", contentType, resp.StatusCode)
		}
	}
	for _, path := range []string{"/documents?limit=0", "/documents?limit=51", "/documents?limit=x", "/documents?cursor=%21", "/documents?filter=a", "/documents?frobnicate=1", "/documents?vectors=maybe"} {
		if resp, b := i.send("GET", notes+path, "", nil); resp.StatusCode != 400 && resp.StatusCode != 422 {
			t.Errorf("%s: %d %s", path, resp.StatusCode, b)
		}
	}
	for _, c := range i.db.Collections() {
		if c.Documents != 0 {
			t.Errorf("collection %s has %d documents", c.Name, c.Documents)
		}
	}
}

// What decoding takes is bounded by the body's length, whatever it is made of.
func TestMemoryOfDecoding(t *testing.T) {
	i := start(t, server.Options{})
	i.do(201, "PUT", "/v1/collections/v", wire.CollectionConfig{Dim: 8}, nil)
	const size = 8 << 20
	for path, list := range map[string]string{
		"/v1/collections/v/documents:delete": `{"ids":[%s]}`, "/v1/collections/v/search": `{"vectors":[%s]}`, "/v1/collections/v/documents": `{"documents":[%s]}`,
		"/v1/collections/v/search:batch": `{"searches":[%s]}`, "/v1/rerank": `{"query":"a","documents":[%s]}`, "/v1/multi-vector": `{"input":[%s]}`, "/rerank": `{"query":"a","texts":[%s]}`,
	} {
		for _, element := range []string{`""`, "null", "{}", "[]", "1", "[1]", `{"a":1}`, "[[1]]"} {
			body := fmt.Appendf(nil, list, strings.TrimSuffix(strings.Repeat(element+",", size/(len(element)+1)), ","))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			resp, answer := i.send("POST", path, "application/json", body)
			runtime.ReadMemStats(&after)
			if resp.StatusCode < 400 || resp.StatusCode >= 500 {
				t.Errorf("%s of %s: %d %.200s", path, element, resp.StatusCode, answer)
			}
			// Reading the body takes three times its size, in steps; the client's copy once.
			if n := after.TotalAlloc - before.TotalAlloc; n > 20*size {
				t.Errorf("%s of %s: %d MiB were allocated for %d", path, element, n>>20, size>>20)
			}
		}
	}
}

// An answer that would be too large is an error, and pages of vectors end early.
func TestLargeAnswers(t *testing.T) {
	i := start(t, server.Options{Limits: server.Limits{Answer: 100 << 10}})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	for n := range 20 {
		i.do(200, "PUT", fmt.Sprintf("/v1/collections/notes/documents/%d", n), wire.Document{Text: strings.Repeat(fmt.Sprintf("word%d ", n), 2000)}, nil)
	}
	i.wantError(422, "answer_too_large", "POST", "/v1/collections/notes/search", `{"text":"word1","k":20}`)
	i.do(200, "POST", "/v1/collections/notes/search", `{"text":"word1","k":20,"include":[]}`, nil)
	i.do(200, "POST", "/v1/collections/notes/search", `{"text":"word1","k":2}`, nil)
	i = start(t, server.Options{})
	i.do(201, "PUT", "/v1/collections/v", wire.CollectionConfig{Dim: 256}, nil)
	m := engine.Matrix{Dim: 256, Data: make([]float32, 256*2000)}
	for n := range m.Data {
		m.Data[n] = 1
	}
	for n := range 9 {
		i.do(200, "POST", "/v1/collections/v/documents", wire.Upsert{Documents: []wire.Document{{ID: fmt.Sprint(n), Vectors: wire.VectorsOf(m)}}}, nil)
	}
	var ids []string
	pages := 0
	for cursor := ""; ; pages++ {
		var p wire.Page
		i.do(200, "GET", "/v1/collections/v/documents?vectors=true&cursor="+cursor, nil, &p)
		for _, d := range p.Documents {
			ids = append(ids, d.ID)
			if d.Rows.Len() != 2000 {
				t.Errorf("%s has %d vectors", d.ID, d.Rows.Len())
			}
		}
		if cursor = p.Next; cursor == "" {
			break
		}
	}
	if fmt.Sprint(ids) != "[0 1 2 3 4 5 6 7 8]" || pages != 1 {
		t.Errorf("%d pages after the first, ids %v", pages, ids)
	}
}

// No name leads out of its place, and none is taken for another.
func TestNames(t *testing.T) {
	i := start(t, server.Options{})
	for _, name := range []string{"..", "%2e%2e", "%2E%2E%2Fx", "a%2Fb", "a%5Cb", "a%00b", "A", "-a", "%C3%A9", "а", strings.Repeat("a", 64), strings.Repeat("a", 10_000), "a%20b", "."} {
		resp, b := i.send("PUT", "/v1/collections/"+name, "", nil)
		if resp.StatusCode < 400 || resp.StatusCode >= 500 {
			t.Errorf("collection %.40q: %d %s", name, resp.StatusCode, b)
		}
	}
	if got := i.db.Collections(); len(got) != 0 {
		t.Fatalf("there are collections: %+v", got)
	}
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	ids := []string{"..", "../../etc/passwd", "a/b", "a//b", "%2F", "a\x00b", "日本", strings.Repeat("x", 1024), " ", "?#&", "documents:delete"}
	for n, id := range ids {
		text := fmt.Sprintf("text %d", n)
		i.do(200, "POST", "/v1/collections/notes/documents", wire.Upsert{Documents: []wire.Document{{ID: id, Text: text}}}, nil)
	}
	for n, id := range ids {
		var d wire.Document
		path := "/v1/collections/notes/documents/"
		for _, c := range []byte(id) {
			path += fmt.Sprintf("%%%02X", c)
		}
		i.do(200, "GET", path, nil, &d)
		if d.ID != id || d.Text != fmt.Sprintf("text %d", n) {
			t.Errorf("id %q: got %+v", id, d)
		}
	}
}

// A bulk load stores what it says, line by line, and tells of what it does not.
func TestBulk(t *testing.T) {
	i := start(t, server.Options{Limits: server.Limits{Line: 64 << 10}})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	var body bytes.Buffer
	for n := range 700 {
		b, err := json.Marshal(document(n))
		if err != nil {
			t.Fatal(err)
		}
		body.Write(append(b, '\n'))
	}
	bulk := func(query string, b []byte, headers ...string) []wire.Progress {
		t.Helper()
		resp, answer := i.send("POST", "/v1/collections/notes/documents"+query, "application/x-ndjson", b, headers...)
		if resp.StatusCode != 200 {
			t.Fatalf("%d: %s", resp.StatusCode, answer)
		}
		var out []wire.Progress
		for line := range strings.Lines(string(answer)) {
			var p wire.Progress
			if err := json.Unmarshal([]byte(line), &p); err != nil {
				t.Fatalf("%v: %q", err, line)
			}
			out = append(out, p)
		}
		return out
	}
	got := bulk("", zipped(t, "zstd", body.Bytes()), "Content-Encoding", "zstd")
	last := got[len(got)-1]
	if len(got) < 3 || !last.Done || last.Upserted != 700 || last.Failed != 0 || last.Line != 700 || last.Seq != i.db.Seq() {
		t.Fatalf("progress %+v", got)
	}
	if got[0].Upserted == 0 || got[0].Done {
		t.Errorf("the first line is %+v", got[0])
	}
	if c := i.db.Collections()[0]; c.Documents != 700 {
		t.Errorf("%d documents", c.Documents)
	}
	bad := []byte(`{"id":"n1","text":"one"}
{"id":"n2","text":` + "\n" + `
{"id":"n3","text":"three"}
{"id":"","text":"no id"}
{"id":"n4","txet":"misspelt"}
{"id":"n5","text":"five"}`)
	got = bulk("?on_error=skip", bad)
	var lines []int64
	for _, p := range got {
		if p.Error != nil {
			lines = append(lines, p.Line)
		}
	}
	slices.Sort(lines) // those that are no document are told of before those that the store refuses
	if last := got[len(got)-1]; fmt.Sprint(lines) != "[2 5 6]" || !last.Done || last.Upserted != 3 || last.Failed != 3 {
		t.Errorf("lines %v were refused; %+v", lines, last)
	}
	i.do(200, "GET", "/v1/collections/notes/documents/n5", nil, nil)
	got = bulk("", []byte("{\"id\":\"m1\",\"text\":\"one\"}\n{\n{\"id\":\"m2\",\"text\":\"two\"}\n"))
	if last := got[len(got)-1]; last.Done || last.Error == nil || last.Line != 2 || last.Upserted != 1 {
		t.Errorf("a load that stops at an error ends with %+v", last)
	}
	i.do(200, "GET", "/v1/collections/notes/documents/m1", nil, nil)
	i.wantError(404, "not_found", "GET", "/v1/collections/notes/documents/m2", nil)
	resp, answer := i.send("POST", "/v1/collections/notes/documents", "application/x-ndjson", []byte(`{"id":"long","text":"`+strings.Repeat("x", 100<<10)+`"}`))
	if resp.StatusCode != 413 {
		t.Errorf("a long line: %d %s", resp.StatusCode, answer)
	}
}

// A reader of the answer sees progress while it still sends.
func TestBulkStreams(t *testing.T) {
	i := start(t, server.Options{})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	r, w := io.Pipe()
	req, err := http.NewRequest("POST", i.url+"/v1/collections/notes/documents", r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	answered := make(chan *http.Response, 1)
	go func() {
		resp, err := i.http.Do(req)
		if err != nil {
			t.Error(err)
		}
		answered <- resp
	}()
	line := func(n int) {
		b, _ := json.Marshal(document(n))
		if _, err := w.Write(append(b, '\n')); err != nil {
			t.Error(err)
		}
	}
	for n := range 256 {
		line(n)
	}
	resp := <-answered
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	var p wire.Progress
	if err := d.Decode(&p); err != nil || p.Upserted != 256 {
		t.Fatalf("progress %+v, %v", p, err)
	}
	var found wire.SearchResult
	i.do(200, "POST", "/v1/collections/notes/search", wire.Search{Text: paragraphs[255%len(paragraphs)], K: 1, MinSeq: p.Seq}, &found)
	line(256)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for !p.Done {
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
	}
	if p.Upserted != 257 {
		t.Errorf("%+v", p)
	}
}

// More searches than may run and wait get 429; a client that goes away frees its
// place; a search that takes too long is ended.
func TestAdmission(t *testing.T) {
	m := newSlow()
	i := start(t, server.Options{Model: m, Limits: server.Limits{Running: 2, Queued: 3, QueryTimeout: time.Minute}})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	i.fill("notes", 5)
	var wg sync.WaitGroup
	var ok, busy atomic.Int64
	begin := func(ctx context.Context, body string) {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(ctx, "POST", i.url+"/v1/collections/notes/search", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Content-Type", "application/json")
			resp, err := i.http.Do(req)
			if err != nil {
				return // cancelled
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			switch {
			case resp.StatusCode == 200:
				ok.Add(1)
			case resp.StatusCode == 429 && resp.Header.Get("Retry-After") != "" && strings.Contains(string(b), "overloaded"):
				busy.Add(1)
			default:
				t.Errorf("%d: %s", resp.StatusCode, b)
			}
		})
	}
	cancelled, cancel := context.WithCancel(ctx)
	begin(cancelled, `{"text":"a"}`)
	begin(ctx, `{"text":"b"}`)
	<-m.waiting
	<-m.waiting // two run
	for range 10 {
		begin(ctx, `{"text":"c"}`)
	}
	for deadline := time.Now().Add(20 * time.Second); busy.Load() < 7; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d were turned away, want 7", busy.Load())
		}
	}
	cancel() // its place goes to one that waits
	<-m.waiting
	i.do(200, "GET", "/livez", nil, nil)
	close(m.wait)
	wg.Wait()
	if ok.Load() != 4 || busy.Load() != 7 {
		t.Errorf("%d answered, %d turned away", ok.Load(), busy.Load())
	}
	m.wait = make(chan struct{})
	i.wantError(504, "timeout", "POST", "/v1/collections/notes/search", `{"text":"a","timeout_ms":20}`)
	i.wantError(504, "not_visible", "POST", "/v1/collections/notes/search", `{"document_id":`+quote(document(1).ID)+`,"timeout_ms":20,"min_seq":1000000}`)
	close(m.wait)
	i.do(200, "POST", "/v1/collections/notes/search", `{"text":"a"}`, nil)
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// Bodies that are being worked on are bounded together.
func TestMemoryOfBodies(t *testing.T) {
	i := start(t, server.Options{Limits: server.Limits{Memory: 1 << 20}})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	i.wantError(429, "overloaded", "POST", "/v1/collections/notes/documents", `{"documents":[{"id":"a","text":"`+strings.Repeat("x", 3<<20)+`"}]}`)
	i.fill("notes", 3)
	resp, b := i.send("GET", "/metrics", "", nil)
	if resp.StatusCode != 200 || !strings.Contains(string(b), "colbertdb_http_body_bytes 0\n") {
		t.Error("what bodies took was not given back")
	}
}

// A client that sends its header or its body byte by byte is cut off, and a
// thousand idle connections disturb nobody.
func TestSlowAndIdleClients(t *testing.T) {
	db, err := engine.OpenMem(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(db, server.Options{Limits: server.Limits{HeaderTimeout: 300 * time.Millisecond, ReadTimeout: 500 * time.Millisecond, IdleTimeout: 2 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- s.Serve(running, l) }()
	for _, begin := range []string{"GET /livez HTT", "PUT /v1/collections/a HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, begin); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		b, err := io.ReadAll(c)
		if err != nil {
			t.Errorf("%q: the connection stayed open: %v", begin, err)
		}
		if strings.HasPrefix(begin, "PUT") && !strings.Contains(string(b), "408") {
			t.Errorf("a slow body is answered %q", b)
		}
		_ = c.Close()
	}
	var idle []net.Conn
	for range 1000 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	client := &http.Client{Transport: &http.Transport{}}
	resp, err := client.Get("http://" + l.Addr().String() + "/readyz")
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("beside idle connections: %v, %v", resp, err)
	}
	if err == nil {
		resp.Body.Close()
	}
	client.CloseIdleConnections()
	for _, c := range idle {
		_ = c.Close()
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
