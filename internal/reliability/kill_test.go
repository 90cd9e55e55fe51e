package reliability

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// R4: a process that opens a store on disk and changes it, and prints a line for
// each change that was acknowledged, is killed with SIGKILL 5 to 500 ms after it
// began, again and again, on one store. After each kill the store holds every
// change that was acknowledged, the one that was on its way wholly or not at all,
// and nothing else.
func TestR04Kill(t *testing.T) {
	const perStore = 20
	var total killCount
	Seeds(t, 1, Count(1, 10), func(seed uint64) error { return killed(t, seed, perStore, &total) })
	t.Logf("%d kills, %d of them while the store was opened, %d changes acknowledged, %d changes on their way were there", total.kills, total.opening, total.acked, total.landed)
	if total.acked < total.kills {
		t.Errorf("only %d changes were acknowledged: the test has no power", total.acked)
	}
}

type killCount struct{ kills, opening, acked, landed int }

// killWorkload draws the changes of one life of the process: what they are follows
// from the seed, the cycle and the names of the collections that there are.
type killWorkload struct {
	g *Generator
	s State
}

func newKillWorkload(seed uint64, cycle int, s State) *killWorkload {
	g := NewGenerator(rand.New(rand.NewPCG(seed, 400+uint64(cycle))))
	g.version = cycle * 1_000_000 // no text is there twice
	w := &killWorkload{g: g, s: State{}}
	for _, name := range s.Names() {
		w.s.Apply(Op{Kind: Create, Collection: name, Config: s[name].Config})
	}
	return w
}

func (w *killWorkload) next() Op {
	op := w.g.Next(w.s)
	w.s.Apply(op)
	return op
}

// TestR04Child is the process.
func TestR04Child(t *testing.T) {
	dir := os.Getenv("COLBERTDB_KILL_DIR")
	if dir == "" {
		t.Skip("runs as a child of TestR04Kill")
	}
	seed, err := strconv.ParseUint(os.Getenv("COLBERTDB_KILL_SEED"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	cycle, err := strconv.Atoi(os.Getenv("COLBERTDB_KILL_CYCLE"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("opening")
	db, err := engine.Open(ctx, dir, RandomOptions(rand.New(rand.NewPCG(seed, uint64(cycle)))))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("open")
	s := State{}
	for _, info := range db.Collections() {
		s.Apply(Op{Kind: Create, Collection: info.Name})
	}
	w := newKillWorkload(seed, cycle, s)
	for {
		if _, err := w.next().Run(ctx, db); err != nil {
			t.Fatal(err)
		}
		fmt.Println("ack")
	}
}

func killed(t *testing.T, seed uint64, cycles int, total *killCount) error {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(seed, 4))
	state := State{}
	for cycle := range cycles {
		// As many short lives as long ones.
		lived := time.Duration(5*math.Pow(100, r.Float64())) * time.Millisecond
		opened, acked, err := runAndKill(dir, seed, cycle, lived)
		if err != nil {
			return fmt.Errorf("cycle %d: %w", cycle, err)
		}
		w := newKillWorkload(seed, cycle, state)
		for range acked {
			state.Apply(w.next())
		}
		states := []State{state, state.After(w.next())}
		db, closed, err := openIn(vfs.Default, dir, RandomOptions(r))
		if err != nil {
			return fmt.Errorf("cycle %d: reopen: %w", cycle, err)
		}
		which, err := Match(ctx, db, states...)
		if err == nil {
			err = Check(ctx, db, states[which])
		}
		if err := errors.Join(err, closed()); err != nil {
			return fmt.Errorf("cycle %d, killed after %v and %d acknowledgements: %w", cycle, lived, acked, err)
		}
		state = states[which]
		total.kills++
		total.acked += acked
		total.landed += which
		if !opened {
			total.opening++
		}
	}
	return nil
}

// runAndKill runs the process, kills it a while after it began to open the store,
// and returns how many changes it had acknowledged.
func runAndKill(dir string, seed uint64, cycle int, lives time.Duration) (opened bool, acked int, err error) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestR04Child$", "-test.v")
	cmd.Env = append(os.Environ(), "COLBERTDB_KILL_DIR="+dir, fmt.Sprint("COLBERTDB_KILL_SEED=", seed), fmt.Sprint("COLBERTDB_KILL_CYCLE=", cycle))
	var failure strings.Builder
	cmd.Stderr = &failure
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, 0, err
	}
	if err := cmd.Start(); err != nil {
		return false, 0, err
	}
	var timer *time.Timer
	for lines := bufio.NewScanner(out); lines.Scan(); { // to the end: what was acknowledged before the signal counts
		switch line := lines.Text(); line {
		case "opening":
			timer = time.AfterFunc(lives, func() { _ = cmd.Process.Kill() })
		case "open":
			opened = true
		case "ack":
			acked++
		default:
			failure.WriteString(line + "\n")
		}
	}
	_ = cmd.Wait() // it was killed
	if timer == nil || timer.Stop() {
		return false, 0, fmt.Errorf("the process ended by itself: %s", failure.String())
	}
	return opened, acked, nil
}
