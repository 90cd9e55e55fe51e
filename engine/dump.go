package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
	"github.com/colbertdb-go/colbertdb/wal"
)

// DumpKinds are what Dump prints, with their arguments.
var DumpKinds = []string{
	"manifest", "collections", "aliases", "segments", "segment ID", "documents ID", "document ID ORDINAL",
	"deletes ID", "postings ID", "attributes ID", "codebook COLLECTION", "ids COLLECTION", "keys", "copies", "checkpoint", "log",
}

// Dump prints one of the structures of a store that nobody has open, for people
// and for tests: what is one of DumpKinds, such as "segment 3". It changes
// nothing, replays nothing, and goes on after damage where it can, which it
// prints in lines with BAD or DAMAGE. The log can be printed even where Pebble's
// folder cannot be opened.
func Dump(ctx context.Context, w io.Writer, fsys vfs.FS, dir string, what string, args ...string) (err error) {
	if fsys == nil {
		fsys = vfs.Default
	}
	e := &Engine{fs: fsys, dir: dir, guard: newGuard(slog.New(slog.DiscardHandler)), opts: (&Options{ReadOnly: true, FS: fsys}).withDefaults()}
	if !e.exists() && what != "log" {
		return fmt.Errorf("colbertdb: no store in %q", dir)
	}
	want := 0
	if i := slices.IndexFunc(DumpKinds, func(k string) bool { return strings.Fields(k)[0] == what }); i < 0 {
		return fmt.Errorf("%w: dump %q: there are %s", ErrInvalid, what, strings.Join(DumpKinds, ", "))
	} else if want = len(strings.Fields(DumpKinds[i])) - 1; want != len(args) {
		return fmt.Errorf("%w: dump %s: want %s", ErrInvalid, what, DumpKinds[i])
	}
	numbers := make([]uint64, len(args))
	for i, a := range args {
		if numbers[i], err = strconv.ParseUint(a, 10, 63); err != nil {
			return fmt.Errorf("%w: dump %s: %q is not a number", ErrInvalid, what, a)
		}
	}
	lock, err := pebble.LockDirectory(dir, fsys)
	if err != nil {
		return fmt.Errorf("%w: %q: %w", ErrLocked, dir, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	switch what {
	case "log":
		return wal.Dump(w, fsys, e.walDir(), describeRecord)
	case "copies":
		all, err := e.copies()
		for _, c := range all {
			fmt.Fprintln(w, c)
		}
		return err
	case "checkpoint":
		d, err := readDescriptor(fsys, dir)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("colbertdb: %q is no checkpoint", dir)
		}
		if err != nil {
			return err
		}
		return (&dumper{w: w}).json(d)
	}
	if err := e.checkPebbleManifest(); err != nil {
		return err
	}
	db, err := e.openPebble()
	if err != nil {
		return fmt.Errorf("colbertdb: opening %q: %w", dir, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return (&dumper{db: db, w: w}).dump(ctx, what, numbers)
}

type dumper struct {
	db *pebble.DB
	w  io.Writer
}

func (d *dumper) dump(_ context.Context, what string, n []uint64) error {
	switch what {
	case "manifest":
		return dumpValue(d, segment.ManifestKey(), decodeState)
	case "collections":
		return d.each(segment.CollectionKeys(), d.collectionValue)
	case "aliases":
		return d.each(segment.AliasKeys(), func(key, value []byte) error {
			r, err := decodeAlias(value)
			if err != nil {
				return err
			}
			fmt.Fprintf(d.w, "%s: collection %d, before %d\n", segment.AliasName(key), r.Collection, r.Previous)
			return nil
		})
	case "segments":
		return d.segments()
	case "keys":
		return d.each(segment.WriteKeys(), func(key, value []byte) error {
			id, r, err := decodeWrite(key, value)
			if err == nil {
				fmt.Fprintf(d.w, "%x of collection %d: change %d at %s, %d deleted\n", id.name, id.collection, r.seq, time.Unix(0, r.at).UTC().Format(time.RFC3339), r.deleted)
			}
			return err
		})
	case "ids":
		span := segment.DocumentKeys(uint32(n[0]))
		return d.each(span, func(key, value []byte) error {
			num, err := segment.DecodeDocumentRef(value)
			if err == nil {
				fmt.Fprintf(d.w, "%q number %d\n", key[len(span.Start):], num)
			}
			return err
		})
	case "codebook":
		return d.codebook(uint32(n[0]))
	case "deletes":
		return d.deletes(segment.ID(n[0]))
	case "segment":
		return d.segment(segment.ID(n[0]))
	}
	r, err := segment.Open(d.db, segment.ID(n[0]))
	if err != nil {
		return fmt.Errorf("%w; dump segment %d shows which values are bad", err, n[0])
	}
	defer r.Close()
	switch what {
	case "documents":
		return r.DumpDocuments(d.w, d.live(r))
	case "document":
		return r.DumpDocument(d.w, int(n[1]))
	case "attributes":
		return d.attributes(r)
	}
	return d.postings(r)
}

// attributes prints the attribute indexes that a segment has.
func (d *dumper) attributes(r *segment.Reader) error {
	s, ok := d.record(r.Meta().ID)
	if !ok {
		return fmt.Errorf("%w: no collection names segment %d", ErrInvalid, r.Meta().ID)
	}
	if len(s.Indexes) == 0 {
		fmt.Fprintln(d.w, "no attribute indexes")
	}
	for _, id := range s.Indexes {
		x, err := r.LoadIndex(id)
		if err != nil {
			fmt.Fprintln(d.w, "BAD:", err)
			continue
		}
		if err := x.Dump(d.w); err != nil {
			return err
		}
	}
	return nil
}

// each calls f with a range of keys; what it finds wrong is printed.
func (d *dumper) each(span segment.KeyRange, f func(key, value []byte) error) error {
	err := eachKey(d.db, span, func(key, value []byte, bad error) error {
		if bad == nil {
			bad = f(key, value)
		}
		if bad != nil {
			fmt.Fprintf(d.w, "BAD key %q: %v\n", key, bad)
		}
		return nil
	})
	if err != nil {
		fmt.Fprintf(d.w, "BAD keys after %q: %v\n", span.Start, err)
	}
	return nil
}

// dumpValue prints a JSON structure.
func dumpValue[T any](d *dumper, key []byte, decode func([]byte) (T, error)) error {
	v, err := load(d.db, key, decode)
	if err != nil {
		return err
	}
	return d.json(v)
}

func (d *dumper) json(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(d.w, "%s\n", b)
	}
	return err
}

// collectionValue prints one of the values under c/.
func (d *dumper) collectionValue(key, value []byte) error {
	if segment.IsCollectionKey(key) {
		r, err := decodeCollection(value)
		if err != nil {
			return err
		}
		return d.json(r)
	}
	if id, ok := segment.ReindexCollection(key); ok {
		r, err := decodeReindex(value)
		if err != nil {
			return err
		}
		fmt.Fprintf(d.w, "reindex that fills collection %d:\n", id)
		return d.json(r)
	}
	fmt.Fprintf(d.w, "%q: %d bytes\n", key, len(value))
	return nil
}

// records returns the collections that can be read.
func (d *dumper) records() (out []collectionRecord, err error) {
	err = d.each(segment.CollectionKeys(), func(key, value []byte) error {
		if !segment.IsCollectionKey(key) {
			return nil
		}
		r, err := decodeCollection(value)
		if err == nil {
			out = append(out, r)
		}
		return err
	})
	return out, err
}

// segments prints a line for each segment that is stored, and for each that is
// named and is not.
func (d *dumper) segments() error {
	records, err := d.records()
	if err != nil {
		return err
	}
	ids, err := segment.ListIDs(d.db)
	if err != nil {
		fmt.Fprintln(d.w, "BAD:", err)
	}
	tw := tabwriter.NewWriter(d.w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "segment\tcollection\tdocuments\ttokens\tdead\tnumbers\tchanges\tcodebook\trouting\tbytes")
	named := map[segment.ID]bool{}
	for _, r := range records {
		for _, s := range r.Segments {
			named[s.ID] = true
			m, err := segment.Open(d.db, s.ID)
			if err != nil {
				fmt.Fprintf(tw, "%d\t%s\tBAD: %v\n", s.ID, r.Name, err)
				continue
			}
			t := m.Meta()
			fmt.Fprintf(tw, "%d\t%s\t%d\t%d\t%d\t%d-%d\t%d-%d\t%d\t%d\t%d\n", s.ID, r.Name, t.Docs, t.Tokens, s.Dead,
				t.First, t.Last, t.MinSeq, t.MaxSeq, s.Codebook, s.Routing, t.Bytes)
			m.Close()
		}
	}
	for _, id := range ids {
		if !named[id] {
			fmt.Fprintf(tw, "%d\tof no collection: left over, the next open removes it\n", id)
		}
	}
	return tw.Flush()
}

// segment prints the metadata and the values of a segment.
func (d *dumper) segment(id segment.ID) error {
	r, err := segment.Open(d.db, id)
	if err != nil {
		fmt.Fprintln(d.w, "BAD:", err)
	} else {
		if err := d.json(r.Meta()); err != nil {
			return err
		}
		r.Close()
	}
	return segment.DumpChunks(d.w, d.db, id)
}

// record returns what the collections say of a segment.
func (d *dumper) record(id segment.ID) (segmentRecord, bool) {
	records, err := d.records()
	if err != nil {
		return segmentRecord{}, false
	}
	for _, r := range records {
		for _, s := range r.Segments {
			if s.ID == id {
				return s, true
			}
		}
	}
	return segmentRecord{}, false
}

// live reads a segment's delete set, nil where nothing is dead.
func (d *dumper) live(r *segment.Reader) *segment.Bitset {
	s, _ := d.record(r.Meta().ID)
	if s.Deletes == 0 {
		return nil
	}
	live, err := load(d.db, segment.DeletesKey(s.ID, s.Deletes), func(b []byte) (*segment.Bitset, error) { return segment.DecodeDeletes(b, r.Len()) })
	if err != nil {
		fmt.Fprintln(d.w, "BAD delete set:", err)
		return nil
	}
	return live
}

func (d *dumper) deletes(id segment.ID) error {
	s, ok := d.record(id)
	if !ok {
		return fmt.Errorf("%w: no collection names segment %d", ErrInvalid, id)
	}
	if s.Deletes == 0 {
		fmt.Fprintln(d.w, "nothing is deleted")
		return nil
	}
	live, err := load(d.db, segment.DeletesKey(id, s.Deletes), func(b []byte) (*segment.Bitset, error) {
		return segment.DecodeDeletes(b, segment.MaxDocuments)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.w, "version %d:", s.Deletes)
	for ord := range live.Len() {
		if !live.Get(ord) {
			fmt.Fprintf(d.w, " %d", ord)
		}
	}
	fmt.Fprintln(d.w)
	return nil
}

func (d *dumper) postings(r *segment.Reader) error {
	s, ok := d.record(r.Meta().ID)
	if !ok {
		return fmt.Errorf("%w: no collection names segment %d", ErrInvalid, r.Meta().ID)
	}
	if s.Routing == 0 {
		fmt.Fprintln(d.w, "flat: there are no postings")
		return nil
	}
	p, err := r.LoadPostings(s.written().routing)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.w, "routing %d: ", s.Routing)
	return p.Dump(d.w)
}

// codebook prints a summary of a collection's codebook and routing.
func (d *dumper) codebook(id uint32) error {
	r, err := load(d.db, segment.CollectionKey(id), decodeCollection)
	if err != nil {
		return err
	}
	if r.Codebook == 0 {
		fmt.Fprintln(d.w, "flat: there is no codebook")
		return nil
	}
	cb, err := load(d.db, segment.CodebookKey(id, r.Codebook), codec.DecodeCodebook)
	if err != nil {
		return err
	}
	if p := cb.PLAID; p != nil {
		fmt.Fprintf(d.w, "codebook %d, imported: %d centroids of %d dimensions in %d cells, %d bits, weights %.4f\n",
			cb.ID, p.NumCentroids(), cb.Dim, cb.NumCells(), p.Bits, p.Weights.Float32())
	} else {
		fmt.Fprintf(d.w, "codebook %d: %d cells of %d dimensions, residual norm %.4f, p95 %.4f\nlevels %v\n",
			cb.ID, cb.NumCells(), cb.Dim, cb.ResidualNorm, cb.ResidualP95, cb.Levels)
	}
	rt, err := load(d.db, segment.RoutingKey(id, r.Routing), codec.DecodeRouting)
	if err != nil {
		return err
	}
	least, most := rt.NumCentroids(), 0
	for c := range cb.NumCells() {
		n := int(rt.Start[c+1] - rt.Start[c])
		least, most = min(least, n), max(most, n)
	}
	fmt.Fprintf(d.w, "routing %d of codebook %d: %d centroids, %d to %d in a cell, made for %d tokens\n",
		rt.ID, rt.CodebookID, rt.NumCentroids(), least, most, r.RoutingTokens)
	return nil
}

// describeRecord says what a log record holds.
func describeRecord(r wal.Record) string {
	switch r.Type {
	case recordBatch, recordForward:
		kind := "batch"
		if r.Type == recordForward {
			kind = "forward"
		}
		batch, err := decodeBatch(r.Payload)
		if err != nil {
			return fmt.Sprintf("BAD %s: %v", kind, err)
		}
		ops := batch.ops
		var s strings.Builder
		fmt.Fprintf(&s, "%s of collection %d:", kind, batch.collection)
		if batch.key != nil {
			fmt.Fprintf(&s, " key %x", batch.key.name[:4])
		}
		const shown = 8
		for i := range ops {
			if i == shown {
				fmt.Fprintf(&s, " and %d more", len(ops)-shown)
				break
			}
			if o := &ops[i]; o.kind == opDelete {
				fmt.Fprintf(&s, " delete %.40q", o.id)
			} else {
				fmt.Fprintf(&s, " upsert %.40q (number %d, %d tokens, %d bytes of text)", o.id, o.num, o.tokens(), len(o.text))
			}
		}
		return s.String()
	case recordCollection:
		return fmt.Sprintf("collection note, %d bytes", len(r.Payload))
	case recordTime:
		return "time note"
	}
	return fmt.Sprintf("type %d, %d bytes", r.Type, len(r.Payload))
}
