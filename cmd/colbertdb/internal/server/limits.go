package server

import (
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Limits bound what requests may ask for. Zero values are defaults. The tags make
// them flags of colbertdb serve.
type Limits struct {
	// Body is the size of a request's body as sent, Decompressed what may come of a
	// compressed one. Default: 32 MiB and 64 MiB.
	Body         Bytes `env:"BODY" placeholder:"SIZE" help:"Size of a request's body as sent. Default: 32MiB."`
	Decompressed Bytes `env:"DECOMPRESSED" placeholder:"SIZE" help:"Size of a body when decompressed. Default: 64MiB."`
	// Memory bounds the bodies of all requests that are being worked on, together;
	// more get 429. Default: 512 MiB.
	Memory Bytes `env:"MEMORY" placeholder:"SIZE" help:"Bodies of all requests at work, together. Default: 512MiB."`
	// Answer is the size of an answer; one that would be larger is refused. Default:
	// 64 MiB.
	Answer Bytes `env:"ANSWER" placeholder:"SIZE" help:"Size of an answer. Default: 64MiB."`
	// Line is the length of a line of a bulk load, whose body has no limit of its
	// own. Default: 8 MiB.
	Line Bytes `env:"LINE" placeholder:"SIZE" help:"A line of a bulk load. Default: 8MiB."`
	// Documents is the number of documents of an upsert, a delete or a rerank.
	// Default: 1,000.
	Documents int `env:"DOCUMENTS" placeholder:"N" help:"Documents of an upsert, a delete or a rerank. Default: 1,000."`
	// DocumentTokens and QueryTokens are the numbers of token vectors of a document
	// and of a query that come as vectors. Default: 8,192 and 512.
	DocumentTokens int `env:"DOCUMENT_TOKENS" placeholder:"N" help:"Token vectors of a document that comes as vectors. Default: 8,192."`
	QueryTokens    int `env:"QUERY_TOKENS" placeholder:"N" help:"Token vectors of a query that comes as vectors. Default: 512."`
	// QueryText is the length of a query's text in bytes. Default: 64 KiB.
	QueryText Bytes `env:"QUERY_TEXT" placeholder:"SIZE" help:"Text of a query. Default: 64KiB."`
	// K is the greatest k of a search, Window of offset + k. Default: 1,000 and
	// 10,000.
	K      int `name:"k" env:"K" placeholder:"N" help:"Hits of a search. Default: 1,000."`
	Window int `env:"WINDOW" placeholder:"N" help:"offset + k of a search. Default: 10,000."`
	// NProbe is the greatest n_probe. Default: 256.
	NProbe int `env:"N_PROBE" placeholder:"N" help:"n_probe of a search. Default: 256."`
	// Scored is the greatest n_candidates and n_full_scores. Default: 100,000.
	Scored int `env:"SCORED" placeholder:"N" help:"n_candidates and n_full_scores of a search. Default: 100,000."`
	// Searches is the number of searches of a batch. Default: 256.
	Searches int `env:"SEARCHES" placeholder:"N" help:"Searches of a batch. Default: 256."`
	// Running is the number of searches and encodings at work at once, Queued of
	// those that wait for their turn; more get 429. They compute all the time: with more
	// of them than processors, every other request waits for those. Default: as many
	// as there are processors, and as many more, at least 2.
	Running int `env:"RUNNING" placeholder:"N" help:"Searches and encodings at work at once. Default: the processors."`
	Queued  int `env:"QUEUED" placeholder:"N" help:"Searches and encodings that wait; more get 429. Default: as many as run, at least 2."`
	// Writing and WritesQueued are the same of writes. Default: 2 × the processors,
	// and 16 × as many.
	Writing      int `env:"WRITING" placeholder:"N" help:"Writes at work at once. Default: 2 × the processors."`
	WritesQueued int `env:"WRITES_QUEUED" placeholder:"N" help:"Writes that wait; more get 429. Default: 16 × those that run."`
	// QueryTimeout is the time that a search has without a timeout_ms of its own,
	// MaxTimeout the greatest of these and the time of a rerank or an encoding.
	// Default: 10 s and 60 s.
	QueryTimeout time.Duration `env:"QUERY_TIMEOUT" placeholder:"TIME" help:"Time of a search that names none. Default: 10s."`
	MaxTimeout   time.Duration `env:"MAX_TIMEOUT" placeholder:"TIME" help:"Time that a search may name, and of a rerank. Default: 1m."`
	// WriteTimeout is the time that a write has, its encoding included. Default: 5
	// minutes.
	WriteTimeout time.Duration `env:"WRITE_TIMEOUT" placeholder:"TIME" help:"Time of a write, its encoding included. Default: 5m."`
	// HeaderTimeout, ReadTimeout and IdleTimeout bound the time in which a request's
	// header and its body must come (a body that is streamed: its next part), and how
	// long a connection without requests stays. Default: 5 s, 30 s, 60 s.
	HeaderTimeout time.Duration `env:"HEADER_TIMEOUT" placeholder:"TIME" help:"Time in which a request's header must come. Default: 5s."`
	ReadTimeout   time.Duration `env:"READ_TIMEOUT" placeholder:"TIME" help:"Time in which its body must come. Default: 30s."`
	IdleTimeout   time.Duration `env:"IDLE_TIMEOUT" placeholder:"TIME" help:"Time that a connection stays without requests. Default: 1m."`
	// Connections is the number of connections at once; more wait to be accepted.
	// Default: 4,096.
	Connections int `env:"CONNECTIONS" placeholder:"N" help:"Connections at once. Default: 4,096."`
	// Drain is the time that running requests have when the server stops. Default:
	// 10 s.
	Drain time.Duration `env:"DRAIN" placeholder:"TIME" help:"Time that running requests have when the server stops. Default: 10s."`
}

// Bytes is a size. As text it may end in KiB, MiB or GiB.
type Bytes int64

// UnmarshalText reads a number of bytes, such as 1048576 or 1MiB.
func (b *Bytes) UnmarshalText(text []byte) error {
	s, unit := string(text), int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB"} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = strings.TrimSpace(rest), 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return fmt.Errorf("%.40q is no size such as 32MiB", text)
	}
	*b = Bytes(n * unit)
	return nil
}

// MarshalText writes it as UnmarshalText reads it.
func (b Bytes) MarshalText() ([]byte, error) {
	for i, suffix := range []string{"GiB", "MiB", "KiB"} {
		if unit := Bytes(1) << (10 * (3 - i)); b > 0 && b%unit == 0 {
			return fmt.Appendf(nil, "%d%s", b/unit, suffix), nil
		}
	}
	return fmt.Appendf(nil, "%d", int64(b)), nil
}

// WithDefaults fills in what is zero.
func (l Limits) WithDefaults() Limits {
	cores := runtime.GOMAXPROCS(0)
	def(&l.Body, 32<<20)
	def(&l.Decompressed, 64<<20)
	def(&l.Memory, 512<<20)
	def(&l.Answer, 64<<20)
	def(&l.Line, 8<<20)
	def(&l.Documents, 1000)
	def(&l.DocumentTokens, 8192)
	def(&l.QueryTokens, 512)
	def(&l.QueryText, 64<<10)
	def(&l.K, 1000)
	def(&l.Window, 10_000)
	def(&l.NProbe, 256)
	def(&l.Scored, 100_000)
	def(&l.Searches, 256)
	def(&l.Running, cores)
	def(&l.Queued, max(2, l.Running))
	def(&l.Writing, 2*cores)
	def(&l.WritesQueued, 16*l.Writing)
	def(&l.QueryTimeout, 10*time.Second)
	def(&l.MaxTimeout, time.Minute)
	def(&l.WriteTimeout, 5*time.Minute)
	def(&l.HeaderTimeout, 5*time.Second)
	def(&l.ReadTimeout, 30*time.Second)
	def(&l.IdleTimeout, time.Minute)
	def(&l.Connections, 4096)
	def(&l.Drain, 10*time.Second)
	return l
}

func def[T int | Bytes | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// validate names the first limit that makes no sense.
func (l *Limits) validate() error {
	for name, v := range map[string]int64{
		"body": int64(l.Body), "decompressed": int64(l.Decompressed), "memory": int64(l.Memory), "answer": int64(l.Answer), "line": int64(l.Line), "documents": int64(l.Documents),
		"document tokens": int64(l.DocumentTokens), "query tokens": int64(l.QueryTokens), "query text": int64(l.QueryText),
		"k": int64(l.K), "window": int64(l.Window), "n_probe": int64(l.NProbe), "scored": int64(l.Scored),
		"searches": int64(l.Searches), "running": int64(l.Running), "queued": int64(l.Queued), "writing": int64(l.Writing),
		"writes queued": int64(l.WritesQueued), "query timeout": int64(l.QueryTimeout), "timeout": int64(l.MaxTimeout),
		"write timeout": int64(l.WriteTimeout), "header timeout": int64(l.HeaderTimeout), "read timeout": int64(l.ReadTimeout),
		"idle timeout": int64(l.IdleTimeout), "connections": int64(l.Connections), "drain": int64(l.Drain),
	} {
		if v < 0 {
			return fmt.Errorf("colbertdb: the limit of %s is negative", name)
		}
	}
	return nil
}
