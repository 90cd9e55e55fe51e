package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// request is one request on its way through the server.
type request struct {
	s          *Server
	w          *answer
	r          *http.Request
	id         string
	route      string // the pattern that it met
	collection string // of the path
	key        string // name of the key
	allowed    []string
	memory     int64 // of its body
	err        error // that it was answered with
	detail     []any // for the logs: pairs
	stages     []any // of a search, for the slow-query log
	changed    int   // documents written or deleted, for the audit log
	isWrite    bool
	gated      bool // inside a gate: answers wait in pending
	abort      bool // the connection is of no more use
	pending    []byte

	pendingStatus int
	span          trace.Span
}

// answer remembers what was sent.
type answer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// handler does a request's work. What it returns is answered, unless it has
// answered.
type handler func(q *request) error

var goodRequestID = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,64}$`)

// requestID is the client's, where that can go into a log as it is.
func requestID(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); goodRequestID.MatchString(id) {
		return id
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// handle makes a handler of package http of a route's.
func (s *Server) handle(pattern string, want scope, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := &request{s: s, w: &answer{ResponseWriter: w}, r: r, id: requestID(r), route: pattern, collection: r.PathValue("c"), isWrite: want == scopeWrite}
		start := time.Now()
		q.begin()
		q.w.Header().Set("X-Request-Id", q.id)
		q.w.Header().Set("X-Content-Type-Options", "nosniff")
		s.active.Add(1)
		defer func() {
			if p := recover(); p != nil {
				s.log.Error("a handler panicked", "request", q.id, "route", pattern, "panic", p, "stack", string(debug.Stack()))
				s.panics.Add(1)
				q.fail(errInternal)
			}
			q.giveMemory(q.memory)
			s.active.Add(-1)
			q.finish(time.Since(start))
			if q.abort {
				panic(http.ErrAbortHandler)
			}
		}()
		if err := q.run(want, h); err != nil {
			q.fail(err)
		}
	})
}

// run checks the request and lets the handler work.
func (q *request) run(want scope, h handler) error {
	if q.s.draining.Load() && want != scopeNone {
		q.w.Header().Set("Connection", "close")
		return errDraining
	}
	if err := q.local(); err != nil {
		return err
	}
	if err := q.authorize(want); err != nil {
		return err
	}
	return h(q)
}

// finish writes the logs of a request that was answered.
func (q *request) finish(took time.Duration) {
	s := q.s
	status := q.w.status
	if status == 0 {
		status = http.StatusOK
	}
	q.end(status)
	s.metrics.request(q.route, status, took, q.w.bytes)
	level := slog.LevelDebug
	if status >= 500 && !errors.Is(q.err, context.Canceled) && q.err != errDraining {
		level = slog.LevelError
	}
	logged := s.log.Enabled(context.Background(), level)
	slow := q.stages != nil && s.slow > 0 && took >= s.slow
	audited := s.audit != nil && (q.isWrite || status == http.StatusUnauthorized || status == http.StatusForbidden)
	if !logged && !slow && !audited {
		return
	}
	attrs := []any{"request", q.id, "method", q.r.Method, "route", q.route, "status", status, "took", took, "bytes", q.w.bytes, "from", q.r.RemoteAddr}
	if q.collection != "" {
		attrs = append(attrs, "collection", q.collection)
	}
	if q.key != "" {
		attrs = append(attrs, "key", q.key)
	}
	attrs = append(attrs, q.detail...)
	if q.err != nil {
		attrs = append(attrs, "error", q.err.Error())
	}
	if logged {
		s.log.Log(context.Background(), level, "request", attrs...)
	}
	if slow {
		s.log.Warn("slow query", append(attrs, q.stages...)...)
	}
	if audited {
		s.audit.Info("audit", append(attrs, "documents", q.changed)...)
	}
}

// admitted runs f when the gate lets it, within a time. The answer is sent after f
// has left the gate: a client that reads slowly holds up nobody.
func (q *request) admitted(g *gate, timeout time.Duration, f func(ctx context.Context) error) error {
	err := q.inside(g, timeout, f)
	if err == nil && q.pending != nil {
		q.send(q.pendingStatus, q.pending)
	}
	return err
}

func (q *request) inside(g *gate, timeout time.Duration, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(q.r.Context(), timeout)
	defer cancel()
	if err := spanning(ctx, "admission", g.enter); err != nil {
		return err
	}
	q.gated = true
	defer func() {
		q.gated = false
		g.leave()
	}()
	return f(ctx)
}

// parameters returns the query parameters, which must be among those known.
func (q *request) parameters(known ...string) (url.Values, error) {
	v, err := url.ParseQuery(q.r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("the query string cannot be read: %v", err)
	}
	for name := range v {
		if !slices.Contains(known, name) {
			return nil, badRequest("unknown parameter %.40q: this route has %v", name, known)
		}
	}
	return v, nil
}

// number reads a parameter that is a number, def where it is not given.
func number(v url.Values, name string, def int) (int, error) {
	text := v.Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, badRequest("%s=%.40q is no number", name, text)
	}
	return n, nil
}

func boolean(v url.Values, name string) (bool, error) {
	switch text := v.Get(name); text {
	case "", "false", "0":
		return false, nil
	case "true", "1":
		return true, nil
	default:
		return false, badRequest("%s=%.40q: use true or false", name, text)
	}
}
