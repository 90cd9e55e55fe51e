package encoder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/encoder/tokenizer"
)

// Batch is a rectangle of token ids for a model's graph: all slices are
// [Rows][Cols], row-major.
type Batch struct {
	Rows, Cols int
	IDs        []int64
	Mask       []int64 // 1 for tokens that are attended to
	Types      []int64 // all zero
	Lengths    []int   // tokens of each row; what follows is padding
}

// Session runs a model's graph. Run may be called from many goroutines; Laned says
// from how many to advantage. One with a method SkipsPadding() bool that returns true
// gets batches of less equal lengths, since it does not compute what follows a row's.
type Session interface {
	// Run returns the token vectors, [Rows][Cols][dim]float32, and dim.
	Run(ctx context.Context, b Batch) (vectors []float32, dim int, err error)
	Close() error
}

// ColBERT encodes by the conventions of Khattab and Zaharia (2020, section 3.2):
//
//	query     [CLS] marker tokens… [SEP] [MASK]…   every position gets a vector
//	document  [CLS] marker tokens… [SEP]           but for skip-listed tokens
//
// Config.Pooled may add vectors of the whole text to either.
// It implements Encoder over a Session.
type ColBERT struct {
	cfg     Config
	tok     *tokenizer.Tokenizer
	cutter  Cutter // nil: tok
	session Session
	info    Info
	skip    map[int]bool
	graph   string // its file, for errors
	// projects says that the graph stops before the folder's projection.
	projection projection
	projects   bool

	queries, documents *queue
}

var _ Encoder = (*ColBERT)(nil)

// NewColBERT returns the encoder of a model folder. It runs the session once, on
// an empty document, so that a graph that does not fit the folder's conventions
// is an error here. The encoder owns the session and
// the folder's cutter; after an error the caller does.
func NewColBERT(f *Folder, s Session, t Tuning) (*ColBERT, error) {
	c := &ColBERT{cfg: f.Config, tok: f.Tokenizer, cutter: f.Cutter, session: s, skip: map[int]bool{}, graph: f.GraphName, projection: f.projection, projects: f.projects}
	for _, word := range c.cfg.Skip {
		if id, ok := c.skipID(word); ok {
			c.skip[id] = true
		}
	}
	c.info = f.Info()
	queries, documents := 1, 1
	if l, ok := s.(Laned); ok {
		queries, documents = l.Lanes()
	}
	free := false
	if s, ok := s.(interface{ SkipsPadding() bool }); ok {
		free = s.SkipsPadding()
	}
	t = t.withDefaults()
	c.queries = &queue{run: c.run, lanes: queries, tuning: t, freePadding: free}
	t.Join = 0
	c.documents = &queue{run: c.run, lanes: documents, tuning: t, freePadding: free}
	if _, err := c.EncodeDocuments(context.Background(), []string{""}); err != nil {
		c.documents.close()
		return nil, err
	}
	return c, nil
}

// skipID is the token that a word of the skip list stands for: the one of that
// name, and in Stanford's code the first that the word is cut into.
func (c *ColBERT) skipID(word string) (int, bool) {
	if c.cfg.cfgName != stanfordFile {
		return c.tok.ID(word)
	}
	tokens := c.tok.Encode(word)
	if len(tokens) == 0 {
		return 0, false
	}
	return tokens[0].ID, true
}

// Info names the model.
func (c *ColBERT) Info() Info { return c.info }

// WithDocumentLength returns an encoder whose documents and windows have at most n
// tokens, markers included: no more than the model's own. It shares the session, which
// either of the two closes.
func (c *ColBERT) WithDocumentLength(n int) (Encoder, error) {
	if least := 1 + c.cfg.DocumentLength - c.room(c.cfg.DocumentMarker, c.cfg.DocumentLength); n < least || n > c.cfg.DocumentLength {
		return nil, fmt.Errorf("%w: documents of %d tokens, %s takes %d to %d", ErrModel, n, c.cfg.Name, least, c.cfg.DocumentLength)
	}
	short := *c
	short.cfg.DocumentLength, short.info.DocMaxLen = n, n
	return &short, nil
}

// Runtime says what the session runs on, "" where it does not tell.
func (c *ColBERT) Runtime() string {
	if r, ok := c.session.(interface{ Runtime() string }); ok {
		return r.Runtime()
	}
	return ""
}

// Close waits for calls that run and closes the session.
func (c *ColBERT) Close() error {
	c.queries.close()
	c.documents.close()
	err := c.session.Close()
	if c.cutter != nil {
		err = errors.Join(err, c.cutter.Close())
	}
	return err
}

// sequence is one text as the graph sees it.
type sequence struct {
	ids       []int
	mask      []int64
	spans     []Span
	truncated int
}

// sequence puts markers around a text's tokens and cuts it to length.
func (c *ColBERT) sequence(text string, marker *int, length int) sequence {
	tokens := c.cut(text)
	room := c.room(marker, length)
	var s sequence
	if len(tokens) > room {
		s.truncated = len(tokens) - room
		tokens = tokens[:room]
	}
	add := func(id int, span Span) {
		s.ids, s.spans, s.mask = append(s.ids, id), append(s.spans, span), append(s.mask, 1)
	}
	for i, id := range c.cfg.Before {
		add(id, Span{})
		if i == 0 && marker != nil {
			add(*marker, Span{})
		}
	}
	if len(c.cfg.Before) == 0 && marker != nil {
		add(*marker, Span{})
	}
	for _, t := range tokens {
		add(t.ID, trimmed(text, t))
	}
	for _, id := range c.cfg.After {
		add(id, Span{})
	}
	return s
}

// cut cuts a text into pieces.
func (c *ColBERT) cut(text string) []tokenizer.Token {
	if c.cutter != nil {
		return c.cutter.Encode(text)
	}
	return c.tok.Encode(text)
}

// trimmed is what a token stands for without white space around it, which
// byte-level pieces hold; all of it where there is nothing else.
func trimmed(text string, t tokenizer.Token) Span {
	piece := text[t.Start:t.End]
	start := len(piece) - len(strings.TrimLeftFunc(piece, unicode.IsSpace))
	if start == len(piece) {
		return Span{t.Start, t.End}
	}
	return Span{t.Start + start, t.Start + len(strings.TrimRightFunc(piece, unicode.IsSpace))}
}

// room returns how many tokens of a text fit between the special ones.
func (c *ColBERT) room(marker *int, length int) int {
	if marker != nil {
		length--
	}
	return length - len(c.cfg.Before) - len(c.cfg.After)
}

func (c *ColBERT) documentSequence(text string) sequence {
	s := c.sequence(text, c.cfg.DocumentMarker, c.cfg.DocumentLength)
	c.addPooled(&s)
	return s
}

// addPooled ends a sequence with the tokens in whose places the graph gives
// vectors of the whole text.
func (c *ColBERT) addPooled(s *sequence) {
	for _, id := range c.cfg.pooledIDs() {
		s.ids, s.spans, s.mask = append(s.ids, id), append(s.spans, Span{}), append(s.mask, 0)
	}
}

func (c *ColBERT) querySequence(text string) sequence {
	s := c.sequence(text, c.cfg.QueryMarker, c.cfg.QueryLength)
	if c.cfg.QueryExpansion {
		attend := int64(0)
		if c.cfg.AttendToExpansion {
			attend = 1
		}
		for len(s.ids) < c.cfg.QueryLength {
			s.ids, s.spans, s.mask = append(s.ids, c.cfg.MaskID), append(s.spans, Span{}), append(s.mask, attend)
		}
	}
	c.addPooled(&s)
	return s
}

// keeps reports whether a document's token gets a vector.
func (c *ColBERT) keeps(id int) bool { return !c.skip[id] }

// EncodeQueries encodes texts on the query side.
func (c *ColBERT) EncodeQueries(ctx context.Context, texts []string) ([]Query, error) {
	seqs := make([]sequence, len(texts))
	for i, t := range texts {
		seqs[i] = c.querySequence(t)
	}
	out := make([]Query, len(texts))
	err := c.queries.do(ctx, seqs, func(i int, vectors []float32) error {
		s := seqs[i]
		q := Query{Weights: c.weights(s.ids), Vectors: codec.NewMatrix(len(s.ids), c.cfg.Dim), Truncated: s.truncated, Tokens: make([]string, len(s.ids))}
		for t, id := range s.ids {
			q.Tokens[t] = c.tok.Piece(id)
			if err := unitRow(q.Vectors.Row(t), vectors[t*c.cfg.Dim:]); err != nil {
				return fmt.Errorf("query %.40q, token %q: %w", texts[i], q.Tokens[t], err)
			}
		}
		out[i] = q
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// weights returns the weights of a query's tokens, scaled to 1 on the mean so
// that scores stay comparable with unweighted ones; nil where the model has none
// or none above zero.
func (c *ColBERT) weights(ids []int) []float32 {
	if c.cfg.QueryWeights == nil {
		return nil
	}
	out := make([]float32, len(ids))
	var sum float64
	pooled := len(ids) - len(c.cfg.pooledIDs())
	for i, id := range ids[:pooled] {
		out[i] = c.cfg.QueryWeights[id]
		sum += float64(out[i])
	}
	if p := c.cfg.Pooled; p != nil {
		above := max(0, sum-float64(p.Least))
		for i, w := range p.Weights {
			out[pooled+i] = float32(above * float64(w))
			sum += float64(out[pooled+i])
		}
	}
	if sum == 0 {
		return nil
	}
	for i := range out {
		out[i] = float32(float64(out[i]) * float64(len(ids)) / sum)
	}
	return out
}

// EncodeDocuments encodes texts on the document side.
func (c *ColBERT) EncodeDocuments(ctx context.Context, texts []string) ([]Document, error) {
	seqs := make([]sequence, len(texts))
	for i, t := range texts {
		seqs[i] = c.documentSequence(t)
	}
	out := make([]Document, len(texts))
	err := c.documents.do(ctx, seqs, func(i int, vectors []float32) error {
		s := seqs[i]
		d := Document{Vectors: codec.Matrix{Dim: c.cfg.Dim}, Truncated: s.truncated}
		d.Vectors.Data = make([]float32, 0, len(s.ids)*c.cfg.Dim)
		row := make([]float32, c.cfg.Dim)
		for t, id := range s.ids {
			if !c.keeps(id) {
				continue
			}
			if err := unitRow(row, vectors[t*c.cfg.Dim:]); err != nil {
				return fmt.Errorf("document %.40q, token %q: %w", texts[i], c.tok.Piece(id), err)
			}
			d.Vectors.Data = append(d.Vectors.Data, row...)
			d.Spans = append(d.Spans, s.spans[t])
		}
		out[i] = d
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// unitRow writes a vector at unit length.
func unitRow(dst, src []float32) error {
	var norm float64
	for _, x := range src[:len(dst)] {
		norm += float64(x) * float64(x)
	}
	if math.IsNaN(norm) || math.IsInf(norm, 0) || norm == 0 {
		return fmt.Errorf("%w: the model's vector has norm² %v", codec.ErrBadVector, norm)
	}
	inv := 1 / math.Sqrt(norm)
	for d := range dst {
		dst[d] = float32(float64(src[d]) * inv)
	}
	return nil
}

// run feeds a batch to the graph and hands each sequence its vectors, [len(ids)][dim].
func (c *ColBERT) run(ctx context.Context, seqs []*sequence, each func(i int, vectors []float32)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	rows, cols := len(seqs), 0
	for _, s := range seqs {
		cols = max(cols, len(s.ids))
	}
	b := Batch{Rows: rows, Cols: cols, Lengths: make([]int, rows)}
	b.IDs, b.Mask, b.Types = make([]int64, rows*cols), make([]int64, rows*cols), make([]int64, rows*cols)
	for r, s := range seqs {
		b.Lengths[r] = len(s.ids)
		for t := range cols {
			b.IDs[r*cols+t] = int64(c.cfg.PadID)
			if t < len(s.ids) {
				b.IDs[r*cols+t], b.Mask[r*cols+t] = int64(s.ids[t]), s.mask[t]
			}
		}
	}
	vectors, dim, err := c.session.Run(ctx, b)
	if err != nil {
		return err
	}
	if c.projects && dim == c.projection.in() && len(vectors) == rows*cols*dim {
		vectors, dim = c.projection.apply(vectors, rows*cols), c.projection.out()
	}
	if full := cmp.Or(c.cfg.FullDim, c.cfg.Dim); dim == full && len(vectors) == rows*cols*dim {
		vectors, dim = cutVectors(vectors, dim, c.cfg.Dim), c.cfg.Dim
	}
	if dim != c.cfg.Dim || len(vectors) != rows*cols*dim {
		return fmt.Errorf("%w: %s: %s says dimension %d, %s gives %d (%d values for %d × %d tokens)",
			ErrModel, c.info.Location, c.cfg.cfgName, c.cfg.Dim, c.graph, dim, len(vectors), rows, cols)
	}
	for r := range seqs {
		each(r, vectors[r*cols*dim:(r+1)*cols*dim])
	}
	return nil
}

// cutVectors keeps the first components of each vector, in place.
func cutVectors(vectors []float32, dim, keep int) []float32 {
	if keep == dim {
		return vectors
	}
	n := len(vectors) / dim
	for i := range n {
		copy(vectors[i*keep:], vectors[i*dim:i*dim+keep])
	}
	return vectors[:n*keep]
}

// DocumentSpans returns the spans of the vectors that EncodeDocuments gives.
func (c *ColBERT) DocumentSpans(text string) []Span {
	s := c.documentSequence(text)
	var out []Span
	for t, id := range s.ids {
		if c.keeps(id) {
			out = append(out, s.spans[t])
		}
	}
	return out
}
