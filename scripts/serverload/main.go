// Command serverload puts more load on colbertdb serve than it can carry, on loopback
// with the bundled model, and says what becomes of it: the latency of the searches that
// are admitted at 4 times the capacity against that at capacity, how many are
// turned away, whether one is lost or answered otherwise than on an idle server, and
// whether every write that was acknowledged is there.
//
//	go run ./scripts/serverload
//
// Further arguments are flags of colbertdb serve, such as --limit-running 4. Server and clients share the machine. The status is 1 where anything but times is
// wrong.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
)

func main() {
	phase := flag.Duration("phase", 15*time.Second, "time of each measurement")
	documents := flag.Int("documents", 2000, "passages stored")
	times := flag.Float64("times", 4, "load, in multiples of the capacity")
	flag.Parse()
	if err := run(*phase, *documents, *times, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "serverload:", err)
		os.Exit(1)
	}
}

// load is what is sent to one server.
type load struct {
	url     string
	http    *http.Client
	queries []string
	want    []string // hits of each query on the idle server
	wrong   atomic.Int64
	lost    atomic.Int64
	busy    atomic.Int64
	mu      sync.Mutex
	latency []time.Duration // of the admitted
}

func run(phase time.Duration, documents int, times float64, flags []string) error {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "colbertdb-serverload-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	url, stop, err := serve(dir, flags)
	if err != nil {
		return err
	}
	defer stop()
	l := &load{url: url, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}}
	db, err := remote.Open(ctx, url, &remote.Options{HTTP: l.http, Retries: 50, RetryWait: 20 * time.Millisecond})
	if err != nil {
		return err
	}
	col, err := db.CreateCollection(ctx, "passages", engine.CollectionConfig{})
	if err != nil {
		return err
	}
	texts, err := passages(".", documents)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(texts, 100) {
		docs := make([]engine.Document, len(part))
		for i, text := range part {
			docs[i] = engine.Document{ID: fmt.Sprintf("%08x", hash(text)), Text: text}
		}
		if _, err := col.Upsert(ctx, docs...); err != nil {
			return err
		}
	}
	if err := col.Compact(ctx); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 64 {
		w := strings.Fields(texts[r.IntN(len(texts))])
		from := r.IntN(max(1, len(w)-8))
		l.queries = append(l.queries, strings.Join(w[from:min(from+8, len(w))], " "))
	}
	for i := range l.queries {
		hits, status, err := l.search(i)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("on the idle server: %d, %w", status, err)
		}
		l.want = append(l.want, hits)
	}
	fmt.Printf("%d passages, %d processors, server and clients on this machine, %s each\n\n", len(texts), runtime.NumCPU(), phase)
	fmt.Println("| load | answered a second | p50 | p95 | p99 | turned away (429) |")
	fmt.Println("|---|---|---|---|---|---|")
	one := l.closed(1, phase)
	one.print("1 client")
	running := 2 * runtime.NumCPU()
	capacity := l.closed(running, phase)
	capacity.print(fmt.Sprintf("capacity: %d clients, one request each", running))
	// A writer beside the overload: what is acknowledged must be there.
	other, err := db.CreateCollection(ctx, "written", engine.CollectionConfig{})
	if err != nil {
		return err
	}
	writing, stopWriting := context.WithCancel(ctx)
	written := make(chan []string)
	go func() {
		var ids []string
		for n := 0; writing.Err() == nil; n++ {
			id := fmt.Sprint(n)
			if _, err := other.Upsert(writing, engine.Document{ID: id, Text: "written under load"}); err == nil {
				ids = append(ids, id)
			}
			time.Sleep(50 * time.Millisecond)
		}
		written <- ids
	}()
	over := l.open(times*capacity.rate, phase)
	stopWriting()
	ids := <-written
	over.print(fmt.Sprintf("%g × capacity, %.0f requests a second", times, times*capacity.rate))
	fmt.Printf("\nadmitted at %g × capacity against at capacity: p50 × %.2f, p95 × %.2f, p99 × %.2f\n", times,
		ratio(over.at(.5), capacity.at(.5)), ratio(over.at(.95), capacity.at(.95)), ratio(over.at(.99), capacity.at(.99)))
	missing := 0
	for _, id := range ids {
		if _, err := other.Get(ctx, id); err != nil {
			missing++
		}
	}
	fmt.Printf("lost: %d, answered wrongly: %d; %d writes acknowledged meanwhile, %d of them missing\n", l.lost.Load(), l.wrong.Load(), len(ids), missing)
	if l.lost.Load()+l.wrong.Load()+int64(missing) > 0 || len(ids) == 0 {
		return errors.New("requests were lost or answered wrongly")
	}
	return nil
}

// serve builds and starts a server.
func serve(dir string, flags []string) (url string, stop func(), err error) {
	command := filepath.Join(dir, "colbertdb")
	build := exec.Command("go", "build", "-o", command, "./cmd/colbertdb")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return "", nil, err
	}
	args := []string{"serve", "--quiet", "--db", filepath.Join(dir, "db"), "--listen", "127.0.0.1:0", "--slow-query", "1h"}
	c := exec.Command(command, append(args, flags...)...)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := c.Start(); err != nil {
		return "", nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", nil, errors.Join(err, c.Wait())
	}
	return strings.TrimSpace(line[strings.Index(line, "http"):]), func() {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
	}, nil
}

// passages are paragraphs of the texts and comments under a folder.
func passages(root string, most int) (out []string, err error) {
	seen := map[string]bool{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || len(out) == most {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if ext := filepath.Ext(path); d.IsDir() || ext != ".md" && ext != ".go" {
			return nil
		}
		b, err := os.ReadFile(path)
		for text := range strings.SplitSeq(string(b), "\n\n") {
			if text = strings.TrimSpace(text); len(text) > 100 && len(text) < 1500 && !seen[text] && len(out) < most {
				seen[text] = true
				out = append(out, text)
			}
		}
		return err
	})
	return out, err
}

func hash(s string) (h uint32) {
	for _, c := range []byte(s) {
		h = h*16777619 ^ uint32(c)
	}
	return h
}

// search sends a query and returns its hits as text.
func (l *load) search(n int) (hits string, status int, err error) {
	body, err := json.Marshal(map[string]any{"text": l.queries[n], "include": []string{}})
	if err != nil {
		return "", 0, err
	}
	resp, err := l.http.Post(l.url+"/v1/collections/passages/search", "application/json", bytes.NewReader(body))
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return "", resp.StatusCode, err
	}
	var answer struct{ Hits json.RawMessage }
	err = json.Unmarshal(b, &answer)
	return string(answer.Hits), resp.StatusCode, err
}

// one sends one search and notes what became of it.
func (l *load) one(n int) {
	start := time.Now()
	hits, status, err := l.search(n)
	switch {
	case err == nil && status == http.StatusOK:
		l.mu.Lock()
		l.latency = append(l.latency, time.Since(start))
		l.mu.Unlock()
		if hits != l.want[n] {
			l.wrong.Add(1)
		}
	case err == nil && status == http.StatusTooManyRequests:
		l.busy.Add(1)
	default:
		fmt.Fprintln(os.Stderr, "serverload:", status, err)
		l.lost.Add(1)
	}
}

// measured is what a phase has shown.
type measured struct {
	latency []time.Duration
	rate    float64
	busy    int64
}

func (l *load) measured(took time.Duration) *measured {
	slices.Sort(l.latency)
	m := &measured{latency: l.latency, rate: float64(len(l.latency)) / took.Seconds(), busy: l.busy.Swap(0)}
	l.latency = nil
	return m
}

func (m *measured) at(q float64) time.Duration {
	if len(m.latency) == 0 {
		return 0
	}
	return m.latency[min(int(q*float64(len(m.latency))), len(m.latency)-1)]
}

func (m *measured) print(name string) {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	fmt.Printf("| %s | %.0f | %.1f ms | %.1f ms | %.1f ms | %d |\n", name, m.rate, ms(m.at(.5)), ms(m.at(.95)), ms(m.at(.99)), m.busy)
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(max(b, 1)) }

// closed lets so many clients search, each when its last search was answered.
func (l *load) closed(clients int, phase time.Duration) *measured {
	var wg sync.WaitGroup
	start := time.Now()
	for c := range clients {
		wg.Go(func() {
			for n := c; time.Since(start) < phase; n += clients {
				l.one(n % len(l.queries))
			}
		})
	}
	wg.Wait()
	return l.measured(time.Since(start))
}

// open sends searches at a rate, whether the last were answered or not.
func (l *load) open(rate float64, phase time.Duration) *measured {
	var wg sync.WaitGroup
	r := rand.New(rand.NewPCG(2, 2))
	start := time.Now()
	next := start
	for n := 0; time.Since(start) < phase; n++ {
		next = next.Add(time.Duration(r.ExpFloat64() / rate * float64(time.Second)))
		time.Sleep(time.Until(next))
		wg.Go(func() { l.one(n % len(l.queries)) })
	}
	wg.Wait()
	return l.measured(time.Since(start))
}
