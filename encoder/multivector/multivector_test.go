package multivector_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/encoder/multivector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dim = 16

// request is what the route is asked.
type request struct {
	Model      string
	Type       string `json:"input_type"`
	Embedding  string `json:"embedding_type"`
	Dimensions int
	Input      []string
}

// server speaks the route as Jina's does, with the vectors of a fake model three times
// as long as they should be.
type server struct {
	*httptest.Server
	t        *testing.T
	model    *fake.Encoder
	asked    atomic.Int64 // of the route
	before   func(w http.ResponseWriter, r *http.Request, n int64) (done bool)
	change   func(answer map[string]any) // of an answer
	requests []request
	mu       sync.Mutex
}

func serve(t *testing.T) *server {
	s := &server{t: t, model: fake.New(dim)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/multi-vector" || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	n := s.asked.Add(1)
	if s.before != nil && s.before(w, r, n) {
		return
	}
	var q request
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	s.requests = append(s.requests, q)
	s.mu.Unlock()
	data := []any{}
	add := func(m encoder.Matrix) {
		rows := [][]float32{}
		for i := range m.Len() {
			row := slices.Clone(m.Row(i))
			for d := range row {
				row[d] *= 3
			}
			rows = append(rows, row)
		}
		data = append(data, map[string]any{"object": "embeddings", "index": len(data), "embeddings": rows})
	}
	if q.Type == "query" {
		out, _ := s.model.EncodeQueries(r.Context(), q.Input)
		for _, o := range out {
			add(o.Vectors)
		}
	} else {
		out, _ := s.model.EncodeDocuments(r.Context(), q.Input)
		for _, o := range out {
			add(o.Vectors)
		}
	}
	slices.Reverse(data) // indexes tell the order
	a := map[string]any{"model": "jina-colbert-v2", "object": "list", "data": data, "usage": map[string]int{"total_tokens": 1}}
	if s.change != nil {
		s.change(a)
	}
	_ = json.NewEncoder(w).Encode(a)
}

// quick are options that do not wait.
var quick = multivector.Options{RetryWait: time.Nanosecond, MostWait: 2 * time.Second, Retries: 3}

func (s *server) open(o multivector.Options) *multivector.Encoder {
	s.t.Helper()
	e, err := multivector.Open(s.t.Context(), s.URL, o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := e.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return e
}

func near(a, b encoder.Matrix) bool {
	if a.Dim != b.Dim || len(a.Data) != len(b.Data) {
		return false
	}
	for i := range a.Data {
		if math.Abs(float64(a.Data[i]-b.Data[i])) > 1e-6 {
			return false
		}
	}
	return true
}

// Texts of many requests come back in their order, each side as such, at unit length;
// the model's name and dimension are learned.
func TestEncode(t *testing.T) {
	s := serve(t)
	o := quick
	o.Texts, o.TextBytes, o.Key = 7, 200, "secret"
	s.before = func(w http.ResponseWriter, r *http.Request, _ int64) bool {
		if got := r.Header.Get("Authorization"); got != "Bearer secret" {
			t.Errorf("key %q", got)
		}
		return false
	}
	e := s.open(o)
	if i := e.Info(); i.Name != "jina-colbert-v2" || i.Dim != dim || len(i.Fingerprint) != 64 || i.Location != s.URL || i.DocMaxLen != 8192 {
		t.Errorf("%+v", i)
	}
	var texts []string
	for i := range 40 {
		texts = append(texts, strings.TrimSpace(strings.Repeat(fmt.Sprintf("word%d ", i), i%9+1)))
	}
	documents, err := e.EncodeDocuments(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	queries, err := e.EncodeQueries(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	wantD, _ := s.model.EncodeDocuments(t.Context(), texts)
	wantQ, _ := s.model.EncodeQueries(t.Context(), texts)
	for i := range texts {
		if !near(documents[i].Vectors, wantD[i].Vectors) || !near(queries[i].Vectors, wantQ[i].Vectors) || len(queries[i].Tokens) != queries[i].Vectors.Len() {
			t.Errorf("text %d: other vectors", i)
		}
	}
	most, sides := 0, map[string]int{}
	for _, q := range s.requests {
		most = max(most, len(q.Input))
		sides[q.Type] += len(q.Input)
	}
	if most != 7 || sides["query"] != 40 || sides["document"] != 41 {
		t.Errorf("requests of up to %d texts, sides %v", most, sides)
	}
	if _, err := e.EncodeDocuments(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// The address says which model and how many dimensions, and gives lengths.
func TestAddress(t *testing.T) {
	s := serve(t)
	e, err := multivector.Open(t.Context(), s.URL+"/v1/multi-vector?model=jina-colbert-v2&dimensions=16&document_length=300&query_length=64", quick)
	if err != nil {
		t.Fatal(err)
	}
	if i := e.Info(); i.DocMaxLen != 300 || i.QueryMaxLen != 64 {
		t.Errorf("%+v", i)
	}
	if q := s.requests[0]; q.Model != "jina-colbert-v2" || q.Dimensions != 16 || q.Embedding != "float" {
		t.Errorf("%+v", q)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	for address, want := range map[string]string{
		"ftp://x":                    "no address",
		"https://":                   "no address",
		"https://a:b@x":              "user",
		s.URL + "?models=x":          "unknown parameter",
		s.URL + "?dimensions=x":      "dimensions",
		s.URL + "?dimensions=8":      "8 dimensions were asked for, it gives 16",
		s.URL + "?model=a&model=b":   "more than once",
		s.URL + "?model=another":     `the model "jina-colbert-v2", not "another"`,
		s.URL + "/nothing":           "404",
		"http://127.0.0.1:1?model=a": "refused",
	} {
		if e, err := multivector.Open(t.Context(), address, quick); !errors.Is(err, multivector.ErrServer) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", address, e, err)
		}
	}
	o := quick
	o.Key = "secret"
	if _, err := multivector.Open(t.Context(), "http://192.0.2.1", o); err == nil || !strings.Contains(err.Error(), "without TLS") || strings.Contains(err.Error(), "secret") {
		t.Errorf("a key over http: %v", err)
	}
}

// Whatever a server answers, nothing wrong comes through, and the error says what it
// was.
func TestHostileAnswers(t *testing.T) {
	s := serve(t)
	e := s.open(quick)
	first := func(a map[string]any) map[string]any { return a["data"].([]any)[1].(map[string]any) } // of index 0
	b64 := func(values ...float32) string {
		var b []byte
		for _, v := range values {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		return base64.StdEncoding.EncodeToString(b)
	}
	sixteen := func(v float32) []float32 { return slices.Repeat([]float32{v}, dim) }
	for name, c := range map[string]struct {
		change func(a map[string]any)
		want   string
	}{
		"one short":        {func(a map[string]any) { a["data"] = a["data"].([]any)[:1] }, "2 texts were sent, it answers with 1"},
		"one more":         {func(a map[string]any) { a["data"] = append(a["data"].([]any), map[string]any{"index": 2}) }, "answers with 3"},
		"none":             {func(a map[string]any) { delete(a, "data") }, "answers with 0"},
		"index twice":      {func(a map[string]any) { first(a)["index"] = 1 }, "index 1, out of place"},
		"index beyond":     {func(a map[string]any) { first(a)["index"] = 9 }, "index 9, out of place"},
		"other dimension":  {func(a map[string]any) { first(a)["embeddings"] = [][]float32{{1, 2, 3, 4, 5, 6, 7, 8}} }, "dimension 8, not 16"},
		"dimensions mixed": {func(a map[string]any) { first(a)["embeddings"] = [][]float32{sixteen(1), {1}} }, "vector 1 has 1 numbers, the first 16"},
		"no vectors":       {func(a map[string]any) { first(a)["embeddings"] = [][]float32{} }, "no vectors"},
		"null":             {func(a map[string]any) { first(a)["embeddings"] = nil }, "no vectors"},
		"zero":             {func(a map[string]any) { first(a)["embeddings"] = [][]float32{sixteen(0)} }, "norm zero"},
		"NaN": {func(a map[string]any) {
			first(a)["embeddings"] = []string{b64(append(sixteen(1)[:15], float32(math.NaN()))...)}
		}, "NaN"},
		"infinite": {func(a map[string]any) {
			first(a)["embeddings"] = []string{b64(append(sixteen(1)[:15], float32(math.Inf(1)))...)}
		}, "Inf"},
		"beyond float32": {func(a map[string]any) {
			first(a)["embeddings"] = [][]float64{append(slices.Repeat([]float64{1}, 15), 1e300)}
		}, "not understood"},
		"not base64":          {func(a map[string]any) { first(a)["embeddings"] = []string{"%%%"} }, "base64"},
		"base64 of 3 bytes":   {func(a map[string]any) { first(a)["embeddings"] = []string{"AAAA"} }, "3 bytes"},
		"text for vectors":    {func(a map[string]any) { first(a)["embeddings"] = "vectors" }, "not understood"},
		"nested too deep":     {func(a map[string]any) { first(a)["embeddings"] = [][][]float32{{{1}}} }, "not understood"},
		"another model":       {func(a map[string]any) { a["model"] = "other" }, `the model "other"`},
		"negative truncation": {func(a map[string]any) { first(a)["truncated"] = -1 }, "-1 tokens"},
		"weights too few":     {func(a map[string]any) { first(a)["weights"] = []float32{1} }, "1 weights for 2 vectors"},
		"weight below 0":      {func(a map[string]any) { first(a)["weights"] = []float32{1, -1} }, "below 0"},
		"tokens too many":     {func(a map[string]any) { first(a)["tokens"] = []string{"a", "b", "c"} }, "3 tokens for 2 vectors"},
		"huge":                {func(a map[string]any) { a["padding"] = strings.Repeat("x", 1<<20) }, "more than the"},
	} {
		s.change, s.asked = c.change, atomic.Int64{}
		_, err := e.EncodeQueries(t.Context(), []string{"two words", "another"})
		if !errors.Is(err, multivector.ErrServer) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), s.URL) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if n := s.asked.Load(); n != 1 {
			t.Errorf("%s: asked %d times", name, n)
		}
	}
	s.change = nil
	if _, err := e.EncodeQueries(t.Context(), []string{"two words"}); err != nil {
		t.Error(err)
	}
}

// Errors that may pass are tried again, so often; others are not. What the server says
// comes through.
func TestRetries(t *testing.T) {
	s := serve(t)
	e := s.open(quick)
	for _, c := range []struct {
		status, fails int // so many times
		asked         int64
		want          string
		busy          bool
	}{
		{429, 3, 4, "", false}, {503, 1, 2, "", false}, {500, 2, 3, "", false}, {502, 3, 4, "", false}, {504, 1, 2, "", false}, {408, 1, 2, "", false},
		{429, 99, 4, "429 Too Many Requests: slow down (4 times)", true}, {503, 99, 4, "503", true}, {500, 99, 4, "500", false},
		{401, 99, 1, "is its key right?", false}, {403, 99, 1, "is its key right?", false}, {400, 99, 1, "slow down", false}, {422, 99, 1, "slow down", false}, {404, 99, 1, "404", false},
		{302, 99, 1, "302", false}, {204, 99, 1, "204", false},
	} {
		s.asked = atomic.Int64{}
		s.before = func(w http.ResponseWriter, r *http.Request, n int64) bool {
			if n > int64(c.fails) {
				return false
			}
			w.Header().Set("Retry-After", "0")
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, `{"detail":"slow down","code":1}`)
			return true
		}
		_, err := e.EncodeDocuments(t.Context(), []string{"two words"})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || errors.Is(err, encoder.ErrBusy) != c.busy {
			t.Errorf("%d: %v", c.status, err)
		}
		if n := s.asked.Load(); n != c.asked {
			t.Errorf("%d: asked %d times, want %d", c.status, n, c.asked)
		}
	}
	// A connection that breaks in the middle of an answer.
	s.asked = atomic.Int64{}
	s.before = func(w http.ResponseWriter, r *http.Request, n int64) bool {
		if n > 2 {
			return false
		}
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"data":`)
		return true
	}
	if _, err := e.EncodeDocuments(t.Context(), []string{"two words"}); err != nil || s.asked.Load() != 3 {
		t.Errorf("%v after %d", err, s.asked.Load())
	}
}

// transport answers without a network.
type transport func(r *http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Waits are those that the server asks for, within bounds; a slow server is given up
// after the time of a request, and a context ends everything.
func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		header, slow, fails := "", time.Duration(0), 1
		rt := transport(func(r *http.Request) (*http.Response, error) {
			answer := func(status int, body string) *http.Response {
				return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {header}}, Body: io.NopCloser(strings.NewReader(body))}
			}
			if r.Method == http.MethodGet {
				return answer(404, ""), nil
			}
			select {
			case <-time.After(slow):
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
			if fails > 0 {
				fails--
				return answer(429, ""), nil
			}
			return answer(200, `{"model":"m","data":[{"index":0,"embeddings":[[1,0,0,0,0,0,0,0]]}]}`), nil
		})
		o := multivector.Options{HTTP: &http.Client{Transport: rt}, Timeout: 10 * time.Second, Retries: 3, RetryWait: time.Second, MostWait: time.Minute}
		fails = 0
		e, err := multivector.Open(t.Context(), "https://x.example", o)
		if err != nil {
			t.Fatal(err)
		}
		encode := func(ctx context.Context) (time.Duration, error) {
			start := time.Now()
			_, err := e.EncodeQueries(ctx, []string{"a"})
			return time.Since(start), err
		}
		fails, header = 2, "20"
		if took, err := encode(t.Context()); err != nil || took != 40*time.Second {
			t.Errorf("twice 20 seconds asked for: %v, %v", took, err)
		}
		fails, header = 1, time.Now().Add(30*time.Second).UTC().Format(http.TimeFormat)
		if took, err := encode(t.Context()); err != nil || took < 29*time.Second || took > 30*time.Second {
			t.Errorf("a date: %v, %v", took, err)
		}
		fails, header = 3, ""
		if took, err := encode(t.Context()); err != nil || took < 3500*time.Millisecond || took > 7*time.Second {
			t.Errorf("waits of up to 1, 2 and 4 seconds: %v, %v", took, err)
		}
		fails, header = 1, "3600"
		if took, err := encode(t.Context()); took != 0 || err == nil || !strings.Contains(err.Error(), "1h0m0s") || !errors.Is(err, encoder.ErrBusy) {
			t.Errorf("an hour: %v, %v", took, err)
		}
		fails, header, slow = 0, "", time.Hour
		if took, err := encode(t.Context()); took < 40*time.Second || took > 47*time.Second || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, multivector.ErrServer) {
			t.Errorf("a server that does not answer: %v, %v", took, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if took, err := encode(ctx); took != 3*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with 3 seconds: %v, %v", took, err)
		}
		fails, slow, header = 9, 0, "30"
		ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if took, err := encode(ctx); took != 5*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("in a wait: %v, %v", took, err)
		}
	})
}

// One request that fails ends those beside it.
func TestFailureEndsTheCall(t *testing.T) {
	s := serve(t)
	o := quick
	o.Texts, o.Parallel = 1, 3
	e := s.open(o)
	s.before = func(w http.ResponseWriter, r *http.Request, n int64) bool {
		b, _ := io.ReadAll(r.Body)
		if strings.Contains(string(b), "bad") {
			w.WriteHeader(422)
			return true
		}
		<-r.Context().Done() // until the client gives up
		return true
	}
	_, err := e.EncodeDocuments(t.Context(), []string{"good", "fine", "bad", "good"})
	if !errors.Is(err, multivector.ErrServer) || !strings.Contains(err.Error(), "422") {
		t.Error(err)
	}
}

// Windows cover a text, overlap at words and are as long as they may be.
func TestWindows(t *testing.T) {
	s := serve(t)
	e, err := multivector.Open(t.Context(), s.URL+"?document_length=100", quick)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "design.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"prose": string(b), "one word": strings.Repeat("é", 5000), "ideographs": strings.Repeat("今天天气很好。", 300), "": "", "short": "a b c"} {
		for _, overlap := range []int{0, 10, 1000} {
			windows := e.Windows(text, overlap)
			covered := 0
			for i, w := range windows {
				if w.Start > covered || w.End <= covered && text != "" || w.End-w.Start > 300 || i > 0 && w.Start <= windows[i-1].Start {
					t.Fatalf("%s, overlap %d: window %d is %v after %d", name, overlap, i, w, covered)
				}
				if !strings.Contains(text, text[w.Start:w.End]) || strings.ToValidUTF8(text[w.Start:w.End], "") != text[w.Start:w.End] {
					t.Fatalf("%s: window %v cuts a character", name, w)
				}
				covered = w.End
			}
			if covered != len(text) || len(windows) == 0 {
				t.Errorf("%s: windows end at %d of %d", name, covered, len(text))
			}
			if name == "prose" && overlap == 10 {
				short := 0
				for _, w := range windows[:len(windows)-1] {
					if w.End-w.Start < 140 {
						short++
					}
				}
				if short > 0 {
					t.Errorf("%d of %d windows are short", short, len(windows))
				}
			}
		}
	}
	if diff := cmp.Diff([]encoder.Span{{Start: 0, End: 5}}, e.Windows("a b c", 3)); diff != "" {
		t.Error(diff)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}
