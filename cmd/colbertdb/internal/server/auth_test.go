package server_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// keyFile writes a key file and returns its path and the keys by name.
func keyFile(t testing.TB, path string, keys ...[3]string) map[string]string {
	t.Helper()
	out := map[string]string{}
	text := "# keys of a test\n"
	for _, k := range keys {
		var collections []string
		if k[2] != "" {
			collections = strings.Split(k[2], ",")
		}
		secret, line, err := server.NewKey(k[0], k[1], collections)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, secret) {
			t.Fatal("the key file has the key itself")
		}
		out[k[0]] = secret
		text += line + "\n"
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}

// Each key may do what its scope says, on its collections.
func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	keys := keyFile(t, path, [3]string{"root", "rw", ""}, [3]string{"reader", "ro", ""}, [3]string{"scraper", "metrics", ""}, [3]string{"tenant", "rw", "a,b"})
	i := start(t, server.Options{Keys: path})
	i.key = keys["root"]
	for _, c := range []string{"a", "b", "c"} {
		i.do(201, "PUT", "/v1/collections/"+c, nil, nil)
		i.fill(c, 3)
	}
	const search = `{"text":"a"}`
	for _, c := range []struct {
		key, method, path, body string
		status                  int
	}{
		{"", "GET", "/livez", "", 200}, {"", "GET", "/readyz", "", 200}, {"", "GET", "/v1/collections", "", 401}, {"", "GET", "/metrics", "", 401},
		{"", "POST", "/v1/collections/a/search", search, 401}, {"", "POST", "/v1/collections/zzz/search", search, 401}, {"", "PATCH", "/v1/collections/a", "", 401},
		{"cdb_wrong", "GET", "/v1/collections", "", 401},
		{keys["reader"], "GET", "/v1/collections/c", "", 200}, {keys["reader"], "POST", "/v1/collections/c/search", search, 200},
		{keys["reader"], "DELETE", "/v1/collections/c", "", 403}, {keys["reader"], "POST", "/v1/collections/c/documents", "{}", 403},
		{keys["reader"], "POST", "/v1/snapshots", "", 403}, {keys["reader"], "GET", "/metrics", "", 403}, {keys["reader"], "PUT", "/v1/aliases/x", "{}", 403},
		{keys["scraper"], "GET", "/metrics", "", 200}, {keys["scraper"], "GET", "/v1/collections", "", 403}, {keys["scraper"], "POST", "/v1/collections/a/search", search, 403},
		{keys["tenant"], "POST", "/v1/collections/a/search", search, 200}, {keys["tenant"], "POST", "/v1/collections/c/search", search, 403},
		{keys["tenant"], "DELETE", "/v1/collections/c", "", 403}, {keys["tenant"], "PUT", "/v1/collections/d", "", 403}, {keys["tenant"], "DELETE", "/v1/collections/b", "", 204},
		{keys["tenant"], "GET", "/v1/collections/b", "", 404}, {keys["tenant"], "POST", "/v1/collections/b/search", search, 404}, {keys["tenant"], "DELETE", "/v1/collections/b", "", 404},
		{keys["tenant"], "POST", "/v1/snapshots", "", 403}, {keys["tenant"], "PUT", "/v1/aliases/x", `{"collection":"c"}`, 403}, {keys["root"], "GET", "/metrics", "", 200},
	} {
		i.key = c.key
		contentType := ""
		if c.body != "" {
			contentType = "application/json"
		}
		resp, b := i.send(c.method, c.path, contentType, []byte(c.body))
		if resp.StatusCode != c.status {
			t.Errorf("%.12s: %s %s: %d, want %d: %s", c.key, c.method, c.path, resp.StatusCode, c.status, b)
		}
		if resp.StatusCode == 401 && resp.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s %s: no WWW-Authenticate", c.method, c.path)
		}
		if c.key == keys["tenant"] && c.status == 404 && strings.Contains(string(b), "the store has") {
			t.Errorf("a tenant is told of another's collection: %s", b)
		}
	}
	i.key = keys["tenant"]
	var list wire.Collections
	i.do(200, "GET", "/v1/collections", nil, &list)
	if len(list.Collections) != 1 || list.Collections[0].Name != "a" {
		t.Errorf("a tenant sees %+v", list)
	}
	// The secret of a body is not read before the key is checked.
	i.key = ""
	i.wantError(401, "unauthorized", "POST", "/v1/collections/a/search", strings.Repeat("x", 40<<20))
	// New keys count, old ones do not; a broken file changes nothing.
	if err := os.WriteFile(path, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := i.s.Reload(); err == nil {
		t.Error("a broken key file was taken")
	}
	i.key = keys["root"]
	i.do(200, "GET", "/v1/collections", nil, nil)
	renewed := keyFile(t, path, [3]string{"root", "rw", ""})
	if err := i.s.Reload(); err != nil {
		t.Fatal(err)
	}
	i.wantError(401, "unauthorized", "GET", "/v1/collections", nil)
	i.key = renewed["root"]
	i.do(200, "GET", "/v1/collections", nil, nil)
}

// Without keys the server listens on loopback only, and pages of other sites that a
// browser on this machine shows get nothing from it.
func TestWithoutKeys(t *testing.T) {
	i := start(t, server.Options{})
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "example.com:80", "192.0.2.1:0"} {
		if l, err := i.s.Listen(ctx, address); err == nil {
			t.Errorf("it listens on %s", address)
			_ = l.Close()
		} else if !strings.Contains(err.Error(), "key") {
			t.Errorf("%s: %v", address, err)
		}
	}
	request := func(host string, headers ...string) int {
		r, err := http.NewRequest("PUT", i.url+"/v1/collections/notes", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		for n := 0; n+1 < len(headers); n += 2 {
			r.Header.Set(headers[n], headers[n+1])
		}
		resp, err := i.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for host, want := range map[string]int{"evil.example": 403, "evil.example:8080": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example:80": 403, "169.254.169.254": 403} {
		if got := request(host); got != want {
			t.Errorf("Host %s: %d", host, got)
		}
	}
	if got := request("localhost", "Sec-Fetch-Site", "cross-site"); got != 403 {
		t.Errorf("from another site: %d", got)
	}
	if got := request("localhost", "Origin", "https://evil.example"); got != 403 {
		t.Errorf("with another origin: %d", got)
	}
	if n := len(i.db.Collections()); n != 0 {
		t.Fatalf("%d collections were made", n)
	}
	for _, host := range []string{"localhost:8080", "127.0.0.1", "[::1]:8080"} {
		if got := request(host); got != 201 && got != 200 {
			t.Errorf("Host %s: %d", host, got)
		}
	}
}

// When it is told to stop, the server lets running requests end, takes no new ones,
// and ends those that take too long.
func TestDrain(t *testing.T) {
	for _, patient := range []bool{true, false} {
		m := newSlow()
		db, err := engine.OpenMem(nil)
		if err != nil {
			t.Fatal(err)
		}
		limits := server.Limits{Drain: time.Minute}
		if !patient {
			limits.Drain = 50 * time.Millisecond
		}
		s, err := server.New(db, server.Options{Model: m, Limits: limits})
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
		client := &http.Client{Transport: &http.Transport{}}
		i := &instance{t: t, db: db, s: s, url: "http://" + l.Addr().String(), http: client}
		i.do(201, "PUT", "/v1/collections/notes", nil, nil)
		i.fill("notes", 3)
		status := make(chan int, 1)
		go func() {
			resp, err := client.Post(i.url+"/v1/collections/notes/search", "application/json", strings.NewReader(`{"text":"a"}`))
			if err != nil {
				status <- 0
				return
			}
			resp.Body.Close()
			status <- resp.StatusCode
		}()
		<-m.waiting
		stop()
		if patient {
			for { // it answers nobody new
				resp, err := client.Get(i.url + "/readyz")
				if err != nil {
					break
				}
				resp.Body.Close()
				if resp.StatusCode == 503 {
					break
				}
			}
			close(m.wait)
		}
		got := <-status
		if patient && got != 200 {
			t.Errorf("a request that ran was answered %d", got)
		}
		if !patient && got == 200 {
			t.Error("a request that could not end was answered 200")
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		client.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}
