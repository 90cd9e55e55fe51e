package reliability

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// R11: each id is a linearizable register. Four clients put, delete and read it,
// by Get and by searches, while the store loses power and is opened again: what
// was acknowledged before the power went is there afterwards, what was on its way
// may be, and no read sees anything that this does not explain.
func TestR11Linearizable(t *testing.T) {
	var total linearCount
	Seeds(t, 1, Count(4, 200), func(seed uint64) error { return linear(seed, &total) })
	t.Logf("%d histories, %d operations, %d power losses, %d changes of unknown outcome", total.histories, total.ops, total.crashes, total.unknown)
}

type linearCount struct{ histories, ops, crashes, unknown int }

// access is one operation on one id. Value is the text, "" where there is none.
type access struct {
	id    string
	write bool
	value string // to be written
}

// answer is what came of it.
type answer struct {
	value   string // read
	unknown bool   // a write that was not acknowledged before the power went
}

// register is the model of one id.
var register = (&porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byID := map[string][]porcupine.Operation{}
		for _, op := range history {
			id := op.Input.(access).id
			byID[id] = append(byID[id], op)
		}
		var out [][]porcupine.Operation
		for _, ops := range byID {
			out = append(out, ops)
		}
		return out
	},
	Init: func() []any { return []any{""} },
	Step: func(state, input, output any) []any {
		in, out := input.(access), output.(answer)
		switch {
		case in.write && out.unknown:
			return []any{state, in.value}
		case in.write:
			return []any{in.value}
		case state.(string) == out.value:
			return []any{state}
		}
		return nil
	},
}).ToModel()

func linear(seed uint64, total *linearCount) error {
	const clients, ids, operations, perGeneration = 4, 16, 2000, 600
	r := rand.New(rand.NewPCG(seed, 11))
	disk := vfs.NewCrashableMem()
	var clock atomic.Int64
	var history []porcupine.Operation
	for generation := 0; len(history) < operations; generation++ {
		fs := NewCrashFS(disk)
		db, closed, err := openTracked(fs, RandomOptions(r))
		if err != nil {
			return fmt.Errorf("generation %d: open: %w", generation, err)
		}
		col, err := db.CreateCollection(ctx, "a", engine.CollectionConfig{Dim: 8, Profile: engine.Balanced})
		if err != nil {
			return errors.Join(err, closed())
		}
		fs.Arm(20+r.IntN(1500), r.IntN(101), r)
		var wg sync.WaitGroup
		results := make([][]porcupine.Operation, clients)
		errs := make([]error, clients)
		for client := range clients {
			c := &linearClient{id: client, col: col, fs: fs, clock: &clock, ids: ids,
				g: NewGenerator(rand.New(rand.NewPCG(seed, uint64(1000+generation*clients+client)))), prefix: fmt.Sprintf("%d.%d.", generation, client)}
			wg.Go(func() {
				for range perGeneration / clients {
					if errs[client] = c.step(); errs[client] != nil || fs.Crashed() {
						break
					}
				}
				results[client] = c.done
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return errors.Join(fmt.Errorf("generation %d: %w", generation, err), closed())
		}
		disk = fs.Disk()
		if err := closed(); err != nil {
			return err
		}
		total.crashes++
		reopened := clock.Add(1)
		for _, ops := range results {
			for _, op := range ops {
				if op.Output.(answer).unknown { // it has happened by now, or never
					op.Return = reopened
					total.unknown++
				}
				history = append(history, op)
			}
		}
	}
	total.histories++
	total.ops += len(history)
	switch porcupine.CheckOperationsTimeout(register, history, time.Minute) {
	case porcupine.Illegal:
		return errors.New("the history is not linearizable")
	case porcupine.Unknown:
		return errors.New("the history could not be checked within a minute")
	}
	return nil
}

// linearClient does one operation after the other.
type linearClient struct {
	id     int
	col    *engine.Collection
	fs     *CrashFS
	clock  *atomic.Int64
	g      *Generator
	ids    int
	prefix string
	done   []porcupine.Operation
}

func (c *linearClient) step() error {
	in := access{id: fmt.Sprint("id", c.g.R.IntN(c.ids))}
	var out answer
	var err error
	call := c.clock.Add(1)
	switch n := c.g.R.IntN(100); {
	case n < 2:
		return c.col.Flush(ctx)
	case n < 4:
		return c.col.Compact(ctx)
	case n < 35:
		d := c.g.Document(in.id)
		d.Text = c.prefix + d.Text
		in.write, in.value = true, d.Text
		call = c.clock.Add(1)
		_, err = c.col.Upsert(ctx, d)
	case n < 50:
		in.write = true
		_, err = c.col.Delete(ctx, in.id)
	case n < 75:
		out.value, err = c.get(in.id)
	default:
		out.value, err = c.search(in.id)
	}
	if err != nil {
		return err
	}
	if c.fs.Crashed() { // before the answer, perhaps
		if !in.write {
			return nil // what it saw may be gone
		}
		out.unknown = true
	}
	c.done = append(c.done, porcupine.Operation{ClientId: c.id, Input: in, Output: out, Call: call, Return: c.clock.Add(1)})
	return nil
}

func (c *linearClient) get(id string) (text string, err error) {
	d, err := c.col.Get(ctx, id)
	if errors.Is(err, engine.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return d.Text, nil
}

// search reads an id from the hits of an exact search for everything.
func (c *linearClient) search(id string) (text string, err error) {
	res, err := c.col.Search(ctx, engine.SearchRequest{Vectors: c.g.Vectors(1), K: c.ids + 1, Exact: true})
	if err != nil {
		return "", err
	}
	for _, h := range res.Hits {
		if h.ID == id {
			text = h.Text
		}
	}
	return text, nil
}
