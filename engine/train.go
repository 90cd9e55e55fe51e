package engine

import (
	"context"
	"fmt"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/compaction"
	"github.com/colbertdb-go/colbertdb/internal/pace"
	"github.com/colbertdb-go/colbertdb/segment"
)

// Training gives a collection the codebook and the routing that its documents
// call for. docs/rfcs/0001-codec-and-routing-versions.md has the whole of it.

// training says what is to be trained.
type training int

const (
	trainNothing training = iota
	trainFirst            // the first codebook: the collection has outgrown exact search
	trainRouting          // finer centroids: it has outgrown the routing that it has
	trainCodec            // another codebook: its documents have changed
)

// train trains what is due and makes the result the collection's current space.
// With the first codebook all segments move in the same step, since scores
// change their representation; otherwise segments follow one by one, by the
// tasks that the planner makes of them. The caller holds Engine.bg.
func (e *Engine) train(ctx context.Context, c *collection) (err error) {
	v, err := c.acquire()
	if err != nil {
		return err
	}
	defer c.release(v)
	tokens := v.liveTokens()
	rec := c.stored()
	due := e.trainingDue(v, rec.RoutingTokens, tokens)
	if due == trainNothing || c.loading() { // a load trains by itself, and what it brings is measured after it
		return nil
	}
	defer e.training(c, due == trainFirst, tokens)(&err)
	sample, distortion, err := v.sample(ctx, e.opts.TrainSample, tokens)
	if err != nil {
		return err
	}
	return e.trainOn(ctx, c, v, due, sample, codec.TrainOptions{TotalTokens: tokens, Distortion: distortion})
}

// trainOn trains on a sample and makes the result the collection's current
// space. The caller holds Engine.bg and v, the current version.
func (e *Engine) trainOn(ctx context.Context, c *collection, v *version, due training, sample codec.Matrix, o codec.TrainOptions) (err error) {
	rec := c.stored()
	cb, rt := v.space.codebook, (*codec.Routing)(nil)
	o.CodebookID, o.RoutingID, o.Seed = rec.Codebook, rec.Routing+1, 1
	if due == trainRouting {
		rt, err = codec.TrainRouting(ctx, cb, sample, o)
	} else {
		o.CodebookID++
		cb, rt, err = codec.Train(ctx, sample, o)
	}
	if err != nil {
		return fmt.Errorf("colbertdb: training: %w", err)
	}
	var tasks []compaction.Task
	if due == trainFirst {
		for i := range v.segs {
			tasks = append(tasks, compaction.Task{From: i, To: i + 1, Reason: compaction.ReasonTrain})
		}
	}
	return e.replace(ctx, c, v, tasks, v.space.with(cb, rt))
}

// trainingDue decides what a version of a collection calls for. While segments
// have yet to follow to the current space nothing is: so there are at most two.
func (e *Engine) trainingDue(v *version, routingTokens, tokens int64) training {
	switch {
	case tokens < e.opts.TrainTokens || v.space.profile.PLAIDBits() > 0: // an imported codebook stays
		return trainNothing
	case !v.space.coded():
		return trainFirst
	case e.opts.DisableRetraining || v.outdated() > 0:
		return trainNothing
	case e.drifted(v, tokens):
		return trainCodec
	case float64(tokens) >= e.opts.RoutingGrowth*float64(routingTokens) && codec.DesignCentroids(tokens) > v.space.routing.NumCentroids():
		return trainRouting
	}
	return trainNothing
}

// drifted compares the residual norms of what was written since the codebook
// was trained with those of the training.
func (e *Engine) drifted(v *version, tokens int64) bool {
	recent := v.recentResiduals()
	// An eighth of the collection: a kind of document that stays hard after a
	// training is trained for again only as the collection grows.
	if recent.Tokens < e.opts.DriftTokens || recent.Tokens < tokens/8 {
		return false
	}
	return e.opts.unlike(recent, v.space.codebook)
}

// unlike reports whether residual norms differ from those of the training.
func (o *Options) unlike(recent *codec.ResidualStats, cb *codec.Codebook) bool {
	return float64(recent.Outliers) > o.DriftOutliers || float64(recent.Mean) > (1+o.DriftResidual)*float64(cb.ResidualNorm)
}

// recentResiduals adds up the residuals of the segments most of whose documents
// were written since the codebook was trained.
func (v *version) recentResiduals() *codec.ResidualStats {
	recent, num := new(codec.ResidualStats), v.trainedNum
	for _, s := range v.segs {
		m := s.Meta()
		if m.Last >= num && 2*(m.Last-max(m.First, num)+1) > m.Last-m.First && s.space.codebookID() == v.space.codebookID() {
			recent.Add(m.Residuals)
		}
	}
	return recent
}

// outdated is the number of segments that are not in the current space yet.
func (v *version) outdated() (n int) {
	for _, s := range v.segs {
		if s.space.codebookID() != v.space.codebookID() || s.space.routingID() != v.space.routingID() {
			n++
		}
	}
	return n
}

// sample draws whole live documents evenly over the segments, about limit of
// their tokens, with their mean squared error. There are some: training starts
// above Options.TrainTokens.
func (v *version) sample(ctx context.Context, limit int, tokens int64) (out codec.Matrix, distortion float64, err error) {
	out.Dim = v.space.dim
	stride := int(tokens/int64(limit)) + 1
	// At once, with some room for documents of unequal lengths: to grow it would
	// copy hundreds of megabytes in one go, in which no search can be let in.
	out.Data = make([]float32, 0, int(tokens)/stride*out.Dim*17/16)
	var buf segment.Buffer
	var m codec.Matrix
	n := 0
	for _, s := range v.segs {
		rep := s.space.representation()
		for ord := range s.Len() {
			if !s.isLive(ord) {
				continue
			}
			if n++; n%stride != 0 {
				continue
			}
			if err := pace.Point(ctx); err != nil {
				return out, 0, err
			}
			view, err := s.View(ord, rep, &buf)
			if err != nil {
				return out, 0, err
			}
			distortion += codec.Distortion(view, s.space.dim, rep) * float64(view.Tokens)
			codec.Reconstruct(s.space.codebook, s.space.dim, view, rep, &m)
			out.Data = append(out.Data, m.Data...)
		}
	}
	return out, distortion / float64(max(1, out.Len())), nil
}

// liveTokens is the number of token vectors of the live documents in segments.
func (v *version) liveTokens() (n int64) {
	for _, s := range v.segs {
		_, tokens := s.liveCounts()
		n += tokens
	}
	return n
}
