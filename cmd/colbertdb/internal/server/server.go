package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/net/netutil"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
)

// Options configure a server. The zero value is ready to use on loopback.
type Options struct {
	Limits Limits
	// Model encodes text of new collections that name no model, and for the routes of
	// other servers. The caller closes it after the server. Default: none; then all
	// text needs a collection with a model.
	Model encoder.Encoder
	// Models are further models that collections may name. They are loaded when they
	// are used, as those of LoadModel are.
	Models []Model
	// ModelIdle is the time without use after which such a model is closed; the next
	// use loads it again. Default: 15 minutes.
	ModelIdle time.Duration
	// LoadModel loads the model of a collection's record, by its location. The server
	// closes what it loads. Default: only Model and Models are used.
	LoadModel func(location string) (encoder.Encoder, error)
	// Keys is the path of the key file (auth.go). Default: none; then Serve listens
	// on loopback only.
	Keys string
	// Certificate and PrivateKey are PEM files for TLS, read anew when they change.
	// Default: none.
	Certificate, PrivateKey string
	// Snapshots is the folder for checkpoints. Default: none; then there are no
	// snapshots.
	Snapshots string
	// RecallSample is the share of searches, 0 to 1, that are made again exactly in
	// the background to measure their recall (recall.go). Default: none.
	RecallSample float64
	// SlowQuery is the time from which on a search is logged with its stages.
	// Default: 1 s. Negative: never.
	SlowQuery time.Duration
	// Version is told by /info. Default: "".
	Version string
	// Log gets what happens, Audit one line for each write and for each request that
	// was refused for its key. Default: none.
	Log, Audit *slog.Logger
	// Tracing gets the spans of requests and of the stages of searches. Default: none.
	Tracing trace.TracerProvider
	// AnyHost lets a server without keys answer to any Host header, for tests.
	AnyHost bool
}

// Server answers requests for one store.
type Server struct {
	db       *engine.Engine
	limits   Limits
	models   *models
	keys     keyring
	tls      *certificate // nil: none
	memory   budget
	searches *gate
	writes   *gate
	slow     time.Duration
	version  string
	log      *slog.Logger
	audit    *slog.Logger // nil: none
	anyHost  bool
	metrics  *metrics
	snaps    *snapshots
	recall   *recallSampler
	tracer   trace.Tracer

	crossOrigin *http.CrossOriginProtection
	mux         *http.ServeMux
	patterns    []string // of its routes
	draining    atomic.Bool
	active      atomic.Int64 // requests
	panics      atomic.Int64
}

// New returns a server of a store, which the caller closes after the server.
func New(db *engine.Engine, o Options) (*Server, error) {
	if err := o.Limits.validate(); err != nil {
		return nil, err
	}
	l := o.Limits.WithDefaults()
	s := &Server{
		db: db, limits: l, models: newModels(&o), keys: keyring{path: o.Keys}, memory: budget{most: int64(l.Memory)},
		searches: newGate(l.Running, l.Queued), writes: newGate(l.Writing, l.WritesQueued), slow: o.SlowQuery,
		version: o.Version, log: o.Log, audit: o.Audit, anyHost: o.AnyHost, snaps: &snapshots{dir: o.Snapshots},
		tracer: tracerOf(o.Tracing), crossOrigin: http.NewCrossOriginProtection(), mux: http.NewServeMux(),
	}
	if s.slow == 0 {
		s.slow = time.Second
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.keys.load(); err != nil {
		return nil, err
	}
	if o.Certificate != "" || o.PrivateKey != "" {
		var err error
		if s.tls, err = loadCertificate(o.Certificate, o.PrivateKey); err != nil {
			return nil, err
		}
	}
	if !(o.RecallSample >= 0 && o.RecallSample <= 1) {
		return nil, fmt.Errorf("colbertdb: the share of searches to measure is %v, it must be 0 to 1", o.RecallSample)
	}
	s.recall = newRecallSampler(s, o.RecallSample)
	s.metrics = newMetrics(s)
	s.routes()
	return s, nil
}

// Close closes the models that the server has loaded. No request may be running.
func (s *Server) Close() error { return s.models.close() }

// Reload reads the key file and the certificate anew. After an error what was in
// force stays so.
func (s *Server) Reload() error {
	err := s.keys.load()
	if s.tls != nil {
		err = errors.Join(err, s.tls.load())
	}
	return err
}

// Handler answers requests; Serve is what listens.
func (s *Server) Handler() http.Handler { return s.mux }

// routes has every route, with what a key must be allowed.
func (s *Server) routes() {
	methods := map[string][]string{}
	add := func(want scope, pattern string, h handler) {
		method, path, _ := strings.Cut(pattern, " ")
		methods[path] = append(methods[path], method)
		s.patterns = append(s.patterns, pattern)
		s.mux.Handle(pattern, s.handle(pattern, want, h))
	}
	add(scopeRead, "GET /v1/collections", listCollections)
	add(scopeWrite, "PUT /v1/collections/{c}", createCollection)
	add(scopeRead, "GET /v1/collections/{c}", getCollection)
	add(scopeWrite, "DELETE /v1/collections/{c}", dropCollection)
	add(scopeRead, "GET /v1/collections/{c}/stats", collectionStats)
	add(scopeWrite, "POST /v1/collections/{c}/compact", compactCollection)
	add(scopeWrite, "POST /v1/collections/{c}/calibrate", calibrateCollection)
	add(scopeRead, "GET /v1/collections/{c}/indexes", listIndexes)
	add(scopeWrite, "POST /v1/collections/{c}/indexes", makeIndexes)
	add(scopeWrite, "DELETE /v1/collections/{c}/indexes", dropIndexes)

	add(scopeWrite, "POST /v1/collections/{c}/documents", upsertDocuments)
	add(scopeRead, "GET /v1/collections/{c}/documents", listDocuments)
	add(scopeRead, "GET /v1/collections/{c}/documents/{id}", getDocument)
	add(scopeWrite, "PUT /v1/collections/{c}/documents/{id}", putDocument)
	add(scopeWrite, "DELETE /v1/collections/{c}/documents/{id}", deleteDocument)
	add(scopeWrite, "POST /v1/collections/{c}/documents:delete", deleteDocuments)
	add(scopeWrite, "POST /v1/collections/{c}/documents:purge", purgeDocuments)

	add(scopeRead, "POST /v1/collections/{c}/search", ifRoom(search))
	add(scopeRead, "POST /v1/collections/{c}/search:batch", ifRoom(searchBatch))

	add(scopeRead, "GET /v1/aliases", listAliases)
	add(scopeWrite, "PUT /v1/aliases/{a}", setAlias)
	add(scopeWrite, "DELETE /v1/aliases/{a}", dropAlias)

	add(scopeWrite, "GET /v1/snapshots", listSnapshots)
	add(scopeWrite, "POST /v1/snapshots", makeSnapshot)
	add(scopeWrite, "DELETE /v1/snapshots/{s}", dropSnapshot)

	add(scopeRead, "POST /v1/multi-vector", ifRoom(multiVector))
	add(scopeRead, "POST /v1/embeddings", ifRoom(embeddings))
	add(scopeRead, "POST /v1/rerank", ifRoom(rerankV1))
	add(scopeRead, "POST /v2/rerank", ifRoom(rerankV2))
	add(scopeRead, "POST /rerank", ifRoom(rerankByBody))
	add(scopeRead, "GET /v1/models", listModels)
	add(scopeRead, "GET /v1/models/{m}", getModel)
	add(scopeRead, "GET /info", info)
	add(scopeNone, "GET /health", ready)

	add(scopeNone, "GET /livez", alive)
	add(scopeNone, "GET /readyz", ready)
	add(scopeNone, "GET /healthz", ready)
	add(scopeMetrics, "GET /metrics", serveMetrics)
	add(scopeNone, "GET /openapi.json", openapi)
	add(scopeNone, "GET /ui", console)
	add(scopeNone, "GET /ui/{file}", consoleFile)

	for path, m := range methods {
		allow := strings.Join(m, ", ")
		s.mux.Handle(path, s.handle(path, scopeRead, func(q *request) error {
			q.w.Header().Set("Allow", allow)
			return failf(http.StatusMethodNotAllowed, "method", "%.20q is not for this path: use %s", q.r.Method, allow)
		}))
	}
	s.mux.Handle("/", s.handle("/", scopeNone, func(q *request) error {
		return failf(http.StatusNotFound, "no_route", "there is no %.200q here: /openapi.json has the routes, /ui is the console", q.r.URL.Path)
	}))
}

// ifRoom is for the routes of searches and encodings.
func ifRoom(h handler) handler {
	return func(q *request) error {
		if err := q.s.searches.room(); err != nil {
			return err
		}
		return h(q)
	}
}

// Listen opens an address as Serve wants it: without keys on loopback only.
func (s *Server) Listen(ctx context.Context, address string) (net.Listener, error) {
	if s.keys.open() && !IsLoopback(address) {
		return nil, fmt.Errorf("colbertdb: %s can be reached from other machines and there are no keys: give a key file, or listen on 127.0.0.1", address)
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", address)
}

// Serve answers requests until ctx ends, then lets those that run end, for
// Limits.Drain at most, and returns nil. It closes the listener.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	l := &s.limits
	requests, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	hs := &http.Server{
		Handler: s.mux, ReadHeaderTimeout: l.HeaderTimeout, ReadTimeout: l.ReadTimeout, IdleTimeout: l.IdleTimeout,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return requests },
	}
	listener = netutil.LimitListener(listener, l.Connections)
	if s.tls != nil {
		hs.TLSConfig = s.tls.config()
	}
	served := make(chan error, 1)
	go func() {
		if s.tls != nil {
			served <- hs.ServeTLS(listener, "", "")
		} else {
			served <- hs.Serve(listener)
		}
	}()
	var background sync.WaitGroup
	background.Go(func() { s.watchFiles(requests) })
	background.Go(func() { s.watchModels(requests) })
	background.Go(func() { s.recall.run(requests) })
	defer func() { stop(); background.Wait() }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	s.draining.Store(true)
	s.log.Info("draining", "requests", s.active.Load())
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.Drain)
	defer cancel()
	err := hs.Shutdown(limit)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("requests were cut off", "requests", s.active.Load())
		stop() // the contexts of what still runs
		err = hs.Close()
		for range 100 { // what was cancelled ends by itself; the store waits for reads
			if s.active.Load() == 0 {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	if serr := <-served; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}

// watchModels closes models that are idle.
func (s *Server) watchModels(ctx context.Context) {
	tick := time.NewTicker(max(s.models.idle/8, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.models.evict(s.log, now.Add(-s.models.idle))
		}
	}
}

// filesEvery is how often key file and certificate are looked at.
const filesEvery = 2 * time.Second

// watchFiles reloads keys and certificate when their files change.
func (s *Server) watchFiles(ctx context.Context) {
	paths := []string{s.keys.path}
	if s.tls != nil {
		paths = append(paths, s.tls.cert, s.tls.key)
	}
	last := stamps(paths)
	tick := time.NewTicker(filesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := stamps(paths)
		if now == last {
			continue
		}
		last = now
		if err := s.Reload(); err != nil {
			s.log.Error("keys or certificate were not reloaded; the ones from before stay in force", "error", err)
		} else {
			s.log.Info("keys and certificate reloaded")
		}
	}
}
