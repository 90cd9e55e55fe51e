package reliability

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/colbertdb-go/colbertdb/engine"
)

// OpKind says what an Op does.
type OpKind int

// The kinds of operations.
const (
	Upsert OpKind = iota
	Delete
	Create
	Drop
	Flush
	Compact
	FlushAll
	CompactAll
)

var opNames = [...]string{"upsert", "delete", "create", "drop", "flush", "compact", "flush all", "compact all"}

// String returns the kind's name.
func (k OpKind) String() string { return opNames[k] }

// Op is one call of a workload. An upsert or delete is one batch.
type Op struct {
	Kind       OpKind
	Collection string
	Config     engine.CollectionConfig // of Create
	Docs       []engine.Document       // of Upsert
	IDs        []string                // of Delete
	Key        string                  // of an idempotent Upsert or Delete
}

func (op Op) String() string {
	s := fmt.Sprintf("%s %s", op.Kind, op.Collection)
	for _, d := range op.Docs {
		s += fmt.Sprintf(" %s(%d)", d.ID, d.Vectors.Len())
	}
	if len(op.IDs) > 0 {
		s += " " + strings.Join(op.IDs, " ")
	}
	return s
}

// Run runs an op on a store and returns its sequence number, 0 for those that
// have none.
func (op Op) Run(ctx context.Context, db *engine.Engine) (seq uint64, err error) {
	switch op.Kind {
	case Create:
		_, err = db.CreateCollection(ctx, op.Collection, op.Config)
		return 0, err
	case Drop:
		return 0, db.DropCollection(ctx, op.Collection)
	case FlushAll:
		return 0, db.Flush(ctx)
	case CompactAll:
		return 0, db.Compact(ctx)
	}
	col, err := db.Collection(op.Collection)
	if err != nil {
		return 0, err
	}
	if op.Key != "" {
		col = col.Idempotent(op.Key)
	}
	switch op.Kind {
	case Upsert:
		return col.Upsert(ctx, op.Docs...)
	case Delete:
		r, err := col.Delete(ctx, op.IDs...)
		return r.Seq, err
	case Flush:
		return 0, col.Flush(ctx)
	default:
		return 0, col.Compact(ctx)
	}
}

// Generator draws workloads.
type Generator struct {
	R *rand.Rand
	// Dim is the dimension of vectors, IDs the number of ids in a collection.
	Dim, IDs int
	// Names are the collections that a workload creates and drops.
	Names []string
	// DropPercent is how often in a hundred operations one is dropped.
	DropPercent int

	version int
}

// NewGenerator returns a generator of small workloads.
func NewGenerator(r *rand.Rand) *Generator {
	return &Generator{R: r, Dim: 8, IDs: 40, Names: []string{"a", "b", "c"}, DropPercent: 2}
}

// Next draws an op that makes sense in a state.
func (g *Generator) Next(s State) Op {
	have := s.Names()
	n := g.R.IntN(100)
	if len(have) == 0 || (n < 4 && len(have) < len(g.Names)) {
		for _, name := range g.Names {
			if s[name] == nil {
				return Op{Kind: Create, Collection: name, Config: g.Config()}
			}
		}
	}
	name := have[g.R.IntN(len(have))]
	if g.R.IntN(2) == 0 {
		name = have[0] // one collection is busier than the others
	}
	switch {
	case n < g.DropPercent && len(have) > 1:
		return Op{Kind: Drop, Collection: name}
	case n < 58:
		return Op{Kind: Upsert, Collection: name, Docs: g.Batch(g.size())}
	case n < 80:
		ids := make([]string, 1+g.R.IntN(5))
		for i := range ids {
			ids[i] = g.ID()
		}
		return Op{Kind: Delete, Collection: name, IDs: ids}
	case n < 88:
		return Op{Kind: Flush, Collection: name}
	case n < 92:
		return Op{Kind: FlushAll}
	case n < 97:
		return Op{Kind: Compact, Collection: name}
	default:
		return Op{Kind: CompactAll}
	}
}

// size is that of a batch: mostly small, now and then over many disk blocks.
func (g *Generator) size() int {
	if g.R.IntN(12) == 0 {
		return 10 + g.R.IntN(30)
	}
	return 1 + g.R.IntN(6)
}

// Config draws a collection's configuration.
func (g *Generator) Config() engine.CollectionConfig {
	profiles := []engine.Profile{engine.Exact, engine.Exact, engine.Balanced, engine.Compact}
	return engine.CollectionConfig{Dim: g.Dim, Profile: profiles[g.R.IntN(len(profiles))], RetainRaw: g.R.IntN(4) == 0}
}

// Batch draws n documents; an id may be there twice.
func (g *Generator) Batch(n int) []engine.Document {
	docs := make([]engine.Document, n)
	for i := range docs {
		docs[i] = g.Document(g.ID())
	}
	return docs
}

// ID draws an id; some contain odd bytes.
func (g *Generator) ID() string {
	n := g.R.IntN(g.IDs)
	if n%11 == 7 {
		return fmt.Sprintf("d\x00%d\xff/..", n)
	}
	return fmt.Sprintf("d%03d", n)
}

// Document draws a document whose text is unlike that of any other.
func (g *Generator) Document(id string) engine.Document {
	g.version++
	d := engine.Document{ID: id, Vectors: g.Vectors(1 + g.R.IntN(7)), Text: fmt.Sprintf("version %d", g.version)}
	if g.R.IntN(3) > 0 {
		d.Attributes = json.RawMessage(fmt.Sprintf(`{"v":%d,"even":%t}`, g.version, g.version%2 == 0))
	}
	if g.R.IntN(10) == 0 {
		d.Text += strings.Repeat(" and more", g.R.IntN(800))
	}
	return d
}

// Vectors draws token vectors.
func (g *Generator) Vectors(tokens int) engine.Matrix {
	m := engine.Matrix{Dim: g.Dim, Data: make([]float32, tokens*g.Dim)}
	for i := range m.Data {
		m.Data[i] = float32(g.R.NormFloat64())
	}
	return m
}

// RandomOptions draws options under which a few dozen documents reach every
// regime: buffers that fill in no time or never, training early or never, tiny
// segments, columns in memory or on disk.
func RandomOptions(r *rand.Rand) *engine.Options {
	pick := func(v ...int) int { return v[r.IntN(len(v))] }
	return &engine.Options{
		SealDocuments:         pick(3, 10, 25, 10_000),
		SealBytes:             int64(pick(1<<10, 8<<10, 1<<26)),
		TrainTokens:           int64(pick(40, 120, 300, 1<<30)),
		TrainSample:           pick(64, 4096),
		MaxSegmentDocuments:   pick(8, 30, 65_536),
		MemoryBudget:          int64(pick(1, 1<<14, 1<<28)),
		DisableAutoCompaction: r.IntN(3) == 0,
	}
}
