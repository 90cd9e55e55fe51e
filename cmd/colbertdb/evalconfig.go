package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/bench"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
)

// evalConfig is one way to store and search a collection.
type evalConfig struct {
	Name string

	// What the model makes of a text.
	Model     string
	NoWindows bool // cut documents at the model's window
	Window    int  // tokens of a window; 0: the model's
	MaxTokens int  // tokens of a document that are kept; 0: all
	Pool      int  // factor; 0 and 1: none

	// What is stored of it.
	Profile   engine.Profile
	RetainRaw bool

	// How it is searched.
	Mode   engine.Mode
	BM25   engine.BM25
	Fusion engine.Fusion
	Point  bench.Point
	Exact  bool
}

// evalSettings names what a --config may say.
const evalSettings = "name=, model=, profile=, raw, no-windows, window=, max-tokens=, pool=, mode=, k1=, b=, weight=, rrf=, effort= (or probes/candidates/full scores), exact"

// set changes a configuration by one setting, name or name=value.
func (c *evalConfig) set(setting string) (err error) {
	name, value, valued := strings.Cut(strings.TrimSpace(setting), "=")
	number := func(to *int) {
		if *to, err = strconv.Atoi(value); err != nil || *to < 1 {
			err = fmt.Errorf("%s: want a number from 1 on", setting)
		}
	}
	real := func(to *float64) {
		if *to, err = strconv.ParseFloat(value, 64); err != nil || *to < 0 {
			err = fmt.Errorf("%s: want a number from 0 on", setting)
		}
	}
	flag := func(to *bool) {
		*to = value != "false"
		if valued && value != "true" && value != "false" {
			err = fmt.Errorf("%s: want true or false", setting)
		}
	}
	switch name {
	case "name":
		c.Name = value
	case "model":
		c.Model = value
	case "profile":
		c.Profile, err = engine.ParseProfile(value)
	case "raw":
		flag(&c.RetainRaw)
	case "no-windows":
		flag(&c.NoWindows)
	case "window":
		number(&c.Window)
	case "max-tokens":
		number(&c.MaxTokens)
	case "pool":
		number(&c.Pool)
	case "mode":
		c.Mode, err = engine.ParseMode(value)
	case "k1":
		real(&c.BM25.K1)
	case "b":
		real(&c.BM25.B)
	case "weight":
		c.Fusion.Weight = new(float64)
		real(c.Fusion.Weight)
	case "rrf":
		c.Fusion.RRF = true
		real(&c.Fusion.RankConstant)
	case "effort":
		c.Point, err = bench.ParsePoint(value)
	case "exact":
		flag(&c.Exact)
	default:
		err = fmt.Errorf("%q: a configuration is made of %s", setting, evalSettings)
	}
	return err
}

// configs returns the configurations to compare: those of --config, each beginning
// with what the other flags say, or these alone.
func (c *evalCmd) configs(a *app) ([]evalConfig, error) {
	base := evalConfig{Model: a.Model, NoWindows: c.NoWindows, Window: c.Window, MaxTokens: c.MaxTokens, Pool: c.Pool, RetainRaw: c.RetainRaw, Exact: c.Exact, BM25: engine.DefaultBM25}
	var err error
	if base.Mode, err = engine.ParseMode(c.Mode); err != nil {
		return nil, usageError{err}
	}
	if base.Profile, err = engine.ParseProfile(cmp.Or(c.Profile, engine.Exact.String())); err != nil {
		return nil, usageError{err}
	}
	if base.Point, err = bench.ParsePoint(c.Effort); err != nil {
		return nil, usageError{err}
	}
	if len(c.Config) == 0 {
		base.Name = "default"
		return []evalConfig{base}, nil
	}
	var out []evalConfig
	seen := map[string]bool{}
	for _, text := range c.Config {
		one := base
		for setting := range strings.SplitSeq(text, ",") {
			if err := one.set(setting); err != nil {
				return nil, usagef("--config %s: %w", text, err)
			}
		}
		one.Name = cmp.Or(one.Name, text)
		if seen[one.Name] {
			return nil, usagef("--config: two are named %q", one.Name)
		}
		seen[one.Name] = true
		out = append(out, one)
	}
	return out, nil
}

// encoding names what the model makes of texts, before pooling: configurations with the
// same one share their vectors.
func (c *evalConfig) encoding() string {
	var parts []string
	if c.NoWindows {
		parts = append(parts, "cut")
	}
	for name, n := range map[string]int{"w": c.Window, "max": c.MaxTokens} {
		if n > 0 {
			parts = append(parts, name+strconv.Itoa(n))
		}
	}
	return c.Model + "\x00" + strings.Join(sorted(parts), "-")
}

// storage names what is stored, within an encoding.
func (c *evalConfig) storage() string {
	s := c.Profile.String()
	if c.RetainRaw {
		s += "-raw"
	}
	if c.Pool > 1 {
		s += "-pool" + strconv.Itoa(c.Pool)
	}
	return s
}

// request is a search of k hits.
func (c *evalConfig) request(k int) engine.SearchRequest {
	return engine.SearchRequest{K: k, Mode: c.Mode, BM25: &c.BM25, Fusion: c.Fusion, Exact: c.Exact, Effort: c.Point.Effort, NProbe: c.Point.NProbe, NCandidates: c.Point.NCandidates, NFullScores: c.Point.NFullScores}
}

// open loads the model of a configuration, or recorded, where a collection names one,
// and makes it encode as the configuration says, but for pooling. The caller closes it.
func (c *evalConfig) open(a *app, recorded *engine.Model) (encoder.Encoder, error) {
	location := cmp.Or(c.Model, modelBundled)
	if c.Model == "" && recorded != nil {
		location = recorded.Location
	}
	enc, err := a.loadModel(location)
	if err != nil {
		return nil, err
	}
	if c.Window > 0 {
		if enc, err = shorter(enc, c.Window); err != nil {
			return nil, err
		}
	}
	if c.MaxTokens > 0 {
		enc = beginning{enc, c.MaxTokens}
	}
	return enc, nil
}

// shorter returns an encoder of shorter documents, or closes the one given.
func shorter(enc encoder.Encoder, tokens int) (encoder.Encoder, error) {
	l, _ := enc.(located)
	s, ok := l.Encoder.(interface {
		WithDocumentLength(n int) (encoder.Encoder, error)
	})
	if !ok {
		return nil, errors.Join(fmt.Errorf("%s has windows of one length", enc.Info().Name), enc.Close())
	}
	short, err := s.WithDocumentLength(tokens)
	if err != nil {
		return nil, errors.Join(err, enc.Close())
	}
	return located{short, l.location}, nil
}

// beginning is an encoder whose windows cover the first tokens of a text alone.
type beginning struct {
	encoder.Encoder
	tokens int
}

func (b beginning) Windows(text string, overlap int) []encoder.Span {
	left := b.tokens
	for _, w := range b.Encoder.Windows(text, 0) {
		for _, s := range b.DocumentSpans(text[w.Start:w.End]) {
			if s.Start == s.End { // a special token
				continue
			}
			if left == 0 {
				return b.Encoder.Windows(text[:w.Start+s.Start], overlap)
			}
			left--
		}
	}
	return b.Encoder.Windows(text, overlap)
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}
