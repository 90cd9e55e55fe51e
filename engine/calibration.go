package engine

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/query"
	"github.com/colbertdb-go/colbertdb/segment"
)

// DefaultRecallTarget is the candidate recall@10 that the default effort is
// calibrated to reach.
const DefaultRecallTarget = 0.98

// Calibration says what searches of a collection were measured to find, and with
// which budgets the default effort searches since. docs/rfcs/0008-recall-target.md.
type Calibration struct {
	// Target is the candidate recall@10 asked for; Reached, whether the default
	// effort has it: budgets end somewhere.
	Target  float64 `json:"target"`
	Reached bool    `json:"reached"`
	// Queries were asked, of the kind that Kind names.
	Queries int             `json:"queries"`
	Kind    CalibrationKind `json:"kind"`
	// Documents and Tokens were in the collection then, in the versions Codebook and
	// Routing, and NextNum is the number of the next document that was written.
	Documents int64          `json:"documents"`
	Tokens    int64          `json:"tokens"`
	Codebook  uint32         `json:"codebook,omitempty"`
	Routing   uint32         `json:"routing,omitempty"`
	NextNum   segment.DocNum `json:"next_num,omitempty"`
	// Efforts are what each finds: fast, default, high and full.
	Efforts []EffortRecall `json:"efforts"`
	// Rung is the default effort's place on query.Ladder.
	Rung int `json:"rung"`
}

// CalibrationKind is where the queries of a calibration came from.
type CalibrationKind string

// The kinds of queries, best first.
const (
	CalibrationQueries   CalibrationKind = "queries"   // given by the caller
	CalibrationSentences CalibrationKind = "sentences" // of documents, encoded on the query side
	CalibrationWindows   CalibrationKind = "windows"   // token vectors of documents
)

// EffortRecall is what searches of an effort find with K = 10.
type EffortRecall struct {
	Effort string `json:"effort"`
	// CandidateRecall is candidate recall@10: against an exact search over the
	// stored planes. Recall is recall@10: against exact MaxSim of the raw float32
	// vectors, as expected from the planes' error; 0 where that is not known, of
	// imported codes.
	CandidateRecall float64 `json:"candidate_recall"`
	Recall          float64 `json:"recall"`
	// Below80 is the share of queries whose recall is less than 0.8.
	Below80 float64 `json:"below_080"`
	// The budgets of queries of 16 token vectors or more; shorter ones get more
	// (query.BudgetsOf).
	NProbe      int `json:"n_probe,omitempty"`
	Candidates  int `json:"n_candidates,omitempty"`
	NFullScores int `json:"n_full_scores,omitempty"`
}

// CalibrateOptions configure Calibrate; zero values are defaults.
type CalibrateOptions struct {
	// Queries are asked, such as those that users have asked: a few hundred.
	// Default: sentences of stored documents, encoded on the query side, where the
	// collection was opened with an encoder and documents have text; else windows of
	// documents' token vectors.
	Queries []encoder.Query
	// RecallTarget is candidate recall@10, more than 0 and at most 1. Default: that of the last
	// calibration, else CollectionConfig's.
	RecallTarget float64
}

// validRecallTarget checks a target; 0 stands for a default.
func validRecallTarget(t float64) error {
	if !(t >= 0 && t <= 1) {
		return fmt.Errorf("%w: the recall target is %v, it must be more than 0 and at most 1", ErrInvalid, t)
	}
	return nil
}

// Calibrate measures what searches of the collection find and gives the default
// effort the cheapest budgets that reach the target. Compact does so as well, and
// the background where it is stale. It returns nil, and changes nothing,
// for a collection that is small enough for every search to be exact.
func (h *Collection) Calibrate(ctx context.Context, o CalibrateOptions) (*Calibration, error) {
	if err := validRecallTarget(o.RecallTarget); err != nil {
		return nil, err
	}
	if err := h.c.engine.enter(); err != nil {
		return nil, err
	}
	defer h.c.engine.exit()
	var out *Calibration
	err := h.c.engine.background(ctx, func(ctx context.Context) (err error) {
		out, err = h.calibrate(ctx, o)
		return err
	})
	return out, err
}

// Calibration is the last calibration of the collection, nil without one.
func (h *Collection) Calibration() *Calibration { return h.c.calibration.Load() }

// stale reports whether a collection is another one than was calibrated, which has so
// many documents now in the given versions, and a number for the next: half as many were
// written or deleted since as there were, or they are found by another codebook or
// routing.
func (m *Calibration) stale(docs int64, in versions, next segment.DocNum) bool {
	if m == nil || m.Codebook != in.codebook || m.Routing != in.routing {
		return true
	}
	written := int64(next - m.NextNum)
	deleted := m.Documents + written - docs
	return 2*(written+deleted) >= m.Documents
}

// calibrateDue calibrates where the collection has no calibration or a stale one. The
// caller holds Engine.bg.
func (e *Engine) calibrateDue(ctx context.Context, c *collection) error {
	v, err := c.acquire()
	if err != nil {
		return err
	}
	docs, _ := v.counts()
	due := v.space.coded() && v.outdated() == 0 && c.calibration.Load().stale(docs, v.space.versions(), c.nextNumber())
	c.release(v)
	if !due || c.loading() {
		return nil
	}
	_, err = (&Collection{c: c}).calibrate(ctx, CalibrateOptions{})
	return err
}

// nextNumber is the number of the next document that is written.
func (c *collection) nextNumber() segment.DocNum {
	c.engine.mu.Lock()
	defer c.engine.mu.Unlock()
	return c.nextNum
}

// calibrate is Calibrate. The caller holds Engine.bg.
func (h *Collection) calibrate(ctx context.Context, o CalibrateOptions) (*Calibration, error) {
	c, e := h.c, h.c.engine
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.alive, cancel)()
	v, err := c.acquire()
	if err != nil {
		return nil, err
	}
	defer c.release(v)
	out := &Calibration{Target: o.RecallTarget}
	for _, t := range []float64{c.target(), DefaultRecallTarget} {
		if out.Target == 0 {
			out.Target = t
		}
	}
	out.Documents, out.Tokens = v.counts()
	out.Codebook, out.Routing, out.NextNum = v.space.codebookID(), v.space.routingID(), c.nextNumber()
	if !v.space.coded() || out.Documents <= query.MaxScan {
		return nil, nil
	}
	trials, kind, err := h.trials(ctx, v, o.Queries, out.Tokens)
	if err != nil || len(trials) == 0 {
		return nil, err
	}
	out.Queries, out.Kind = len(trials), kind
	sources, _ := searched(v.sources())
	found, err := query.Measure(ctx, sources, trials, out.Target)
	if err != nil {
		return nil, fmt.Errorf("colbertdb: calibrating collection %q: %w", c.name, err)
	}
	out.take(found, v.space.profile.PLAIDBits() > 0)
	return out, e.publishing(ctx, func(ctx context.Context) error {
		if err := c.alive.Err(); err != nil {
			return fmt.Errorf("%w: %q", ErrCollectionNotFound, c.name)
		}
		record := c.record.clone()
		record.Calibration = out
		if err := e.guard.write(func() error { return e.writeRecord(&record) }); err != nil {
			return err
		}
		c.record = record
		c.calibration.Store(out)
		return nil
	})
}

// take notes what was measured of each effort.
func (m *Calibration) take(found *query.Measured, imported bool) {
	m.Rung, m.Reached = found.Default, found.Reached
	for _, e := range []Effort{EffortFast, EffortDefault, EffortHigh, EffortFull} {
		r, b := found.Full, query.Budgets{}
		if e != EffortFull {
			i := query.RungOf(e, m.Rung)
			r, b = found.Rungs[i], query.Ladder[i]
		}
		if imported {
			r.Raw, r.Below80 = 0, 0
		}
		m.Efforts = append(m.Efforts, EffortRecall{
			Effort: e.String(), CandidateRecall: r.Candidate, Recall: r.Raw, Below80: r.Below80,
			NProbe: b.NProbe, Candidates: b.NA, NFullScores: b.NFullScores,
		})
	}
}

// rung is where the default effort searches, 0 without a calibration.
func (c *collection) rung() int {
	if m := c.calibration.Load(); m != nil {
		return min(max(m.Rung, 0), len(query.Ladder)-1)
	}
	return 0
}

// target is the recall target in force, 0 without one.
func (c *collection) target() float64 {
	if m := c.calibration.Load(); m != nil {
		return m.Target
	}
	return c.config.RecallTarget
}

// writeRecord stores a collection's record, durably. The caller holds Engine.pub.
func (e *Engine) writeRecord(r *collectionRecord) error {
	b := e.db.NewBatch()
	defer b.Close()
	if err := b.Set(segment.CollectionKey(r.ID), r.encode(), nil); err != nil {
		return err
	}
	return b.Commit(pebble.Sync)
}
