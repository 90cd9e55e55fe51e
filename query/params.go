package query

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/colbertdb-go/colbertdb/query/filter"
)

// ErrInvalid is wrapped by errors about parameters.
var ErrInvalid = errors.New("colbertdb: invalid search")

// Effort trades time for recall.
type Effort uint8

const (
	EffortDefault Effort = iota // what the collection's target of recall takes, where it is calibrated
	EffortFast                  // half of the work or less
	EffortHigh                  // about twice the work
	EffortFull                  // no candidate generation: every document is scored
)

var effortNames = map[Effort]string{EffortDefault: "default", EffortFast: "fast", EffortHigh: "high", EffortFull: "full"}

// String returns the effort's name.
func (e Effort) String() string { return effortNames[e] }

// ParseEffort reads "fast", "default", "high" or "full".
func ParseEffort(s string) (Effort, error) {
	for e, name := range effortNames {
		if s == name {
			return e, nil
		}
	}
	return 0, fmt.Errorf("%w: unknown effort %q: use fast, default, high or full", ErrInvalid, s)
}

// Params say what a search is to find and how hard it tries. Zero values are
// defaults.
type Params struct {
	// K is the number of hits. Default: 10.
	K int
	// Effort sets the budgets below. Default: EffortDefault.
	Effort Effort
	// Rung is the place of EffortDefault on the Ladder, as calibrated, from 1 on.
	// Default: DefaultRung.
	Rung int
	// Exact scores every document. Default: false.
	Exact bool
	// Cells is the number of cells a query token looks into, NProbe that of fine
	// centroids, NA the number of documents scored on plane A, NFullScores that
	// of documents scored in the last tier. Default: as Effort says. A caller who
	// raises NProbe raises NA with it: more probes alone can lower recall.
	Cells, NProbe, NA, NFullScores int
	// Filter restricts the hits. Default: none.
	Filter *filter.Filter
	// Explain asks for the matching tokens of each hit, and for Result.Filter.
	Explain bool
	// GroupBy names an attribute: one hit for each of its values, with the
	// GroupSize best documents of the group. Documents without the attribute are
	// groups of their own. Default: none; GroupSize 3.
	GroupBy   string
	GroupSize int
	// Fusion is Hybrid's.
	Fusion Fusion
}

// Limits of a search.
const (
	MaxK      = 10_000
	MaxNProbe = 256
)

// Budgets bound the work of a search for K = 10: cells and fine centroids a query
// token, documents scored on plane A, and in the last tier. Recall is not monotone in
// one of them alone, so they go up together.
type Budgets struct{ Cells, NProbe, NA, NFullScores int }

// Ladder is what searches choose their budgets from, each about 1.2 to 2 times the
// work of the one before (BudgetsOf), in the middle the least: a collection that just
// misses its target there is not to pay much for it. docs/benchmarks.md has the
// measurements.
var Ladder = []Budgets{
	{Cells: 4, NProbe: 4, NA: 512, NFullScores: 64},
	{Cells: 8, NProbe: 8, NA: 1024, NFullScores: 96},
	{Cells: 8, NProbe: 16, NA: 1536, NFullScores: 96},
	{Cells: 8, NProbe: 16, NA: 2048, NFullScores: 128},
	{Cells: 16, NProbe: 24, NA: 2560, NFullScores: 160},
	{Cells: 16, NProbe: 24, NA: 3072, NFullScores: 192},
	{Cells: 16, NProbe: 32, NA: 4096, NFullScores: 256},
	{Cells: 24, NProbe: 48, NA: 8192, NFullScores: 512},
	{Cells: 32, NProbe: 64, NA: 16384, NFullScores: 1024},
}

// DefaultRung is the place on the Ladder of EffortDefault in a collection that has
// not been calibrated.
const DefaultRung = 3

// RungOf is the place of an effort on the Ladder where EffortDefault is at rung: fast
// is three below it, high three above, as far as the ladder goes.
func RungOf(e Effort, rung int) int {
	switch e {
	case EffortFast:
		rung -= 3
	case EffortHigh:
		rung += 3
	}
	return min(max(rung, 0), len(Ladder)-1)
}

// BudgetsOf returns the budgets of a rung for a query of some token vectors. A short
// query looks into fewer lists: twice as many a token below 16, four times below 10. One
// of a few tokens has many documents that score alike, and each costs it less: below 6
// it gets the budgets of four rungs more, below 3 of five.
func BudgetsOf(rung, tokens int) Budgets {
	probes := 1
	switch {
	case tokens < 3:
		rung += 5
	case tokens < 6:
		rung += 4
	case tokens < 10:
		probes = 4
	case tokens < 16:
		probes = 2
	}
	b := Ladder[min(max(rung, 0), len(Ladder)-1)]
	b.Cells, b.NProbe = min(probes*b.Cells, MaxNProbe), min(probes*b.NProbe, MaxNProbe)
	return b
}

// withDefaults fills in what is zero for a query of some token vectors, larger where
// K is.
func (p Params) withDefaults(tokens int) Params {
	if p.K == 0 {
		p.K = 10
	}
	if p.GroupSize == 0 {
		p.GroupSize = 3
	}
	if p.Effort == EffortFull {
		p.Exact = true
	}
	b := Budgets{1, 1, 1, 1} // EffortFull spends none
	if p.Effort != EffortFull {
		b = BudgetsOf(RungOf(p.Effort, cmp.Or(p.Rung, DefaultRung)), tokens)
	}
	b.Cells = max(b.Cells, min(p.NProbe, MaxNProbe))
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&p.Cells, b.Cells)
	def(&p.NProbe, b.NProbe)
	def(&p.NFullScores, max(b.NFullScores, 3*p.K))
	def(&p.NA, max(b.NA, 10*p.K, 2*p.NFullScores))
	return p
}

// validate names the first parameter that makes no sense, and the mend.
func (p Params) validate() error {
	switch {
	case p.K < 1 || p.K > MaxK:
		return fmt.Errorf("%w: K is %d, it must be 1 to %d", ErrInvalid, p.K, MaxK)
	case effortNames[p.Effort] == "":
		return fmt.Errorf("%w: unknown effort %d: use fast, default, high or full", ErrInvalid, p.Effort)
	case p.Rung < 0 || p.Rung >= len(Ladder):
		return fmt.Errorf("%w: Rung is %d, it must be 0 to %d", ErrInvalid, p.Rung, len(Ladder)-1)
	case p.NProbe < 1 || p.NProbe > MaxNProbe:
		return fmt.Errorf("%w: NProbe is %d, it must be 1 to %d", ErrInvalid, p.NProbe, MaxNProbe)
	case p.Cells < 1 || p.NA < 1 || p.NFullScores < 1 || p.GroupSize < 1:
		return fmt.Errorf("%w: Cells, NA, NFullScores and GroupSize must not be negative", ErrInvalid)
	}
	return nil
}
