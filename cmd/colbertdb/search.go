package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/ingest"
	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
)

type searchCmd struct {
	Query       []string `arg:"" optional:"" help:"What to look for."`
	Mode        string   `enum:"late-interaction,bm25,rerank,hybrid" default:"late-interaction" help:"late-interaction (MaxSim), bm25 (words alone; needs no model), rerank (MaxSim of the best 100 by BM25) or hybrid (both, fused)."`
	Vectors     string   `placeholder:"FILE" help:"Search with the token vectors of a .json or .npy file instead; needs no model. With --mode rerank or hybrid, beside the words."`
	K           int      `short:"k" default:"10" help:"Number of hits."`
	Effort      string   `enum:"fast,default,high,full" default:"default" help:"fast, default, high, or full (every document is a candidate)."`
	Exact       bool     `help:"Score every document: no candidate generation."`
	NProbe      int      `help:"Centroids probed for each query token. Default: by effort."`
	NCandidates int      `help:"Documents scored in the first stage; with --mode rerank, documents reranked, with hybrid, of each list. Default: by effort, 100 with modes."`
	NFullScores int      `help:"Documents scored in the last stage. Default: by effort."`
	Filter      string   `placeholder:"EXPR" help:"Only documents whose attributes match: year >= 2020 and lang = \"en\", or JSON."`
	GroupBy     string   `placeholder:"ATTR" help:"Best passages of each value of an attribute. Default: path (the file), or passage for collections made of lines and symbols."`
	NoGroup     bool     `help:"Every passage by itself, and every window of a long one."`
	Explain     bool     `help:"Show which word each query token matched, and how well."`
	Lines       int      `default:"4" help:"Lines of text shown for each passage; 0: all."`
}

// groupPassages is how many passages of a group are shown.
const groupPassages = 3

// searchOutput is the JSON of search.
type searchOutput struct {
	Query      string      `json:"query,omitempty"`
	Hits       []hitOutput `json:"hits"`
	Documents  int         `json:"documents"`
	Candidates int         `json:"candidates"`
	Scored     int         `json:"scored"`
	Exhaustive bool        `json:"exhaustive"` // every matching document was scored
	Took       []stageTime `json:"took"`
	TotalUS    int64       `json:"total_us"`
	// Filter says how the filter was evaluated; with --explain.
	Filter *engine.FilterPlan `json:"filter,omitempty"`
	Seq    uint64             `json:"seq"`
}

type stageTime struct {
	Stage        string `json:"stage"`
	Microseconds int64  `json:"us"`
}

type hitOutput struct {
	Rank       int             `json:"rank,omitempty"`
	ID         string          `json:"id"`
	Score      float32         `json:"score"`
	Text       string          `json:"text,omitempty"`
	Attributes json.RawMessage `json:"attributes,omitempty"`
	Highlights []markOutput    `json:"highlights,omitempty"`
	Explain    []matchOutput   `json:"explain,omitempty"`
	// Terms are the terms of the query that it has, with --explain.
	Terms    []engine.TermMatch `json:"terms,omitempty"`
	Passages []hitOutput        `json:"passages,omitempty"`
}

// markOutput is a matched word: bytes of the hit's text.
type markOutput struct {
	Start  int     `json:"start"`
	End    int     `json:"end"`
	Weight float32 `json:"weight"`
}

// matchOutput is one query token's best document token. The score of a hit is
// the sum of similarity times weight.
type matchOutput struct {
	Query      string  `json:"query_token,omitempty"`
	Token      int     `json:"document_token"`
	Word       string  `json:"word,omitempty"`
	Similarity float32 `json:"similarity"`
	Weight     float32 `json:"weight"`
}

func (c *searchCmd) Run(a *app) (err error) {
	text := strings.Join(c.Query, " ")
	mode, err := engine.ParseMode(c.Mode)
	if err != nil {
		return usageError{err}
	}
	switch {
	case mode == engine.ModeLateInteraction && (text == "") == (c.Vectors == ""):
		return usagef("give either query words or --vectors FILE")
	case mode != engine.ModeLateInteraction && text == "":
		return usagef("--mode %s needs query words", mode)
	case mode == engine.ModeBM25 && c.Vectors != "":
		return usagef("--mode %s takes no --vectors", mode)
	}
	if c.K < 1 {
		return usagef("-k must be at least 1")
	}
	req := engine.SearchRequest{
		Mode: mode, Text: text, K: c.K, Exact: c.Exact, NProbe: c.NProbe, NCandidates: c.NCandidates, NFullScores: c.NFullScores,
		GroupBy: c.GroupBy, Explain: true,
	}
	if req.Effort, err = engine.ParseEffort(c.Effort); err != nil {
		return usageError{err}
	}
	if req.Filter, err = parseFilter(c.Filter); err != nil {
		return usageError{err}
	}
	if c.Vectors != "" {
		if req.Vectors, req.Weights, err = ingest.ReadVectors(c.Vectors); err != nil {
			return err
		}
	}
	db, err := a.readStore()
	if err != nil {
		return err
	}
	defer closing(&err, db)
	var col *engine.Collection
	var enc encoder.Encoder
	if c.Vectors != "" || mode == engine.ModeBM25 {
		col, err = db.Collection(a.Collection)
	} else if col, enc, err = a.withModel(db, a.Collection); err == nil {
		defer closing(&err, enc)
	}
	if err != nil {
		return err
	}
	if mode != engine.ModeLateInteraction {
		if x, err := col.TextIndex(); err != nil {
			return err
		} else if x == nil {
			return fmt.Errorf("collection %q has no text index for --mode %s: colbertdb attributes --text english makes one", a.Collection, mode)
		}
	}
	if c.GroupBy == "" && !c.NoGroup {
		if req.GroupBy, err = groupsOf(a, col); err != nil {
			return err
		}
	}
	if c.NoGroup {
		req.GroupBy = ""
	}
	if req.GroupBy != "" {
		req.GroupSize = groupPassages
	}
	res, err := col.Search(a.ctx, req)
	if err != nil {
		return err
	}
	v := viewer{enc: enc, explain: c.Explain, lines: c.Lines, groupBy: req.GroupBy, tokens: res.QueryTokens}
	if a.JSON {
		return a.printJSON(v.output(text, res))
	}
	v.style = a.style(a.stdout)
	v.print(a, res)
	return nil
}

func parseFilter(s string) (*engine.Filter, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	return engine.ParseFilter(s)
}

// groupsOf is "path" for a collection whose passages are parts of files, which
// its first document tells, else "passage": only the windows of one passage
// have that in common.
func groupsOf(a *app, col *engine.Collection) (string, error) {
	for d, err := range col.All(a.ctx, engine.WithoutVectors()) {
		if err != nil {
			return "", err
		}
		if placeOf(d.Attributes).Path != "" {
			return attrPath, nil
		}
		break
	}
	return attrPassage, nil
}

// viewer shows hits to people and scripts.
type viewer struct {
	enc     encoder.Encoder // nil: matches have no words
	style   render.Style
	explain bool
	groupBy string
	lines   int
	tokens  []string // of the query
}

// matches says where in a hit's text each query token found its best match.
func (v *viewer) matches(h *engine.Hit) []render.Match {
	if h.Explain == nil || v.enc == nil || h.Text == "" {
		return nil
	}
	spans := v.enc.DocumentSpans(h.Text)
	out := make([]render.Match, len(h.Explain.Tokens))
	for i, t := range h.Explain.Tokens {
		m := render.Match{Query: v.token(i), Similarity: h.Explain.Sims[i]}
		if t >= 0 && int(t) < len(spans) {
			m.Start, m.End = spans[t].Start, spans[t].End
		}
		out[i] = m
	}
	return out
}

// token is the i-th piece of a text query.
func (v *viewer) token(i int) string {
	if i < len(v.tokens) {
		return v.tokens[i]
	}
	return ""
}

// word is the matched piece of text.
func word(text string, m render.Match) string {
	if m.Start < 0 || m.Start >= m.End || m.End > len(text) {
		return ""
	}
	return strings.TrimSpace(text[m.Start:m.End])
}

func (v *viewer) output(query string, res *engine.SearchResult) searchOutput {
	out := searchOutput{
		Query: query, Hits: make([]hitOutput, 0, len(res.Hits)), Documents: res.Documents, Candidates: res.Candidates,
		Scored: res.Scored, Exhaustive: res.Exhaustive, TotalUS: res.Took.Microseconds(), Seq: res.Seq,
	}
	if v.explain {
		out.Filter = res.Filter
	}
	for _, s := range res.Stages {
		out.Took = append(out.Took, stageTime{s.Name, s.Duration.Microseconds()})
	}
	for i := range res.Hits {
		out.Hits = append(out.Hits, v.hitOutput(&res.Hits[i]))
	}
	return out
}

func (v *viewer) hitOutput(h *engine.Hit) hitOutput {
	o := hitOutput{Rank: h.Rank, ID: h.ID, Score: h.Score, Text: h.Text, Attributes: h.Attributes}
	matches := v.matches(h)
	for _, m := range render.Marks(h.Text, matches) {
		o.Highlights = append(o.Highlights, markOutput{m.Start, m.End, m.Weight})
	}
	if v.explain && h.Explain != nil {
		o.Terms = h.Explain.Terms
		for i, t := range h.Explain.Tokens {
			e := matchOutput{Query: v.token(i), Token: int(t), Similarity: h.Explain.Sims[i], Weight: h.Explain.Weights[i]}
			if i < len(matches) {
				e.Word = word(h.Text, matches[i])
			}
			o.Explain = append(o.Explain, e)
		}
	}
	for i := range h.Passages {
		if len(h.Passages) == 1 && h.Passages[0].ID == h.ID {
			break // a group of one says nothing more
		}
		o.Passages = append(o.Passages, v.hitOutput(&h.Passages[i]))
	}
	return o
}

func (v *viewer) print(a *app, res *engine.SearchResult) {
	for i := range res.Hits {
		h := &res.Hits[i]
		head := fmt.Sprintf("%2d  %6.2f  ", h.Rank, h.Score)
		at := placeOf(h.Attributes)
		title, inFile := h.ID, false
		switch v.groupBy {
		case attrPath:
			title, inFile = firstOf(at.Path, h.ID), at.Path != ""
		case attrPassage:
			title = firstOf(at.Passage, h.ID)
		}
		a.printf("%s%s\n", head, v.style.Bold(render.Cut(render.Clean(title), v.width()-len(head))))
		if len(h.Passages) == 0 {
			v.passage(a, h, inFile, true)
		}
		for j := range h.Passages {
			v.passage(a, &h.Passages[j], inFile, j == 0)
		}
		a.printf("\n")
	}
	if len(res.Hits) == 0 {
		a.note("nothing found")
	}
	if v.explain && res.Filter != nil {
		v.filterPlan(a, res.Filter)
	}
	if !a.Quiet {
		a.printf("%s\n", v.style.Dim(render.Cut(tookLine(res), max(v.width(), 200))))
	}
}

// hitIndent is where passages start.
const hitIndent = 12

func (v *viewer) width() int {
	if v.style.Width > 0 {
		return v.style.Width
	}
	return render.DefaultWidth
}

// passage prints where a passage is and what it says. Under the name of its
// file that needs no repeating. Passages after the best are shown in two lines.
func (v *viewer) passage(a *app, h *engine.Hit, inFile, best bool) {
	indent := strings.Repeat(" ", hitIndent)
	at := placeOf(h.Attributes)
	var where []string
	switch file := firstOf(at.Path, at.File); {
	case inFile:
		where = append(where, fmt.Sprintf("%.2f", h.Score))
		if at.Line > 0 {
			where = append(where, fmt.Sprintf("line %d", at.Line))
		}
	case file != "" && at.Line > 0:
		where = append(where, fmt.Sprintf("%s:%d", file, at.Line))
	case file != "":
		where = append(where, file)
	}
	if name := firstOf(at.Heading, at.Symbol); name != "" && name != h.ID {
		where = append(where, name)
	}
	if len(where) > 0 {
		a.printf("%s%s\n", indent, v.style.Dim(render.Cut(render.Clean(strings.Join(where, " · ")), v.width()-hitIndent)))
	}
	matches := v.matches(h)
	lines := v.lines
	if lines <= 0 {
		lines = 1 << 30
	} else if !best {
		lines = min(lines, 2)
	}
	for _, line := range render.Snippet(v.style, h.Text, render.Marks(h.Text, matches), hitIndent, lines, at.isCode()) {
		a.printf("%s%s\n", indent, line)
	}
	if !v.explain || h.Explain == nil {
		return
	}
	for i, t := range h.Explain.Tokens {
		query, found := firstOf(v.token(i), fmt.Sprintf("token %d", i)), fmt.Sprintf("token %d", t)
		if i < len(matches) {
			if w := word(h.Text, matches[i]); w != "" {
				found = w
			}
		}
		a.printf("%s%s\n", indent, v.style.Dim(fmt.Sprintf("%-16s %6.3f × %.2f  %s", render.Cut(render.Clean(query), 16), h.Explain.Sims[i], h.Explain.Weights[i], render.Clean(found))))
	}
	for _, t := range h.Explain.Terms {
		a.printf("%s%s\n", indent, v.style.Dim(fmt.Sprintf("%-16s %6.3f  BM25, %d times", render.Cut(render.Clean(t.Term), 16), t.Score, t.Count)))
	}
}

func firstOf(names ...string) string {
	for _, n := range names {
		if n != "" {
			return n
		}
	}
	return ""
}

// filterPlan says what the filter left and which of its conditions an index
// answered.
func (v *viewer) filterPlan(a *app, p *engine.FilterPlan) {
	a.printf("%s\n", v.style.Dim(fmt.Sprintf("filter: %s of %s documents match; attributes of %s read",
		render.Count(int64(p.Matches)), render.Count(int64(p.Documents)), render.Count(int64(p.Scanned)))))
	for _, c := range p.Conditions {
		how := fmt.Sprintf("index, %s documents", render.Count(int64(c.Matches)))
		switch {
		case c.Indexed == 0:
			how = fmt.Sprintf("scan: no index; colbertdb attributes --index %q makes one", c.Attribute)
		case c.Indexed < c.Sources:
			how += fmt.Sprintf(" in %d of %d segments, the others are scanned", c.Indexed, c.Sources)
		}
		a.printf("%s\n", v.style.Dim(render.Clean(fmt.Sprintf("  %s: %s", c.Condition, how))))
	}
}

// tookLine is the last line: what was looked at, and how long each stage took.
func tookLine(res *engine.SearchResult) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s documents", render.Count(int64(res.Documents)))
	if res.Exhaustive {
		b.WriteString(", all candidates")
	} else {
		fmt.Fprintf(&b, ", %s candidates", render.Count(int64(res.Candidates)))
	}
	fmt.Fprintf(&b, ", %s scored, %s", render.Count(int64(res.Scored)), render.Duration(res.Took))
	sep := ": "
	for _, s := range res.Stages {
		if s.Duration >= time.Microsecond {
			fmt.Fprintf(&b, "%s%s %s", sep, s.Name, render.Duration(s.Duration))
			sep = ", "
		}
	}
	return b.String()
}
