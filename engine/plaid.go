package engine

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/segment"
	"github.com/colbertdb-go/colbertdb/segment/plaid"
)

// Indexes of other programs come in as they are, codes and residual bits, and go
// out again. docs/rfcs/0006-imported-indexes.md.

// ImportOptions configure ImportPLAID. The zero value is ready to use.
type ImportOptions struct {
	// Encoder is the model that the index was made with, for queries by text and
	// later documents. Default: none, both come as vectors.
	Encoder encoder.Encoder
	// Describe gives a document, by its number in the index and the id that it has
	// there, the id, text and attributes that are stored; its vectors are left alone.
	// It is called in order, for documents that have token vectors. Default: the
	// index's id, or the number in decimal where it has none.
	Describe func(number int, d *Document) error
	// Progress is called now and then, by the goroutine that imports.
	Progress func(ImportProgress)
}

// ImportProgress says how far an import is.
type ImportProgress struct {
	Documents, Total int64 // read, and in the index
	Stored           int64 // durable and seen by searches
}

// ImportResult says what an import did.
type ImportResult struct {
	Form      string `json:"form"`
	Bits      int    `json:"bits"`
	Centroids int    `json:"centroids"`
	Documents int64  `json:"documents"` // of the index, with token vectors
	Tokens    int64  `json:"tokens"`
	Before    int64  `json:"before"` // of Documents, stored by an earlier call
	Empty     int    `json:"empty"`  // documents without a token vector, which are left out
}

// ImportPLAID makes a collection of an index folder of Stanford ColBERT, PyLate,
// fast-plaid or next-plaid, without computing a vector: codes and residual bits are
// stored as they are and searched as they are. The collection has the profile
// PLAID1 to PLAID8 and keeps the index's codebook for good; later upserts are encoded
// with it.
//
// Documents become visible a segment at a time. A call that ended early is resumed
// by the next with the same folder; a complete import is not repeated. A collection
// of that name that is not of this index is ErrCollectionExists. Like a bulk load, an
// import is not in the log: Changes and RestoreTo say so.
func (e *Engine) ImportPLAID(ctx context.Context, name, dir string, o *ImportOptions) (*ImportResult, error) {
	if e.opts.ReadOnly {
		return nil, fmt.Errorf("%w: opened with Options.ReadOnly", ErrReadOnly)
	}
	if err := validName(name); err != nil {
		return nil, err
	}
	if o == nil {
		o = &ImportOptions{}
	}
	x, err := plaid.Open(dir)
	if err != nil {
		return nil, err
	}
	ids, err := readOwnIDs(dir, x)
	if err != nil {
		return nil, err
	}
	h, err := e.plaidCollection(ctx, name, x, o.Encoder)
	if err != nil {
		return nil, err
	}
	i := &plaidImport{h: h, x: x, ids: ids, o: o}
	return i.run(ctx)
}

// plaidSource is what is carried along of an index: PLAID.Source.
type plaidSource struct {
	Form     plaid.Form      `json:"form"`
	Metadata json.RawMessage `json:"metadata"`
}

// plaidCollection opens or makes the collection of an index.
func (e *Engine) plaidCollection(ctx context.Context, name string, x *plaid.Index, enc encoder.Encoder) (*Collection, error) {
	profile, err := codec.PLAIDProfile(x.Codebook.Bits)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	p := x.Codebook
	if p.Source, err = json.Marshal(plaidSource{x.Form, x.Metadata}); err != nil {
		return nil, err
	}
	r := collectionRecord{
		Name: name, Dim: p.Dim, Profile: profile.String(), Codebook: 1, Routing: 1, RoutingTokens: x.Tokens,
	}
	if enc != nil {
		m := modelOf(enc)
		r.Model = &m
		r.indexText(AnalyzerEnglish) // as in CollectionConfig
		if dim := enc.Info().Dim; dim != p.Dim {
			return nil, fmt.Errorf("%w: the index has dimension %d, the model %d", ErrDimension, p.Dim, dim)
		}
	}
	h, err := e.Collection(name)
	if errors.Is(err, ErrCollectionNotFound) {
		cb, rt, err := codec.NewPLAIDCodebook(ctx, 1, 1, p)
		if err != nil {
			return nil, err
		}
		err = e.publishing(ctx, func(ctx context.Context) error {
			e.mu.Lock()
			there := e.resolve(name)
			e.mu.Unlock()
			if there != nil { // another call was first
				return nil
			}
			if err := e.disk.grow(0); err != nil {
				return err
			}
			r.ID = e.newCollectionID()
			return e.createWith(ctx, &r, cb, rt)
		})
		if err != nil {
			return nil, err
		}
		h, err = e.Collection(name)
		if err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	if err := r.sameConfig(&h.c.config); err != nil {
		return nil, err
	}
	have, err := h.codebook()
	if err != nil {
		return nil, err
	}
	if have == nil || !samePLAID(have, p) {
		return nil, fmt.Errorf("%w: collection %q has another codebook than the index; import into a new collection", ErrCollectionExists, name)
	}
	if enc != nil {
		return h, WithEncoder(enc)(h)
	}
	return h, nil
}

// codebook returns the imported codebook, nil where the collection has none.
func (h *Collection) codebook() (*codec.PLAID, error) {
	v, err := h.c.acquire()
	if err != nil {
		return nil, err
	}
	defer h.c.release(v)
	if !v.space.coded() {
		return nil, nil
	}
	return v.space.codebook.PLAID, nil
}

func samePLAID(a, b *codec.PLAID) bool {
	same := func(x, y codec.Floats) bool { return x.Type == y.Type && bytes.Equal(x.Data, y.Data) }
	return a.Dim == b.Dim && a.Bits == b.Bits && same(a.Centroids, b.Centroids) && same(a.Cutoffs, b.Cutoffs) && same(a.Weights, b.Weights)
}

// plaidImport loads the documents of an index.
type plaidImport struct {
	h    *Collection
	x    *plaid.Index
	ids  []string // of a folder that ExportPLAID wrote, nil without
	o    *ImportOptions
	load *Bulk
	cb   *codec.Codebook
	ops  []op
	read int64 // documents with vectors
}

// token names the load, so that another call goes on with it.
func (i *plaidImport) token() string {
	h := sha256.New()
	for _, f := range []codec.Floats{i.x.Codebook.Centroids, i.x.Codebook.Weights} {
		h.Write(f.Data)
	}
	fmt.Fprintln(h, i.x.Form, i.x.Documents, i.x.Tokens)
	return "plaid:" + hex.EncodeToString(h.Sum(nil)[:16])
}

func (i *plaidImport) run(ctx context.Context) (_ *ImportResult, err error) {
	i.load, err = i.h.Bulk(ctx, BulkOptions{Token: i.token()})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, i.load.Close()) }()
	i.cb = i.load.space.codebook
	out := &ImportResult{
		Form: string(i.x.Form), Bits: i.x.Codebook.Bits, Centroids: i.x.Codebook.NumCentroids(),
		Documents: int64(i.x.Documents - i.x.Empty), Tokens: i.x.Tokens, Empty: i.x.Empty, Before: i.load.Documents(),
	}
	for d, err := range i.x.Each(ctx) {
		if err != nil {
			return nil, err
		}
		if d.Tokens == 0 {
			continue
		}
		if i.read++; i.read <= out.Before {
			continue
		}
		if err := i.add(ctx, d); err != nil {
			return nil, err
		}
	}
	if err := i.flush(ctx); err != nil {
		return nil, err
	}
	return out, i.load.Commit(ctx)
}

// add takes one document.
func (i *plaidImport) add(ctx context.Context, d plaid.Document) error {
	doc := Document{ID: d.ID}
	if i.ids != nil {
		doc.ID = i.ids[d.Number]
	}
	if i.o.Describe != nil {
		if err := i.o.Describe(d.Number, &doc); err != nil {
			return err
		}
	}
	enc, err := i.cb.EncodedPLAID(bytes.Clone(d.Records))
	if err != nil {
		return fmt.Errorf("document %q: %w", doc.ID, err)
	}
	if err := doc.validateFields(); err != nil {
		return err
	}
	i.ops = append(i.ops, op{kind: opUpsert, id: doc.ID, text: doc.Text, attrs: bytes.Clone(doc.Attributes), dim: i.cb.Dim, enc: enc})
	if len(i.ops) < bulkBatchDocuments {
		return nil
	}
	return i.flush(ctx)
}

// flush passes the documents in hand to the load.
func (i *plaidImport) flush(ctx context.Context) error {
	if len(i.ops) == 0 {
		return nil
	}
	ops := i.ops
	i.ops = nil
	for len(ops) > 0 { // each by itself: an index is no batch of an upsert
		if err := i.load.usable(); err != nil {
			return err
		}
		if err := i.load.add(ctx, ops[:1:1]); err != nil {
			return err
		}
		ops = ops[1:]
	}
	if i.o.Progress != nil {
		i.o.Progress(ImportProgress{Documents: i.read, Total: int64(i.x.Documents - i.x.Empty), Stored: i.load.Documents()})
	}
	return nil
}

// ownIDs is a file that ExportPLAID adds to forms without ids: a JSON list.
const ownIDs = "colbertdb.ids.json"

// readOwnIDs reads it, nil where there is none.
func readOwnIDs(dir string, x *plaid.Index) (ids []string, err error) {
	b, err := os.ReadFile(filepath.Join(dir, ownIDs))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &ids)
	}
	if err == nil && len(ids) != x.Documents {
		err = fmt.Errorf("%d ids for %d documents", len(ids), x.Documents)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", plaid.ErrFormat, filepath.Join(dir, ownIDs), err)
	}
	return ids, nil
}

// PLAIDForms lists the forms of index folders.
func PLAIDForms() []string {
	var out []string
	for _, f := range plaid.Forms {
		out = append(out, string(f))
	}
	return out
}

// ExportedPLAID says what ExportPLAID wrote.
type ExportedPLAID struct {
	Form      string `json:"form"`
	Documents int64  `json:"documents"`
	Tokens    int64  `json:"tokens"`
}

// ExportPLAID writes a collection that ImportPLAID made to an index folder of a form:
// "stanford", "pylate-stanford", "fast-plaid", "pylate" or "next-plaid"; "" is the
// form that it came in. The live documents go out in the order of their last upsert,
// codes and residual bits as they are. The folder must not be there or be empty; it
// appears whole or not at all. Forms without ids get a file colbertdb.ids.json beside,
// where the ids are not the documents' numbers. Text and attributes have no place in
// such a folder.
func (h *Collection) ExportPLAID(ctx context.Context, dir, form string) (_ *ExportedPLAID, err error) {
	if err := h.c.engine.enter(); err != nil {
		return nil, err
	}
	defer h.c.engine.exit()
	v, err := h.c.acquire()
	if err != nil {
		return nil, err
	}
	defer h.c.release(v)
	if !v.space.coded() || v.space.codebook.PLAID == nil {
		return nil, fmt.Errorf("%w: collection %q came from no index and has no codebook of that kind; export its vectors", ErrInvalid, h.c.name)
	}
	p := v.space.codebook.PLAID
	var source plaidSource
	if err := json.Unmarshal(p.Source, &source); err != nil {
		return nil, &segment.CorruptionError{Where: "codebook", Err: err}
	}
	as, err := plaid.ParseForm(cmp.Or(form, string(source.Form)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var o plaid.WriterOptions
	if as == source.Form {
		o.Metadata = source.Metadata
	}
	w, err := plaid.Create(dir, as, p, o)
	if err != nil {
		return nil, err
	}
	out := &ExportedPLAID{Form: string(as)}
	if err := h.exportPLAID(ctx, v, w, out); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return out, nil
}

func (h *Collection) exportPLAID(ctx context.Context, v *version, w *plaid.Writer, out *ExportedPLAID) error {
	var ids []string
	var buf segment.Buffer
	numbered := true
	for _, src := range v.sources() {
		for ord := range src.Len() {
			if !src.isLive(ord) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			view, err := src.View(ord, codec.PlanePLAID, &buf)
			if err != nil {
				return err
			}
			id := src.ExternalID(ord)
			if !utf8.ValidString(id) {
				return fmt.Errorf("%w: the id %q is not UTF-8", ErrInvalid, id)
			}
			if err := w.Add(id, view.PLAID); err != nil {
				return err
			}
			numbered = numbered && id == fmt.Sprint(len(ids))
			ids = append(ids, id)
			out.Documents++
			out.Tokens += int64(view.Tokens)
		}
	}
	if !numbered && !w.HasIDs() {
		b, err := json.Marshal(ids)
		if err != nil {
			return err
		}
		if err := w.AddFile(ownIDs, b); err != nil {
			return err
		}
	}
	return w.Close()
}
