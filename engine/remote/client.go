package remote

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// Options say how a server is used. The zero value is ready to use.
type Options struct {
	// Key is sent with every request (colbertdb key). Default: none.
	Key string
	// HTTP sends the requests. Default: http.DefaultClient.
	HTTP *http.Client
	// Retries is how often a request is sent again that the server did not begin
	// because it was busy or shutting down, and one that only reads, or carries an
	// idempotency key, when the connection broke. Default: 4. Negative: never.
	Retries int
	// RetryWait is the time before the first repetition; it doubles each time.
	// Default: 100 ms, and what the server asks for.
	RetryWait time.Duration
}

// Client is a server.
type Client struct {
	base string
	o    Options
}

// Open returns a client of the server at an address such as http://127.0.0.1:8080. It
// asks the server whether it is ready.
func Open(ctx context.Context, address string, o *Options) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" {
		return nil, fmt.Errorf("%w: address %q: want one such as http://127.0.0.1:8080", engine.ErrInvalid, address)
	}
	c := &Client{base: strings.TrimSuffix(address, "/")}
	if o != nil {
		c.o = *o
	}
	if c.o.HTTP == nil {
		c.o.HTTP = http.DefaultClient
	}
	if c.o.Retries == 0 {
		c.o.Retries = 4
	}
	c.o.RetryWait = cmp.Or(c.o.RetryWait, 100*time.Millisecond)
	return c, c.do(ctx, call{method: "GET", path: "/readyz", reads: true}, nil)
}

// Close gives up idle connections.
func (c *Client) Close() error {
	c.o.HTTP.CloseIdleConnections()
	return nil
}

// Error is an answer of the server that is no success. errors.Is finds in it the
// engine's error that it stands for.
type Error struct {
	Status    int    // of HTTP
	Kind      string // stable: error_type in docs/api.md
	Message   string
	RequestID string        // names the request in the server's log
	After     time.Duration // when the server asks to try again; 0: it does not say
}

func (e *Error) Error() string {
	if strings.HasPrefix(e.Message, "colbertdb:") {
		return e.Message
	}
	return "colbertdb: " + e.Message
}

// Is makes errors.Is find the engine's error of the same meaning.
func (e *Error) Is(target error) bool {
	switch e.Kind {
	case "bad_request", "too_large":
		return target == engine.ErrInvalid
	case "overloaded":
		return target == engine.ErrBusy
	}
	return target == wire.Sentinel(e.Kind)
}

// begun reports that the server may have done something of the request.
func (e *Error) begun() bool {
	return e.Kind != "overloaded" && e.Kind != "busy" && e.Kind != "encoder_busy" && e.Kind != "shutting_down"
}

// call is one request.
type call struct {
	method, path string
	body         any // JSON; nil: none
	key          string
	reads        bool // changes nothing: may be sent twice
}

// do sends a request, again where that is safe, and reads the answer into out.
func (c *Client) do(ctx context.Context, k call, out any) error {
	var body []byte
	if k.body != nil {
		var err error
		if body, err = json.Marshal(k.body); err != nil {
			return fmt.Errorf("%w: %w", engine.ErrInvalid, err)
		}
	}
	wait := c.o.RetryWait
	for try := 0; ; try++ {
		err := c.send(ctx, &k, body, out)
		var answer *Error
		switch {
		case err == nil || try >= c.o.Retries || ctx.Err() != nil:
			return err
		case errors.As(err, &answer):
			if answer.begun() {
				return err
			}
			wait = max(wait, answer.After)
		case !k.reads && k.key == "":
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(wait):
		}
		wait *= 2
	}
}

func (c *Client) send(ctx context.Context, k *call, body []byte, out any) error {
	r, err := http.NewRequestWithContext(ctx, k.method, c.base+k.path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %w", engine.ErrInvalid, err)
	}
	if k.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.o.Key != "" {
		r.Header.Set("Authorization", "Bearer "+c.o.Key)
	}
	if k.key != "" {
		r.Header.Set("Idempotency-Key", k.key)
	}
	resp, err := c.o.HTTP.Do(r)
	if err != nil {
		return fmt.Errorf("colbertdb: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return errorOf(resp)
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("colbertdb: the server's answer cannot be read: %w", err)
	}
	return nil
}

// errorOf reads an answer that is no success.
func errorOf(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var e wire.Error
	out := &Error{Status: resp.StatusCode, RequestID: resp.Header.Get("X-Request-Id")}
	if err := json.Unmarshal(b, &e); err != nil || e.Message == "" {
		out.Message = fmt.Sprintf("%s: %.200q", resp.Status, b)
		return out
	}
	out.Kind, out.Message = e.Type, e.Message
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		out.After = time.Duration(s) * time.Second
	}
	return out
}

// escape makes one part of a path of any name.
func escape(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c) // also dots: two of them lead elsewhere
		}
	}
	return b.String()
}

// CreateCollection creates a collection, or opens the one of that name when its
// configuration is equal. The encoder counts by its name: the server must have a model
// of that name. Without encoder and dimension the server's default model is meant.
func (c *Client) CreateCollection(ctx context.Context, name string, cfg engine.CollectionConfig) (Collection, error) {
	body := wire.CollectionConfig{Dim: cfg.Dim, Profile: cfg.Profile.String(), RetainRaw: cfg.RetainRaw, RecallTarget: cfg.RecallTarget, TextIndex: string(cfg.TextIndex)}
	if cfg.Encoder != nil {
		body.Model = cfg.Encoder.Info().Name
	}
	var out wire.Collection
	if err := c.do(ctx, call{method: "PUT", path: "/v1/collections/" + escape(name), body: body, reads: true}, &out); err != nil {
		return nil, err
	}
	return &Handle{c: c, via: name, info: out}, nil
}

// Collection opens a collection by its name or an alias.
func (c *Client) Collection(ctx context.Context, name string) (Collection, error) {
	var out wire.Collection
	if err := c.do(ctx, call{method: "GET", path: "/v1/collections/" + escape(name), reads: true}, &out); err != nil {
		return nil, err
	}
	return &Handle{c: c, via: name, info: out}, nil
}

// DropCollection removes a collection and all its documents.
func (c *Client) DropCollection(ctx context.Context, name string) error {
	return c.do(ctx, call{method: "DELETE", path: "/v1/collections/" + escape(name)}, nil)
}

// Collections describes every collection, by name, as far as the server tells: tiers,
// columns and debts are in its metrics.
func (c *Client) Collections(ctx context.Context) ([]engine.CollectionInfo, error) {
	var list wire.Collections
	if err := c.do(ctx, call{method: "GET", path: "/v1/collections", reads: true}, &list); err != nil {
		return nil, err
	}
	var out []engine.CollectionInfo
	for i := range list.Collections {
		info, err := list.Collections[i].Info()
		if err != nil {
			return nil, err
		}
		out = append(out, info)
	}
	return out, nil
}

// Ranked is a document that the server has compared with a query.
type Ranked struct {
	Index int     `json:"index"`           // among those given
	Score float64 `json:"relevance_score"` // the mean similarity of the query's tokens, 0 to 1
}

// Rerank ranks documents that need not be stored, best first, by MaxSim of what the
// server's model makes of them (POST /v1/rerank).
func (c *Client) Rerank(ctx context.Context, query string, documents []string) ([]Ranked, error) {
	if len(documents) == 0 {
		return nil, nil
	}
	body := struct {
		Query     string   `json:"query"`
		Documents []string `json:"documents"`
	}{query, documents}
	var out struct{ Results []Ranked }
	if err := c.do(ctx, call{method: "POST", path: "/v1/rerank", body: body, reads: true}, &out); err != nil {
		return nil, err
	}
	return out.Results, nil
}

// SetAlias makes name lead to a collection.
func (c *Client) SetAlias(ctx context.Context, name, to string) error {
	return c.do(ctx, call{method: "PUT", path: "/v1/aliases/" + escape(name), body: wire.SetAlias{Collection: to}}, nil)
}

// DropAlias removes an alias; the collection stays.
func (c *Client) DropAlias(ctx context.Context, name string) error {
	return c.do(ctx, call{method: "DELETE", path: "/v1/aliases/" + escape(name)}, nil)
}
