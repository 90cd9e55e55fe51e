package reliability

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/colbertdb-go/colbertdb/engine"
)

// keyed gives writes idempotency keys and sends them again.
type keyed struct {
	r       *rand.Rand
	n       int
	answers []keyedWrite // what was made, in collections that are still there
	pending *Op          // sent, and not answered before the power went
}

type keyedWrite struct {
	op  Op
	seq uint64
}

func newKeyed(seed uint64) *keyed { return &keyed{r: rand.New(rand.NewPCG(seed, 101))} }

// give gives an op a key, now and then.
func (k *keyed) give(op Op) Op {
	if (op.Kind == Upsert || op.Kind == Delete) && k.r.IntN(4) == 0 {
		k.n++
		op.Key = fmt.Sprint("key ", k.n)
	}
	return op
}

// made notes an op that was answered.
func (k *keyed) made(op Op, seq uint64) {
	switch {
	case op.Key != "":
		k.answers = append(k.answers, keyedWrite{op, seq})
	case op.Kind == Drop: // its keys are gone with it
		k.forget(op.Collection)
	}
}

func (k *keyed) forget(collection string) {
	k.answers = slices.DeleteFunc(k.answers, func(w keyedWrite) bool { return w.op.Collection == collection })
}

// unanswered notes an op during which the power went.
func (k *keyed) unanswered(op Op) {
	switch {
	case op.Key != "":
		k.pending = &op
	case op.Kind == Drop:
		k.forget(op.Collection)
	}
}

// resend sends the write again that the last crash left unanswered: afterwards it
// is made, whether it was before or not.
func (k *keyed) resend(db *engine.Engine, state State, lastSeq uint64) (uint64, error) {
	if k.pending == nil {
		return lastSeq, nil
	}
	op := *k.pending
	k.pending = nil
	seq, err := op.Run(ctx, db)
	if err != nil {
		return 0, fmt.Errorf("%s, sent again after a crash: %w", op, err)
	}
	state.Apply(op)
	k.made(op, seq)
	return max(lastSeq, seq), nil
}

// repeat sends a write again that was made before, now and then: it must return
// what it returned, and change nothing.
func (k *keyed) repeat(db *engine.Engine) (bool, error) {
	if len(k.answers) == 0 || k.r.IntN(10) > 0 {
		return false, nil
	}
	w := k.answers[k.r.IntN(len(k.answers))]
	seq, err := w.op.Run(ctx, db)
	if err == nil && seq != w.seq {
		err = fmt.Errorf("it was change %d, now it is change %d", w.seq, seq)
	}
	if err != nil {
		return false, fmt.Errorf("%s, sent again with %q: %w", w.op, w.op.Key, err)
	}
	return true, nil
}
