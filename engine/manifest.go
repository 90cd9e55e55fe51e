package engine

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/colbertdb-go/colbertdb/internal/envelope"
	"github.com/colbertdb-go/colbertdb/segment"
	"github.com/colbertdb-go/colbertdb/wal"
)

// FormatVersion is the version of the store format that this package writes
// and the newest that it reads. docs/format/manifest.md has a paragraph for each.
const FormatVersion = 1

// storeState is the manifest: what belongs to no collection.
type storeState struct {
	Format         int         `json:"format"`
	StoreID        string      `json:"store_id"`
	NextSegment    segment.ID  `json:"next_segment"`
	NextCollection uint32      `json:"next_collection"`
	Seq            uint64      `json:"seq"`
	WALLow         wal.FileNum `json:"wal_low"` // older log files are superseded
	// Dropped are the collections that were dropped since and that the log still
	// has records of: a record of any other that is not there is damage.
	Dropped []uint32 `json:"dropped,omitempty"`
}

// collectionRecord is one collection as stored: its configuration and the
// segments that make it up, in the order of their document numbers.
type collectionRecord struct {
	ID        uint32         `json:"id"`
	Name      string         `json:"name"`
	Dim       int            `json:"dim"`
	Profile   string         `json:"profile"`
	RetainRaw bool           `json:"retain_raw"`
	Model     *Model         `json:"model,omitempty"`
	NextNum   segment.DocNum `json:"next_num"`
	Codebook  uint32         `json:"codebook"` // 0: flat
	Routing   uint32         `json:"routing"`
	// RoutingTokens is the number of tokens that the routing was made for.
	RoutingTokens int64 `json:"routing_tokens"`
	// TrainedNum is the first document number that was not given out yet when
	// the codebook was trained.
	TrainedNum segment.DocNum  `json:"trained_num,omitempty"`
	Segments   []segmentRecord `json:"segments"`
	Loads      []loadRecord    `json:"loads,omitempty"` // the last ones, by their last step
	// Indexes are the indexes declared, NextIndex the last id given out.
	Indexes   []segment.IndexSpec `json:"indexes,omitempty"`
	NextIndex uint32              `json:"next_index,omitempty"`
	// RecallTarget is asked for, Calibration what was found the last time.
	RecallTarget float64      `json:"recall_target,omitempty"`
	Calibration  *Calibration `json:"calibration,omitempty"`
}

type segmentRecord struct {
	ID      segment.ID `json:"id"`
	Deletes uint64     `json:"deletes,omitempty"` // version of its delete set, 0: none
	// Codebook and Routing are the versions that it is in, 0: flat.
	Codebook uint32 `json:"codebook,omitempty"`
	Routing  uint32 `json:"routing,omitempty"`
	// CodedAs and PostedAs are the versions that it was written in, where Codebook
	// and Routing extend them; 0: these.
	CodedAs  uint32 `json:"coded_as,omitempty"`
	PostedAs uint32 `json:"posted_as,omitempty"`
	// Indexes are those that it has, by id.
	Indexes []uint32 `json:"indexes,omitempty"`
	// mayIndex: its collection has had indexes; not stored.
	mayIndex bool
	// What Info tells of a collection that is not open: documents, tokens and
	// bytes of the segment, and how many of the former the delete set holds.
	Docs       int   `json:"docs,omitempty"`
	Tokens     int64 `json:"tokens,omitempty"`
	Bytes      int64 `json:"bytes,omitempty"`
	Dead       int   `json:"dead,omitempty"`
	DeadTokens int64 `json:"dead_tokens,omitempty"`
}

// newSegmentRecord names an open segment with its saved delete set.
func newSegmentRecord(s *segView) segmentRecord {
	r := segmentRecord{ID: s.Meta().ID, Deletes: s.savedDeletes, Codebook: s.space.codebookID(), Routing: s.space.routingID()}
	if as := s.Meta().CodebookID; as != r.Codebook {
		r.CodedAs = as
	}
	if s.postings != nil && s.postings.Meta().Routing != r.Routing {
		r.PostedAs = s.postings.Meta().Routing
	}
	for _, x := range s.indexes {
		r.Indexes = append(r.Indexes, x.ID())
	}
	r.count(segView{segHandle: s.segHandle, live: s.saved})
	return r
}

// written are the versions that its codes and postings were written in.
func (r *segmentRecord) written() versions {
	return versions{cmp.Or(r.CodedAs, r.Codebook), cmp.Or(r.PostedAs, r.Routing)}
}

// extend names the versions that the segment is read in from now on, where to
// extends the codebook that it is in; a routing that it has yet to leave stays.
func (r *segmentRecord) extend(from, to versions) {
	if r.Codebook != from.codebook {
		return
	}
	r.Codebook, r.CodedAs = to.codebook, r.written().codebook
	if r.Routing == from.routing {
		r.Routing, r.PostedAs = to.routing, r.written().routing
	}
}

// count fills in what a segment holds.
func (r *segmentRecord) count(s segView) {
	m := s.Meta()
	docs, tokens := s.liveCounts()
	r.Docs, r.Tokens, r.Bytes = m.Docs, m.Tokens, m.Bytes
	r.Dead, r.DeadTokens = m.Docs-int(docs), m.Tokens-tokens
}

// versions returns the codebooks that the record names, and the routings with
// the codebook of each.
func (r *collectionRecord) versions() (codebooks map[uint32]bool, routings map[uint32]uint32) {
	codebooks, routings = map[uint32]bool{}, map[uint32]uint32{}
	name := func(codebook, routing uint32) {
		if codebook != 0 {
			codebooks[codebook], routings[routing] = true, codebook
		}
	}
	name(r.Codebook, r.Routing)
	for _, s := range r.Segments {
		name(s.Codebook, s.Routing)
	}
	return codebooks, routings
}

func (r *collectionRecord) clone() collectionRecord {
	out := *r
	out.Segments = append([]segmentRecord(nil), r.Segments...)
	out.Indexes = slices.Clone(r.Indexes)
	return out
}

func (r *collectionRecord) segment(id segment.ID) *segmentRecord {
	for i := range r.Segments {
		if r.Segments[i].ID == id {
			return &r.Segments[i]
		}
	}
	return &segmentRecord{} // a segment that left the collection meanwhile
}

func (r *collectionRecord) encode() []byte { return encodeJSON(collectionMagic, r) }
func (s *storeState) encode() []byte       { return encodeJSON(manifestMagic, s) }

func decodeState(b []byte) (s storeState, err error) {
	err = decodeJSON(manifestMagic, "manifest", b, &s)
	return s, err
}

func decodeCollection(b []byte) (r collectionRecord, err error) {
	err = decodeJSON(collectionMagic, "collection record", b, &r)
	for _, x := range r.Indexes {
		if err == nil && x.Analyzer != "" {
			if bad := x.Analyzer.Validate(); bad != nil {
				err = &segment.CorruptionError{Where: "collection record", Err: bad}
			}
		}
	}
	return r, err
}

const (
	manifestMagic   = "CDBM"
	collectionMagic = "CDBC"
)

func encodeJSON(magic string, v any) []byte {
	return envelope.Append(nil, magic, FormatVersion, func(b []byte) []byte {
		body, err := json.Marshal(v)
		if err != nil {
			panic(fmt.Sprintf("colbertdb: a manifest that JSON cannot hold: %v", err)) // impossible: plain structs
		}
		return append(b, body...)
	})
}

func decodeJSON(magic, what string, b []byte, v any) error {
	_, body, err := envelope.Open(b, magic, FormatVersion)
	if errors.Is(err, envelope.ErrTooNew) {
		return fmt.Errorf("%w: %s: %w", ErrFormatTooNew, what, err)
	}
	if err == nil {
		err = json.Unmarshal(body, v)
	}
	if err != nil {
		return &segment.CorruptionError{Where: what, Err: err}
	}
	return nil
}
