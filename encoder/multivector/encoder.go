package multivector

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/colbertdb-go/colbertdb/encoder"
)

// Options configure an encoder. The zero value is ready to use.
type Options struct {
	// Key is sent as a bearer token. Over http it goes to loopback addresses only.
	// Default: none.
	Key string
	// Texts and TextBytes bound a request. Default: 32 and 256 KiB.
	Texts, TextBytes int
	// Parallel is the number of requests at once. Default: 4.
	Parallel int
	// Timeout is the time of one request. Default: 1 minute.
	Timeout time.Duration
	// Retries is how often a request is sent again after an error of the network, 408,
	// 425, 429, 500, 502, 503 or 504. Default: 4; negative: never.
	Retries int
	// RetryWait is the wait before the first of them, twice as long before each further
	// one; Retry-After goes before it. Default: 250 ms.
	RetryWait time.Duration
	// MostWait bounds one wait; a server that asks for a longer one has failed.
	// Default: 30 s.
	MostWait time.Duration
	// HTTP sends requests. Default: a client of its own. Redirects are never followed.
	HTTP *http.Client
}

func (o *Options) defaults() {
	o.Texts, o.TextBytes = cmp.Or(o.Texts, 32), cmp.Or(o.TextBytes, 256<<10)
	o.Parallel, o.Timeout = cmp.Or(o.Parallel, 4), cmp.Or(o.Timeout, time.Minute)
	o.Retries, o.RetryWait, o.MostWait = cmp.Or(o.Retries, 4), cmp.Or(o.RetryWait, 250*time.Millisecond), cmp.Or(o.MostWait, 30*time.Second)
}

const route = "/v1/multi-vector"

// Lengths of texts in tokens where neither the server nor the address tells them.
const (
	usualDocument = 8192
	usualQuery    = 512
)

// Encoder is an encoder.Encoder that asks a server.
type Encoder struct {
	o          Options
	http       *http.Client
	own        bool   // http is to be closed
	where      string // for errors: the address without its settings
	models     string // the address of the list of models; "": none
	model      string // that requests name
	dimensions int    // that they ask for; 0: the model's
	packed     bool   // they ask for base64
	knows      bool   // the server tells its model's fingerprint
	info       encoder.Info
}

var _ encoder.Encoder = (*Encoder)(nil)

// Open returns the encoder of a server's model. The address is the server's, or that of
// its route where it has another path than /v1/multi-vector; its parameters are model
// (default: the server's), dimensions (of models that can give fewer), document_length
// and query_length (tokens at most, where the server does not tell).
//
//	https://api.example.com?model=jina-colbert-v2&dimensions=64
//
// Open asks the server for its models, and where it has no such list (colbertdb serve
// has), for the vectors of a word, to learn the model's name and dimension. A model
// whose fingerprint the server does not tell gets one of its name and dimension.
func Open(ctx context.Context, address string, o Options) (_ *Encoder, err error) {
	o.defaults()
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: %q is no address such as https://api.example.com?model=NAME", ErrServer, address)
	}
	if u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("%w: %s: an address has neither user nor fragment", ErrServer, u.Redacted())
	}
	if o.Key != "" && u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("%w: %s: a key is not sent without TLS; use https", ErrServer, address)
	}
	e := &Encoder{o: o, http: o.HTTP, info: encoder.Info{Location: address}}
	if err := e.settings(u.Query()); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrServer, address, err)
	}
	u.RawQuery = ""
	base := strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), route)
	if u.Path == "" || u.Path == "/" || strings.HasSuffix(u.Path, route) {
		e.models = u.Scheme + "://" + u.Host + base + "/v1/models"
		u.Path = base + route
	}
	e.where = u.String()
	if e.http == nil {
		e.own = true
		e.http = &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: o.Parallel, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 30 * time.Second, ForceAttemptHTTP2: true}}
	}
	client := *e.http
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	e.http = &client
	defer func() {
		if err != nil {
			_ = e.Close()
		}
	}()
	if err := e.learn(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// settings reads the parameters of an address.
func (e *Encoder) settings(values url.Values) error {
	for key, list := range values {
		value := list[0]
		number := func(into *int) error {
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 || n > 1<<20 {
				return fmt.Errorf("%s is %q, it must be a number from 1 on", key, value)
			}
			*into = n
			return nil
		}
		var err error
		switch key {
		case "model":
			e.model = value
		case "dimensions":
			err = number(&e.dimensions)
		case "document_length":
			err = number(&e.info.DocMaxLen)
		case "query_length":
			err = number(&e.info.QueryMaxLen)
		default:
			err = fmt.Errorf("unknown parameter %q; known are model, dimensions, document_length, query_length", key)
		}
		if err != nil {
			return err
		}
		if len(list) > 1 {
			return fmt.Errorf("%s comes more than once", key)
		}
	}
	return nil
}

// listed is a model of colbertdb's list.
type listed struct {
	ID          string `json:"id"`
	OwnedBy     string `json:"owned_by"`
	Dim         int    `json:"dim"`
	Fingerprint string `json:"fingerprint"`
	Query       int    `json:"max_query_tokens"`
	Document    int    `json:"max_document_tokens"`
	Standard    bool   `json:"default"`
}

// learn fills in what the model is.
func (e *Encoder) learn(ctx context.Context) error {
	if e.models != "" {
		var list struct {
			Data []listed `json:"data"`
		}
		err := e.do(ctx, http.MethodGet, e.models, nil, 1<<20, &list)
		var status *statusError
		var bad badAnswer
		switch {
		case errors.As(err, &bad), errors.As(err, &status) && status.status >= 400 && status.status < 500 && !again(err):
			// No list there; the model's route will tell what is wrong, if anything.
		case err != nil:
			return err
		default:
			if found, err := e.choose(list.Data); found || err != nil {
				return err
			}
		}
	}
	given := e.info
	e.info.DocMaxLen, e.info.QueryMaxLen = cmp.Or(given.DocMaxLen, usualDocument), cmp.Or(given.QueryMaxLen, usualQuery)
	e.info.Name = e.model
	a, err := e.ask(ctx, false, []string{"colbertdb"})
	if err != nil {
		return err
	}
	e.info.Dim = a.Data[0].Embeddings.Dim
	if e.dimensions != 0 && e.info.Dim != e.dimensions {
		return fmt.Errorf("%w: %s: %d dimensions were asked for, it gives %d", ErrServer, e.where, e.dimensions, e.info.Dim)
	}
	e.info.Name = cmp.Or(a.Model, e.model)
	if e.info.Name == "" {
		return fmt.Errorf("%w: %s: it does not say which model it has; name one: %s?model=NAME", ErrServer, e.where, e.where)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "multi-vector\x00%s\x00%d", e.info.Name, e.info.Dim))
	e.info.Fingerprint = hex.EncodeToString(sum[:])
	return nil
}

// choose finds the model in a list, if that is one of colbertdb's.
func (e *Encoder) choose(list []listed) (found bool, err error) {
	list = slices.DeleteFunc(list, func(m listed) bool { return m.OwnedBy != "colbertdb" || m.Fingerprint == "" || m.Dim < 1 })
	if len(list) == 0 {
		return false, nil
	}
	i := slices.IndexFunc(list, func(m listed) bool { return m.ID == e.model || e.model == "" && m.Standard })
	if i < 0 {
		var names []string
		for _, m := range list {
			names = append(names, m.ID)
		}
		return false, fmt.Errorf("%w: %s: it has no model %q; it has %s", ErrServer, e.where, e.model, strings.Join(names, ", "))
	}
	m := list[i]
	if e.dimensions != 0 && e.dimensions != m.Dim {
		return false, fmt.Errorf("%w: %s: %d dimensions were asked for, %s has %d", ErrServer, e.where, e.dimensions, m.ID, m.Dim)
	}
	e.model, e.packed, e.knows = m.ID, true, true
	e.info.Name, e.info.Dim, e.info.Fingerprint = m.ID, m.Dim, m.Fingerprint
	e.info.DocMaxLen, e.info.QueryMaxLen = cmp.Or(m.Document, usualDocument), cmp.Or(m.Query, usualQuery)
	return true, nil
}

// Info names the model.
func (e *Encoder) Info() encoder.Info { return e.info }

// Runtime says where the model runs.
func (e *Encoder) Runtime() string { return e.where }

// question is the body of a request.
type question struct {
	Model      string   `json:"model,omitempty"`
	Type       string   `json:"input_type"`
	Embedding  string   `json:"embedding_type"`
	Dimensions int      `json:"dimensions,omitempty"`
	Input      []string `json:"input"`
}

// ask sends one request and checks its answer.
func (e *Encoder) ask(ctx context.Context, query bool, texts []string) (*answer, error) {
	q := question{Model: e.model, Type: "document", Embedding: "float", Dimensions: e.dimensions, Input: texts}
	if query {
		q.Type = "query"
	}
	if e.packed {
		q.Embedding = "base64"
	}
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	a := &answer{}
	if err := e.do(ctx, http.MethodPost, e.where, body, e.limit(query, texts), a); err != nil {
		return nil, err
	}
	if err := e.check(a, query, texts); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrServer, e.where, err)
	}
	return a, nil
}

// limit is how long an answer can be: a token of a text is a byte at least, and a number
// of a vector takes 26 bytes at most.
func (e *Encoder) limit(query bool, texts []string) int64 {
	const around = 16 // special tokens, and vectors of the whole text
	dim := int64(cmp.Or(e.info.Dim, e.dimensions, 4096))
	n := int64(64 << 10)
	for _, t := range texts {
		tokens := min(e.info.DocMaxLen, len(t)) + around
		if query {
			tokens = e.info.QueryMaxLen + around // filled up with masks
		}
		n += int64(tokens) * (26*dim + 64)
	}
	return n
}

// EncodeQueries encodes texts on the query side.
func (e *Encoder) EncodeQueries(ctx context.Context, texts []string) ([]encoder.Query, error) {
	out := make([]encoder.Query, len(texts))
	err := e.each(ctx, true, texts, func(i int, d item) {
		out[i] = encoder.Query{Vectors: d.Embeddings.Matrix, Weights: d.Weights, Tokens: d.Tokens, Truncated: d.Truncated}
		if out[i].Tokens == nil {
			out[i].Tokens = make([]string, d.Embeddings.Len()) // not known
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// EncodeDocuments encodes texts on the document side. There are no spans.
func (e *Encoder) EncodeDocuments(ctx context.Context, texts []string) ([]encoder.Document, error) {
	out := make([]encoder.Document, len(texts))
	err := e.each(ctx, false, texts, func(i int, d item) {
		out[i] = encoder.Document{Vectors: d.Embeddings.Matrix, Truncated: d.Truncated}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// each encodes texts, some a request, and hands over what each got.
func (e *Encoder) each(ctx context.Context, query bool, texts []string, f func(i int, d item)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(e.o.Parallel)
	for from := 0; from < len(texts); {
		to, bytes := from, 0
		for to < len(texts) && to-from < e.o.Texts && (to == from || bytes+len(texts[to]) <= e.o.TextBytes) {
			bytes += len(texts[to])
			to++
		}
		first, part := from, texts[from:to]
		g.Go(func() error {
			a, err := e.ask(ctx, query, part)
			if err != nil {
				return err
			}
			for i, d := range a.Data {
				f(first+i, d)
			}
			return nil
		})
		from = to
	}
	return g.Wait()
}

// DocumentSpans returns nothing: the server's tokens are not known.
func (e *Encoder) DocumentSpans(string) []encoder.Span { return nil }

// Close closes idle connections.
func (e *Encoder) Close() error {
	if e.own {
		e.http.CloseIdleConnections()
	}
	return nil
}
