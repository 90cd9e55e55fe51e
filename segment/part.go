package segment

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Part is what a segment stores that comes and goes as a whole: all that it was
// built with and that stays as long as it does, or one version of a column that
// comes and goes meanwhile, as postings of a routing and attribute indexes do. A
// part is never changed.
//
//	keys of a segment    A … D | I 1 | I 2 | M | P 3 | R … c
//	its parts            ─────               ─         ───── first
//	                             ───   ───       ───         one each
type Part struct {
	ID      ID
	column  column // 0: the columns that stay
	version uint32
}

// Parts lists the parts of a segment in a store, what stays first.
func Parts(db *pebble.DB, id ID) ([]Part, error) {
	out := []Part{{ID: id}}
	for _, c := range columnOrder {
		if !c.apart() {
			continue
		}
		versions, err := listVersions(db, id, c)
		if err != nil {
			return nil, err
		}
		for _, v := range versions {
			out = append(out, Part{id, c, v})
		}
	}
	return out, nil
}

// String is the part's name, which ParsePart reads: "12", or "12-postings-3".
func (p Part) String() string {
	if p.column == 0 {
		return strconv.FormatUint(uint64(p.ID), 10)
	}
	return fmt.Sprintf("%d-%s-%d", p.ID, p.column, p.version)
}

// ParsePart reads what Part.String wrote; false where it did not.
func ParsePart(name string) (p Part, ok bool) {
	fields := strings.Split(name, "-")
	id, err := strconv.ParseUint(fields[0], 10, 64)
	p.ID = ID(id)
	if len(fields) == 3 {
		var version uint64
		var bad error
		version, bad = strconv.ParseUint(fields[2], 10, 32)
		p.column, p.version = columnByName(fields[1]), uint32(version)
		err = errors.Join(err, bad)
	}
	return p, err == nil && (p.column == 0 || p.column.apart()) && p.String() == name
}

func (p Part) span() KeyRange {
	if p.column == 0 {
		return Span(p.ID)
	}
	return prefixRange(binary.BigEndian.AppendUint32(append(segmentKeys(p.ID), byte(p.column)), p.version))
}

// columnOf is the column of a key of the segment, 0 where it is none.
func (p Part) columnOf(key []byte) column {
	head := segmentKeys(p.ID)
	if len(key) != len(head)+9 || !bytes.HasPrefix(key, head) {
		return 0
	}
	return column(key[len(head)])
}

// holds reports whether a key belongs to the part.
func (p Part) holds(key []byte) bool {
	c := p.columnOf(key)
	if p.column == 0 {
		return c != 0 && !c.apart()
	}
	return c == p.column && bytes.HasPrefix(key, p.span().Start)
}

// Each calls f with the keys of the part and their values, checksum included, in
// the order of keys and valid during the call. What is damaged is a
// CorruptionError.
func (p Part) Each(ctx context.Context, db *pebble.DB, f func(key, value []byte) error) (err error) {
	span := p.span()
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; {
		if err := ctx.Err(); err != nil {
			return err
		}
		key := it.Key()
		if !p.holds(key) {
			c := p.columnOf(key)
			if c == 0 {
				return corrupt(fmt.Sprintf("segment %d", p.ID), 0, "key %q", key)
			}
			ok = it.SeekGE(prefixRange(append(segmentKeys(p.ID), byte(c))).End)
			continue
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return readError(describe(key), err)
		}
		if _, err := checkSum(key, value); err != nil {
			return err
		}
		if err := f(key, value); err != nil {
			return err
		}
		ok = it.Next()
	}
	if err := it.Error(); err != nil {
		return readError(fmt.Sprintf("segment %d", p.ID), err)
	}
	return nil
}

// PartWriter writes a part to sstables for a store to ingest, which overlap those
// of no other part.
type PartWriter struct {
	part   Part
	files  tableFiles
	beside []column // of the other parts of the segment: no table reaches across one
	table  *tableFile
	last   []byte
}

// NewPartWriter returns a writer to a folder. parts are all that the segment will
// have.
func NewPartWriter(fs vfs.FS, dir string, p Part, parts []Part) *PartWriter {
	w := &PartWriter{part: p, files: tableFiles{fs: fs, dir: dir, id: p.ID}}
	for _, other := range parts {
		if other.ID == p.ID && other != p {
			w.beside = append(w.beside, other.column)
		}
	}
	return w
}

// Add appends a key of the part. One of another, or out of order, or whose value
// does not bear its checksum, is a CorruptionError.
func (w *PartWriter) Add(key, value []byte) error {
	where := "segment part " + w.part.String()
	if !w.part.holds(key) {
		return corrupt(where, 0, "key %q is of another", key)
	}
	if bytes.Compare(key, w.last) <= 0 {
		return corrupt(where, 0, "key %q after %q", key, w.last)
	}
	if _, err := checkSum(key, value); err != nil {
		return err
	}
	if w.table != nil && w.crosses(key) {
		if err := w.end(); err != nil {
			return err
		}
	}
	if w.table == nil {
		path := w.files.fs.PathJoin(w.files.dir, fmt.Sprintf("part-%s.%d.sst", w.part, len(w.files.paths)))
		f, err := w.files.fs.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return fmt.Errorf("colbertdb: creating %s: %w", path, err)
		}
		w.files.paths = append(w.files.paths, path)
		w.table = &tableFile{w: sstable.NewWriter(objstorageprovider.NewFileWritable(f), writerOptions(w.files.fs))}
	}
	w.last = append(w.last[:0], key...)
	return w.table.w.Set(key, value)
}

// crosses reports whether keys of another part may lie between the last key and
// this one.
func (w *PartWriter) crosses(key []byte) bool {
	from, to := w.part.columnOf(w.last), w.part.columnOf(key)
	for _, c := range w.beside {
		if from < c && c < to {
			return true
		}
	}
	return false
}

func (w *PartWriter) end() error {
	t := w.table
	w.table = nil
	if err := t.close(); err != nil {
		return fmt.Errorf("colbertdb: writing %s: %w", w.files.paths[len(w.files.paths)-1], err)
	}
	return nil
}

// Finish returns the synced sstables.
func (w *PartWriter) Finish() ([]string, error) {
	if w.table == nil {
		return nil, corrupt("segment part "+w.part.String(), 0, "nothing in it")
	}
	return w.files.paths, w.end()
}

// Abort closes and removes what was written.
func (w *PartWriter) Abort() {
	if w.table != nil {
		_ = w.table.close()
		w.table = nil
	}
	w.files.remove()
}
