package reliability

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/colbertdb-go/colbertdb/engine"
)

// spoilt is a way in which a document can be bad, and the error that says so.
type spoilt struct {
	name string
	want error
	do   func(t *rapid.T, d *engine.Document)
}

var spoilts = []spoilt{
	{"NaN", engine.ErrBadVector, func(t *rapid.T, d *engine.Document) { *value(t, d) = float32(math.NaN()) }},
	{"infinity", engine.ErrBadVector, func(t *rapid.T, d *engine.Document) { *value(t, d) = float32(math.Inf(1)) }},
	{"minus infinity", engine.ErrBadVector, func(t *rapid.T, d *engine.Document) { *value(t, d) = float32(math.Inf(-1)) }},
	{"norm zero", engine.ErrBadVector, func(t *rapid.T, d *engine.Document) {
		clear(d.Vectors.Row(rapid.IntRange(0, d.Vectors.Len()-1).Draw(t, "row")))
	}},
	{"half a vector", engine.ErrBadVector, func(t *rapid.T, d *engine.Document) {
		d.Vectors.Data = d.Vectors.Data[:len(d.Vectors.Data)-rapid.IntRange(1, 7).Draw(t, "missing")]
	}},
	{"another dimension", engine.ErrDimension, func(t *rapid.T, d *engine.Document) {
		d.Vectors.Dim = rapid.SampledFrom([]int{-8, 0, 1, 4, 7, 16, 1 << 30}).Draw(t, "dim")
	}},
	{"no vectors", engine.ErrNoVectors, func(t *rapid.T, d *engine.Document) {
		d.Vectors.Data = rapid.SampledFrom([][]float32{nil, {}}).Draw(t, "data")
		d.Text = ""
	}},
	{"text without an encoder", engine.ErrNoEncoder, func(_ *rapid.T, d *engine.Document) { d.Vectors = engine.Matrix{} }},
	{"no id", engine.ErrInvalid, func(_ *rapid.T, d *engine.Document) { d.ID = "" }},
	{"long id", engine.ErrInvalid, func(t *rapid.T, d *engine.Document) {
		d.ID = strings.Repeat("x", engine.MaxIDBytes+rapid.IntRange(1, 5000).Draw(t, "more"))
	}},
	{"text that is no UTF-8", engine.ErrInvalid, func(_ *rapid.T, d *engine.Document) { d.Text = "a\xff" }},
	{"attributes that are no object", engine.ErrInvalid, func(t *rapid.T, d *engine.Document) {
		d.Attributes = json.RawMessage(rapid.SampledFrom([]string{"[1]", "null", "1", `"x"`, "{", `{"a":}`, `{"a":1}}`, "\x00"}).Draw(t, "attributes"))
	}},
	{"long attributes", engine.ErrInvalid, func(_ *rapid.T, d *engine.Document) {
		d.Attributes = json.RawMessage(`{"a":"` + strings.Repeat("x", engine.MaxAttributesBytes) + `"}`)
	}},
}

func value(t *rapid.T, d *engine.Document) *float32 {
	return &d.Vectors.Data[rapid.IntRange(0, len(d.Vectors.Data)-1).Draw(t, "value")]
}

// R16: a batch with one bad document among good ones is refused with an error that
// says what is bad; nothing of it is logged or stored, before and after a restart.
func TestR16BadInput(t *testing.T) {
	disk := vfs.NewMem()
	db, closed, err := openTracked(disk, fixedOptions())
	if err != nil {
		t.Fatal(err)
	}
	col, err := db.CreateCollection(ctx, "a", engine.CollectionConfig{Dim: 8})
	if err != nil {
		t.Fatal(err)
	}
	g := NewGenerator(rand.New(rand.NewPCG(16, 16)))
	op := Op{Kind: Upsert, Collection: "a", Docs: g.Batch(10)}
	state := State{}
	state.Apply(Op{Kind: Create, Collection: "a", Config: engine.CollectionConfig{Dim: 8}})
	if _, err := op.Run(ctx, db); err != nil {
		t.Fatal(err)
	}
	state.Apply(op)
	logged := db.Metrics().LogBytes
	tried := map[string]int{}
	check := func(t *rapid.T) {
		how := rapid.SampledFrom(spoilts).Draw(t, "how")
		docs := g.Batch(rapid.IntRange(1, 6).Draw(t, "documents"))
		bad := &docs[rapid.IntRange(0, len(docs)-1).Draw(t, "which")]
		how.do(t, bad)
		tried[how.name]++
		var err error
		if rapid.Bool().Draw(t, "batch with deletes") {
			var b engine.Batch
			b.Delete(g.ID())
			b.Upsert(docs...)
			_, err = col.Apply(ctx, &b)
		} else {
			_, err = col.Upsert(ctx, docs...)
		}
		if !errors.Is(err, how.want) {
			t.Fatalf("%s: %v, want %v", how.name, err, how.want)
		}
		if n := db.Metrics().LogBytes; n > logged+32 { // a mark after an idle second has 32
			t.Fatalf("%s: %d bytes were logged", how.name, n-logged)
		}
	}
	for range Count(1, 20) { // a hundred batches each
		rapid.Check(t, check)
	}
	t.Log(tried)
	if err := errors.Join(Check(ctx, db, state), closed(), reopened(disk, []State{state})); err != nil {
		t.Fatal(err)
	}
}
