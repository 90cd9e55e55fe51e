package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
)

// A segment exports as one file that needs nothing else: the container of a
// backup (backupfile.go) with three files in it: what the segment is, the
// codebook that its codes need, and its live documents with every column that it
// stores. Its id is a hash of their content: equal segments have equal ids.
// docs/format/backup.md.

// SegmentFile describes an exported segment.
type SegmentFile struct {
	// ID is the hash of the content, in hex.
	ID        string `json:"-"`
	Segment   uint64 `json:"-"` // in the store that it comes from; 0 in an attached one
	Dim       int    `json:"dim"`
	Profile   string `json:"profile"`
	RetainRaw bool   `json:"retain_raw"`
	Model     *Model `json:"model,omitempty"`
	Documents int    `json:"documents"`
	Tokens    int64  `json:"tokens"`
	Codebook  uint32 `json:"codebook"` // 0: flat
}

// The files of an export, in this order.
const (
	exportKind      = "segment"
	exportMeta      = "segment/meta"
	exportCodebook  = "segment/codebook"
	exportDocuments = "segment/documents"
)

// SegmentInfo names a sealed segment of a collection.
type SegmentInfo struct {
	ID        uint64
	Documents int // live ones
	Tokens    int64
	Bytes     int64
	Codebook  uint32 // 0: flat
}

// Segments lists the sealed segments of one version of the collection.
func (h *Collection) Segments() ([]SegmentInfo, error) {
	if err := h.c.engine.enter(); err != nil {
		return nil, err
	}
	defer h.c.engine.exit()
	v, err := h.c.acquire()
	if err != nil {
		return nil, err
	}
	defer h.c.release(v)
	out := make([]SegmentInfo, len(v.segs))
	for i, s := range v.segs {
		out[i] = SegmentInfo{ID: uint64(s.Meta().ID), Bytes: s.bytes(), Codebook: s.space.codebookID()}
		for ord := range s.Len() {
			if s.isLive(ord) {
				out[i].Documents++
				out[i].Tokens += int64(s.Tokens(ord))
			}
		}
	}
	return out, nil
}

// ExportSegment writes a sealed segment, less what was deleted, to w: one
// compressed, checksummed file that AttachSegment of another collection takes.
// ErrNotFound: the collection has no such segment, or no live document in it.
func (h *Collection) ExportSegment(ctx context.Context, id uint64, w io.Writer) (*SegmentFile, error) {
	if err := h.c.engine.enter(); err != nil {
		return nil, err
	}
	defer h.c.engine.exit()
	v, err := h.c.acquire()
	if err != nil {
		return nil, err
	}
	defer h.c.release(v)
	for _, s := range v.segs {
		if uint64(s.Meta().ID) == id {
			return h.export(ctx, s, w)
		}
	}
	return nil, fmt.Errorf("%w: segment %d in collection %q", ErrNotFound, id, h.c.name)
}

func (h *Collection) export(ctx context.Context, s segView, w io.Writer) (*SegmentFile, error) {
	r := &h.c.config
	m := &SegmentFile{
		Segment: uint64(s.Meta().ID), Dim: r.Dim, Profile: r.Profile, RetainRaw: r.RetainRaw, Model: r.Model, Codebook: s.space.codebookID(),
	}
	for ord := range s.Len() {
		if s.isLive(ord) {
			m.Documents++
			m.Tokens += int64(s.Tokens(ord))
		}
	}
	if m.Documents == 0 {
		return nil, fmt.Errorf("%w: segment %d of collection %q has no live document", ErrNotFound, m.Segment, h.c.name)
	}
	meta, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	var codebook []byte
	if s.space.coded() {
		codebook = s.space.codebook.AppendBinary(nil)
	}
	contents := []content{
		{exportMeta, writes(meta)},
		{exportCodebook, writes(codebook)},
		{exportDocuments, func(ctx context.Context, w io.Writer) error { return exportDocs(ctx, s, w) }},
	}
	d, err := newDescriptor(h.c.engine.storeID, s.Meta().MaxSeq)
	if err != nil {
		return nil, err
	}
	d.Kind = exportKind
	if err := d.describe(ctx, contents, new(progress)); err != nil {
		return nil, err
	}
	sum := sha256.New()
	for _, f := range d.Files {
		fmt.Fprintln(sum, f.Path, f.SHA256)
	}
	m.ID = hex.EncodeToString(sum.Sum(nil))
	d.ID = m.ID
	return m, d.write(ctx, w, contents, new(progress))
}

func writes(b []byte) func(context.Context, io.Writer) error {
	return func(_ context.Context, w io.Writer) error {
		_, err := w.Write(b)
		return err
	}
}

// exportDocs writes the live documents: for each the length of what follows, then
// id, text, attributes, tokens, exponent, and the columns codes, A, B, C, raw, and
// of an imported index plaid;
// byte strings and columns with their length before them.
func exportDocs(ctx context.Context, s segView, w io.Writer) error {
	var buf segment.Buffer
	var rec, out []byte
	for ord := range s.Len() {
		if !s.isLive(ord) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		text, attrs, err := s.document(ord)
		if err != nil {
			return err
		}
		v, err := s.Full(ord, &buf)
		if err != nil {
			return err
		}
		rec = appendBytes(rec[:0], s.ExternalID(ord))
		rec = appendBytes(rec, text)
		rec = appendBytes(rec, attrs)
		rec = binary.AppendUvarint(rec, uint64(v.Tokens))
		rec = append(rec, v.Exp)
		for _, column := range [][]byte{v.Codes, v.A, v.B, v.C, v.Raw} {
			rec = appendBytes(rec, column)
		}
		if v.PLAID != nil {
			rec = appendBytes(rec, v.PLAID)
		}
		out = append(binary.AppendUvarint(out[:0], uint64(len(rec))), rec...)
		if _, err := w.Write(out); err != nil {
			return err
		}
	}
	return nil
}

// AttachSegment stores the documents of an exported segment in one atomic step:
// they replace those of the same ids, are numbered anew, and are encoded with the
// collection's own codebook, from the best vectors that the file has. Dimension,
// profile and model must be the collection's. Like a bulk load, it is not in the
// log: Changes and RestoreTo say so.
func (h *Collection) AttachSegment(ctx context.Context, r io.Reader) (*SegmentFile, error) {
	b, err := newBackupReader(r)
	if err != nil {
		return nil, err
	}
	if b.d.Kind != exportKind {
		return nil, fmt.Errorf("%w: a backup, not an exported segment", ErrInvalid)
	}
	a := &attachment{h: h, ctx: ctx, id: b.d.ID}
	err = b.extract(ctx, nil, a.open)
	if err == nil && a.load == nil {
		err = a.damaged(errors.New("no documents"))
	}
	if err == nil && a.documents != a.meta.Documents {
		err = a.damaged(fmt.Errorf("%d documents, its metadata says %d", a.documents, a.meta.Documents))
	}
	if err == nil {
		err = a.load.Commit(ctx)
	}
	if a.load != nil {
		err = errors.Join(err, a.load.Close())
	}
	if err != nil {
		return nil, err
	}
	return a.meta, nil
}

// attachment takes an exported segment apart.
type attachment struct {
	h         *Collection
	ctx       context.Context
	id        string
	meta      *SegmentFile
	codebook  *codec.Codebook
	plane     codec.Plane
	load      *Bulk
	documents int
}

func (a *attachment) damaged(err error) error {
	return &segment.CorruptionError{Where: "exported segment " + a.id, Err: err}
}

func (a *attachment) open(f File) (fileSink, error) {
	switch f.Path {
	case exportMeta:
		return &exportPart{a: a, end: a.readMeta}, nil
	case exportCodebook:
		return &exportPart{a: a, end: a.readCodebook}, nil
	case exportDocuments:
		if a.meta == nil {
			return nil, a.damaged(errors.New("documents before metadata"))
		}
		var err error
		a.load, err = a.h.Bulk(a.ctx, BulkOptions{})
		return &exportPart{a: a, more: a.readDocuments, end: func(rest []byte) error {
			if len(rest) > 0 {
				return a.damaged(errors.New("the last document is cut short"))
			}
			return nil
		}}, err
	}
	return nil, nil
}

// exportPart collects one file of an export.
type exportPart struct {
	a    *attachment
	buf  []byte
	more func([]byte) (used int, err error) // takes what is complete; nil: nothing before the end
	end  func([]byte) error
}

func (p *exportPart) Write(b []byte) (int, error) {
	p.buf = append(p.buf, b...)
	if p.more == nil {
		return len(b), nil
	}
	used, err := p.more(p.buf)
	p.buf = append(p.buf[:0], p.buf[used:]...)
	return len(b), err
}

func (p *exportPart) done() error { return p.end(p.buf) }
func (p *exportPart) abort()      {}

// readMeta checks that the segment fits the collection.
func (a *attachment) readMeta(b []byte) error {
	m := new(SegmentFile)
	if err := json.Unmarshal(b, m); err != nil {
		return a.damaged(err)
	}
	m.ID = a.id
	r, o := &a.h.c.config, &a.h.c.engine.opts
	switch {
	case m.Dim != r.Dim:
		return fmt.Errorf("%w: the segment has dimension %d, collection %q %d", ErrDimension, m.Dim, r.Name, r.Dim)
	case m.Profile != r.Profile || r.RetainRaw && !m.RetainRaw:
		return fmt.Errorf("%w: the segment has profile %s, retain_raw %t, collection %q %s, %t", ErrInvalid, m.Profile, m.RetainRaw, r.Name, r.Profile, r.RetainRaw)
	case (m.Model == nil) != (r.Model == nil) || m.Model != nil && m.Model.Fingerprint != r.Model.Fingerprint:
		return fmt.Errorf("%w: the exported segment was made with another model than collection %q", ErrModelMismatch, r.Name)
	case m.Documents > o.MaxSegmentDocuments || m.Tokens > o.MaxSegmentTokens:
		return fmt.Errorf("%w: the segment has %d documents and %d tokens, more than Options.MaxSegmentDocuments (%d) or MaxSegmentTokens (%d) allow in one step",
			ErrInvalid, m.Documents, m.Tokens, o.MaxSegmentDocuments, o.MaxSegmentTokens)
	}
	a.meta = m
	return nil
}

func (a *attachment) readCodebook(b []byte) (err error) {
	if a.meta == nil {
		return a.damaged(errors.New("codebook before metadata"))
	}
	if (len(b) == 0) != (a.meta.Codebook == 0) {
		return a.damaged(fmt.Errorf("%d bytes of codebook %d", len(b), a.meta.Codebook))
	}
	if len(b) > 0 {
		if a.codebook, err = codec.DecodeCodebook(bytes.Clone(b)); err != nil {
			return a.damaged(err)
		}
	}
	profile, err := codec.ParseProfile(a.meta.Profile)
	if err != nil {
		return a.damaged(err)
	}
	a.plane = codec.Representation(profile, a.meta.RetainRaw, a.codebook != nil)
	return nil
}

// readDocuments stores the documents that b has whole.
func (a *attachment) readDocuments(b []byte) (used int, err error) {
	for {
		n, k := binary.Uvarint(b[used:])
		if k < 0 || n > 1<<31 {
			return used, a.damaged(errors.New("a document of impossible length"))
		}
		if k == 0 || uint64(len(b)-used-k) < n {
			return used, nil
		}
		d, v, err := a.decode(b[used+k : used+k+int(n)])
		if err != nil {
			return used, err
		}
		if err := a.add(d, v); err != nil {
			return used, err
		}
		a.documents++
		used += k + int(n)
	}
}

// add stores a document: as it is where both collections have one imported codebook,
// else from the vectors of its best column.
func (a *attachment) add(d Document, v codec.View) error {
	if own := a.load.space; own != nil && own.coded() && a.plane == codec.PlanePLAID && samePLAID(own.codebook.PLAID, a.codebook.PLAID) {
		if err := d.validateFields(); err != nil {
			return err
		}
		enc, err := own.codebook.EncodedPLAID(bytes.Clone(v.PLAID))
		if err != nil {
			return err
		}
		if err := a.load.usable(); err != nil {
			return err
		}
		return a.load.add(a.ctx, []op{{kind: opUpsert, id: d.ID, text: d.Text, attrs: d.Attributes, dim: own.dim, enc: enc}})
	}
	codec.Reconstruct(a.codebook, a.meta.Dim, v, a.plane, &d.Vectors)
	return a.load.Add(a.ctx, d)
}

func (a *attachment) decode(b []byte) (Document, codec.View, error) {
	in := decoder{b: b}
	d := Document{ID: string(in.bytes()), Text: string(in.bytes()), Attributes: bytes.Clone(in.bytes())}
	v := codec.View{Tokens: int(min(in.uvarint(), 1<<31-1)), Exp: in.byte()}
	v.Codes, v.A, v.B, v.C, v.Raw = in.bytes(), in.bytes(), in.bytes(), in.bytes(), in.bytes()
	if a.plane == codec.PlanePLAID {
		v.PLAID = in.bytes()
	}
	if in.err != nil || len(in.b) > 0 {
		return d, v, a.damaged(fmt.Errorf("document %.40q: malformed", d.ID))
	}
	profile, _ := codec.ParseProfile(a.meta.Profile) // readCodebook has checked it
	for _, c := range codec.Columns(a.meta.Dim, profile, a.meta.RetainRaw, a.codebook != nil) {
		have := map[string][]byte{"codes": v.Codes, "a": v.A, "b": v.B, "c": v.C, "raw": v.Raw, "plaid": v.PLAID}[c.Name]
		if len(have) != v.Tokens*c.BytesPerToken || v.Tokens == 0 {
			return d, v, a.damaged(fmt.Errorf("document %.40q: %d bytes of column %s for %d tokens", d.ID, len(have), c.Name, v.Tokens))
		}
	}
	if a.plane == codec.PlanePLAID {
		if a.codebook == nil || a.codebook.PLAID == nil || a.codebook.PLAID.RecordBytes()*v.Tokens != len(v.PLAID) {
			return d, v, a.damaged(fmt.Errorf("document %.40q: records without the codebook of an import", d.ID))
		}
		if _, err := a.codebook.EncodedPLAID(v.PLAID); err != nil {
			return d, v, a.damaged(fmt.Errorf("document %.40q: %w", d.ID, err))
		}
	} else if a.codebook != nil {
		for i := 0; i+1 < len(v.Codes); i += 2 {
			if int(binary.LittleEndian.Uint16(v.Codes[i:])) >= a.codebook.NumCells() {
				return d, v, a.damaged(fmt.Errorf("document %.40q: a code above the codebook's cells", d.ID))
			}
		}
	}
	return d, v, nil
}
