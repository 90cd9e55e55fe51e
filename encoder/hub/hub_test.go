package hub

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const commit = "0123456789abcdef0123456789abcdef01234567"

// server speaks the hub's protocol for one model. Large files are answered by a
// redirection to another host, as the hub does.
type server struct {
	*httptest.Server
	cdn   *httptest.Server
	files map[string][]byte
	large map[string]bool
	token string

	mu       sync.Mutex
	asked    []string                                                            // path and range of every request for a file
	trouble  func(path string, w http.ResponseWriter, r *http.Request) (ok bool) // false: it has answered
	metadata func(m map[string]any)
}

func newServer(t *testing.T) *server {
	s := &server{large: map[string]bool{"onnx/model.onnx": true}, files: map[string][]byte{
		"onnx_config.json": []byte(`{"query_length":8}`), "tokenizer.json": []byte("tokens"), "README.md": []byte("# tiny"), "config.json": []byte("{}"),
		"onnx/model.onnx": bytes.Repeat([]byte("0123456789abcdef"), 1<<16), "pytorch_model.bin": []byte("not needed"), "1_Dense/config.json": []byte("{}"),
		"1_Dense/model.safetensors": []byte("dense"), "onnx/other.onnx": []byte("not needed"),
	}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	s.cdn = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token was sent to another host")
		}
		s.file(strings.TrimPrefix(r.URL.Path, "/cdn/"), w, r)
	}))
	t.Cleanup(func() { s.Close(); s.cdn.Close() })
	return s
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	if s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	if r.URL.Path == "/api/models/maker/tiny/revision/main" || r.URL.Path == "/api/models/maker/tiny/revision/refs/pr/1" {
		s.describe(w, r)
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/maker/tiny/resolve/"+commit+"/")
	switch {
	case !ok || s.files[name] == nil:
		http.NotFound(w, r)
	case s.large[name]:
		// Another host: 127.0.0.1 by its other name.
		http.Redirect(w, r, strings.Replace(s.cdn.URL, "127.0.0.1", "localhost", 1)+"/cdn/"+name, http.StatusFound)
	default:
		s.file(name, w, r)
	}
}

func (s *server) describe(w http.ResponseWriter, r *http.Request) {
	if s.trouble != nil && !s.trouble("", w, r) {
		return
	}
	var siblings []any
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		b := s.files[name]
		f := map[string]any{"rfilename": name, "size": len(b), "blobId": gitSHA1(b)}
		if s.large[name] {
			sum := sha256.Sum256(b)
			f["blobId"] = "of the pointer"
			f["lfs"] = map[string]any{"sha256": hex.EncodeToString(sum[:]), "size": len(b), "pointerSize": 130}
		}
		siblings = append(siblings, f)
	}
	m := map[string]any{"id": "maker/tiny", "sha": commit, "tags": []string{"en", "license:cc-by-nc-4.0"}, "siblings": siblings}
	if s.metadata != nil {
		s.metadata(m)
	}
	_ = json.NewEncoder(w).Encode(m)
}

func gitSHA1(b []byte) string {
	sum := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(b)), b...))
	return hex.EncodeToString(sum[:])
}

func (s *server) file(name string, w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, name+" "+r.Header.Get("Range"))
	s.mu.Unlock()
	if s.trouble != nil && !s.trouble(name, w, r) {
		return
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(s.files[name]))
}

func (s *server) client(t *testing.T) *Client {
	h := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(h.CloseIdleConnections)
	return &Client{Endpoint: s.URL, Token: s.token, Cache: t.TempDir(), HTTP: h, Pause: time.Millisecond}
}

var graphs = []string{"model.onnx", "onnx/model.onnx"}

// pull looks and pulls what the folder needs.
func pull(c *Client, ref string) (string, error) {
	return pullWith(context.Background(), c, ref, nil)
}

func pullWith(ctx context.Context, c *Client, ref string, progress func(done, total int64)) (string, error) {
	parsed, err := ParseRef(ref)
	if err != nil {
		return "", err
	}
	r, err := c.Look(ctx, parsed)
	if err != nil {
		return "", err
	}
	files, err := r.Folder(graphs)
	if err != nil {
		return "", err
	}
	return c.Pull(ctx, r, files, progress)
}

// same checks that a folder holds what the server has of it.
func (s *server) same(t *testing.T, dir string) {
	t.Helper()
	want := []string{"1_Dense/config.json", "1_Dense/model.safetensors", "README.md", "config.json", "onnx/model.onnx", "onnx_config.json", "tokenizer.json"}
	var have []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == manifestName {
			return err
		}
		have = append(have, path)
		b, err := os.ReadFile(filepath.Join(dir, path))
		if !bytes.Equal(b, s.files[path]) {
			t.Errorf("%s differs", path)
		}
		return err
	})
	slices.Sort(have)
	if err != nil || !slices.Equal(have, want) {
		t.Errorf("%v has %v: %v", dir, have, err)
	}
}

func TestPull(t *testing.T) {
	s := newServer(t)
	s.token = "secret"
	c := s.client(t)
	var last, whole int64
	dir, err := pullWith(context.Background(), c, "maker/tiny", func(done, total int64) {
		if done < last || done > total {
			t.Errorf("%d of %d after %d", done, total, last)
		}
		last, whole = done, total
	})
	if err != nil {
		t.Fatal(err)
	}
	s.same(t, dir)
	if last != whole || whole < 1<<20 {
		t.Errorf("progress ended at %d of %d", last, whole)
	}
	// Again: nothing is fetched. Another revision of the same commit neither.
	n := len(s.asked)
	if again, err := pull(c, "maker/tiny"); err != nil || again != dir || len(s.asked) != n {
		t.Errorf("%s, %v, asked %v", again, err, s.asked[n:])
	}
	if again, err := pull(c, "maker/tiny@refs/pr/1"); err != nil || again != dir || len(s.asked) != n {
		t.Errorf("%s, %v", again, err)
	}
	// The cache knows it.
	list, err := List(c.Cache)
	if err != nil || len(list) != 1 || list[0].Name != "maker/tiny" || list[0].License != "cc-by-nc-4.0" || list[0].Dir != dir || list[0].Bytes < 1<<20 || list[0].Size() != whole {
		t.Errorf("%+v, %v", list, err)
	}
	for _, ref := range []string{"maker/tiny", "maker/tiny@" + commit[:9]} {
		parsed, _ := ParseRef(ref)
		if e, err := Find(c.Cache, parsed); err != nil || e.Dir != dir {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if _, err := Find(c.Cache, Ref{"maker/tiny", "v2"}); !errors.Is(err, ErrHub) || !strings.Contains(err.Error(), "model pull") {
		t.Errorf("%v", err)
	}
	// A further file joins the folder.
	r, err := c.Look(context.Background(), Ref{"maker/tiny", "main"})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(r.Files, func(f File) bool { return f.Path == "onnx/other.onnx" })
	if _, err := c.Pull(context.Background(), r, r.Files[i:i+1], nil); err != nil {
		t.Fatal(err)
	}
	if m, err := readManifest(dir); err != nil || len(m.Files) != 8 {
		t.Errorf("%+v, %v", m, err)
	}
	if gone, err := Remove(c.Cache, "maker/tiny", "v9"); err == nil || len(gone) != 0 {
		t.Errorf("%v, %v", gone, err)
	}
	if gone, err := Remove(c.Cache, "maker/tiny", "main"); err != nil || len(gone) != 1 {
		t.Errorf("%v, %v", gone, err)
	}
	if left, err := os.ReadDir(c.Cache); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// A pull that is cut off goes on where it was, within a call and in the next one.
func TestPullGoesOn(t *testing.T) {
	s := newServer(t)
	c := s.client(t)
	const graph, half = "onnx/model.onnx", 1 << 19
	cuts := 2
	s.trouble = func(name string, w http.ResponseWriter, r *http.Request) bool {
		if name != graph || cuts == 0 {
			return true
		}
		cuts--
		rest := s.files[graph]
		if r.Header.Get("Range") != "" {
			var from int
			if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(rest)-1, len(rest)))
			rest = rest[from:]
			w.Header().Set("Content-Length", fmt.Sprint(len(rest)))
			w.WriteHeader(http.StatusPartialContent)
		} else {
			w.Header().Set("Content-Length", fmt.Sprint(len(rest)))
		}
		_, _ = w.Write(rest[:len(rest)/2])
		panic(http.ErrAbortHandler)
	}
	dir, err := pull(c, "maker/tiny")
	if err != nil {
		t.Fatal(err)
	}
	s.same(t, dir)
	ranges := slices.DeleteFunc(slices.Clone(s.asked), func(a string) bool { return !strings.HasPrefix(a, graph) })
	if len(ranges) != 3 || ranges[0] != graph+" " || !strings.HasPrefix(ranges[1], graph+" bytes=") || ranges[1] == ranges[2] {
		t.Errorf("asked %q", ranges)
	}

	// The hub goes down for good: what there is stays, and the next call takes it.
	if _, err := Remove(c.Cache, "maker/tiny", ""); err != nil {
		t.Fatal(err)
	}
	s.trouble = func(name string, w http.ResponseWriter, r *http.Request) bool {
		if name == graph && r.Header.Get("Range") == "" {
			w.Header().Set("Content-Length", fmt.Sprint(len(s.files[graph])))
			_, _ = w.Write(s.files[graph][:half])
			panic(http.ErrAbortHandler)
		}
		if name == graph {
			http.Error(w, "down", http.StatusBadGateway)
			return false
		}
		return true
	}
	if _, err := pull(c, "maker/tiny"); !errors.Is(err, ErrHub) || !strings.Contains(err.Error(), "502") {
		t.Fatalf("error %v", err)
	}
	if list, err := List(c.Cache); err != nil || len(list) != 1 || !list[0].Partial {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := Find(c.Cache, Ref{"maker/tiny", "main"}); err == nil {
		t.Error("half a model was found")
	}
	s.trouble, s.asked = nil, nil
	if dir, err = pull(c, "maker/tiny"); err != nil {
		t.Fatal(err)
	}
	s.same(t, dir)
	for _, a := range s.asked {
		if a == graph+" " || strings.HasPrefix(a, "README.md") {
			t.Errorf("asked again for %q", a)
		}
	}
}

// What a hub answers wrongly is an error, nothing of it is taken for a model, and
// the next pull mends it.
func TestTrouble(t *testing.T) {
	const graph = "onnx/model.onnx"
	other := bytes.Repeat([]byte("x"), 1<<20)
	for name, c := range map[string]struct {
		trouble func(s *server) func(string, http.ResponseWriter, *http.Request) bool
		says    string // "": it is overcome
	}{
		"other bytes": {func(s *server) func(string, http.ResponseWriter, *http.Request) bool {
			return func(name string, w http.ResponseWriter, _ *http.Request) bool {
				if name == graph {
					_, _ = w.Write(other)
				}
				return name != graph
			}
		}, "checksum"},
		"other bytes of a small file": {func(s *server) func(string, http.ResponseWriter, *http.Request) bool {
			return func(name string, w http.ResponseWriter, _ *http.Request) bool {
				if name == "tokenizer.json" {
					_, _ = w.Write([]byte("TOKENS"))
				}
				return name != "tokenizer.json"
			}
		}, "checksum"},
		"more bytes": {func(s *server) func(string, http.ResponseWriter, *http.Request) bool {
			return func(name string, w http.ResponseWriter, _ *http.Request) bool {
				if name == "tokenizer.json" {
					_, _ = w.Write([]byte("tokens and more"))
				}
				return name != "tokenizer.json"
			}
		}, "bytes"},
		"too many requests": {func(s *server) func(string, http.ResponseWriter, *http.Request) bool {
			n := 0
			return func(_ string, w http.ResponseWriter, _ *http.Request) bool {
				if n++; n%2 == 1 {
					http.Error(w, "wait", http.StatusTooManyRequests)
				}
				return n%2 == 0
			}
		}, ""},
		"silence": {func(s *server) func(string, http.ResponseWriter, *http.Request) bool {
			var once sync.Once
			return func(name string, w http.ResponseWriter, r *http.Request) bool {
				silent := false
				if name == graph {
					once.Do(func() { silent = true })
				}
				if silent {
					w.Header().Set("Content-Length", fmt.Sprint(len(s.files[graph])))
					_, _ = w.Write(s.files[graph][:10])
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				}
				return !silent
			}
		}, ""},
		"a hub that knows no ranges": {func(s *server) func(string, http.ResponseWriter, *http.Request) bool {
			var once sync.Once
			return func(name string, w http.ResponseWriter, r *http.Request) bool {
				r.Header.Del("Range")
				cut := false
				if name == graph {
					once.Do(func() { cut = true })
				}
				if cut {
					w.Header().Set("Content-Length", fmt.Sprint(len(other)))
					_, _ = w.Write(other[:1000])
					panic(http.ErrAbortHandler)
				}
				return true
			}
		}, ""},
		"not found": {func(s *server) func(string, http.ResponseWriter, *http.Request) bool {
			return func(name string, w http.ResponseWriter, r *http.Request) bool {
				if name == graph {
					http.NotFound(w, r)
				}
				return name != graph
			}
		}, "no such"},
		"forbidden": {func(s *server) func(string, http.ResponseWriter, *http.Request) bool {
			return func(_ string, w http.ResponseWriter, _ *http.Request) bool {
				http.Error(w, "no", http.StatusForbidden)
				return false
			}
		}, "HF_TOKEN"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			client := s.client(t)
			if name == "silence" {
				client.Stall = 500 * time.Millisecond
			}
			s.trouble = c.trouble(s)
			dir, err := pull(client, "maker/tiny")
			if c.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				s.same(t, dir)
				return
			}
			if !errors.Is(err, ErrHub) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "maker/tiny") {
				t.Errorf("error %v", err)
			}
			if _, err := Find(client.Cache, Ref{"maker/tiny", "main"}); err == nil {
				t.Error("it was taken for a model")
			}
			s.trouble, client.Stall = nil, 0
			if dir, err = pull(client, "maker/tiny"); err != nil {
				t.Fatal(err)
			}
			s.same(t, dir)
		})
	}
}

// A hub's names lead nowhere else, and its checksums must be there.
func TestMetadata(t *testing.T) {
	sibling := func(m map[string]any, f map[string]any) { m["siblings"] = append(m["siblings"].([]any), f) }
	for name, c := range map[string]struct {
		edit func(m map[string]any)
		says string
	}{
		"up": {func(m map[string]any) {
			sibling(m, map[string]any{"rfilename": "../x.json", "size": 1, "blobId": "ab"})
		}, "../x.json"},
		"root": {func(m map[string]any) {
			sibling(m, map[string]any{"rfilename": "/etc/x.json", "size": 1, "blobId": "ab"})
		}, "/etc/x.json"},
		"backslash": {func(m map[string]any) {
			sibling(m, map[string]any{"rfilename": `..\x.json`, "size": 1, "blobId": "ab"})
		}, `x.json`},
		"no checksum": {func(m map[string]any) { sibling(m, map[string]any{"rfilename": "x.json", "size": 1}) }, "x.json"},
		"commit":      {func(m map[string]any) { m["sha"] = "../../x" }, "../../x"},
		"no graph": {func(m map[string]any) {
			m["siblings"] = slices.DeleteFunc(m["siblings"].([]any), func(f any) bool { return f.(map[string]any)["rfilename"] == "onnx/model.onnx" })
		}, "onnx/model.onnx"},
	} {
		s := newServer(t)
		s.metadata = c.edit
		client := s.client(t)
		if _, err := pull(client, "maker/tiny"); !errors.Is(err, ErrHub) || !strings.Contains(err.Error(), c.says) || len(s.asked) > 0 {
			t.Errorf("%s: error %v", name, err)
		}
	}
	for _, ref := range []string{"", "tiny", "a/b/c", "../x", "a/..", "a/b@../c", "a/b@", "a b/c", "a/b@x y", ".a/b"} {
		if r, err := ParseRef(ref); !errors.Is(err, ErrHub) {
			t.Errorf("%q is %v", ref, r)
		}
	}
	if _, err := pull(newServer(t).client(t), "maker/other"); !errors.Is(err, ErrHub) || !strings.Contains(err.Error(), "maker/other") {
		t.Errorf("error %v", err)
	}
}

// A pull heeds its context.
func TestCancel(t *testing.T) {
	s := newServer(t)
	c := s.client(t)
	ctx, cancel := context.WithCancel(context.Background())
	s.trouble = func(name string, w http.ResponseWriter, r *http.Request) bool {
		if name != "onnx/model.onnx" {
			return true
		}
		_, _ = w.Write(s.files[name][:100])
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
		return false
	}
	if _, err := pullWith(ctx, c, "maker/tiny", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
