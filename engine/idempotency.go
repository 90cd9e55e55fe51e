package engine

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/internal/envelope"
	"github.com/colbertdb-go/colbertdb/internal/failpoint"
	"github.com/colbertdb-go/colbertdb/segment"
)

// Idempotency: a write that carries a key is remembered, in the log record that
// makes the write durable and, once that record's file is superseded, in Pebble.
// Its repetition is answered from there.
//
//	log record of the batch ──replay──► keyWindow ──seal (S4)──► i/ in Pebble
//	                                        ▲                        │
//	                                        └────────── open ────────┘
//
// What is stored of a key and of the write's content are hashes alone, so that
// nothing of a document stays here after it was purged.

// MaxKeyBytes bounds an idempotency key.
const MaxKeyBytes = 256

// Idempotent returns a handle whose writes carry an idempotency key: the first one
// is made and remembered, and a repetition of it, through any handle with the key,
// changes nothing and returns what the first returned: its sequence number and
// the number of deleted documents. So a caller that has not seen the answer of a
// write may send it again: over a connection that broke, after a crash, also when
// both are on their way at once.
//
// Another write with the key is ErrIdempotencyConflict; the same write is one with
// the same documents, ids or filter as the caller gave them (text that an encoder
// turns into vectors counts as text). A key belongs to one collection and one
// write, so the handle is for one call of Upsert, Delete, Apply or DeleteWhere. What failed
// was not made and is not remembered. The last Options.IdempotencyKeys writes of
// the store are remembered, each for Options.IdempotencyAge; a repetition that
// comes later is a new write. Choose keys that nobody else chooses, such as
// random ones. Key has 1 to MaxKeyBytes bytes of any kind.
func (h *Collection) Idempotent(key string) *Collection {
	out := *h
	out.key = &key
	return &out
}

// keyHash is the first half of a SHA-256.
type keyHash [16]byte

// writeKey is what a batch carries of its idempotency key.
type writeKey struct {
	name    keyHash // of the key
	content keyHash // of the key and what the caller asked for
	at      int64   // nanoseconds since 1970
	before  int     // documents deleted in earlier batches of the same write
}

func (k *writeKey) append(dst []byte) []byte {
	dst = append(append(dst, k.name[:]...), k.content[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(k.at))
	return binary.AppendUvarint(dst, uint64(k.before))
}

// writeKey reads what append wrote.
func (d *decoder) writeKey() *writeKey {
	const fixed = len(keyHash{})*2 + 8
	if len(d.b) < fixed {
		d.fail()
		return nil
	}
	k := &writeKey{name: keyHash(d.b), content: keyHash(d.b[len(keyHash{}):]), at: int64(binary.LittleEndian.Uint64(d.b[fixed-8:]))}
	d.b = d.b[fixed:]
	k.before = int(min(d.uvarint(), math.MaxInt32))
	return k
}

// writeHash hashes a write as its caller gave it, with the key. It tells all
// sequences of strings and numbers apart.
type writeHash struct{ hash.Hash }

func newWriteHash(key, kind string) writeHash {
	w := writeHash{sha256.New()}
	w.bytes(key)
	w.bytes(kind)
	return w
}

func (w writeHash) number(n int) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	w.Write(b[:])
}

func (w writeHash) bytes(s string) {
	w.number(len(s))
	w.Write([]byte(s))
}

// document adds an upsert. Text without vectors stands for the vectors that an
// encoder makes of it.
func (w writeHash) document(d *Document) {
	w.bytes(d.Text)
	w.bytes(string(d.Attributes))
	w.number(d.Vectors.Dim)
	w.number(len(d.Vectors.Data))
	buf := make([]byte, 0, 4<<10)
	for i, x := range d.Vectors.Data {
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(x))
		if len(buf) == cap(buf) || i == len(d.Vectors.Data)-1 {
			w.Write(buf)
			buf = buf[:0]
		}
	}
}

func (w writeHash) sum() keyHash { return keyHash(w.Sum(nil)) }

// keyFor is the handle's key with the content that describe adds, nil without a
// key.
func (h *Collection) keyFor(kind string, describe func(writeHash) error) (*writeKey, error) {
	if h.key == nil {
		return nil, nil
	}
	if *h.key == "" || len(*h.key) > MaxKeyBytes {
		return nil, fmt.Errorf("%w: an idempotency key has 1 to %d bytes, %.40q has %d", ErrInvalid, MaxKeyBytes, *h.key, len(*h.key))
	}
	name, content := newWriteHash(*h.key, "key"), newWriteHash(*h.key, kind)
	if err := describe(content); err != nil {
		return nil, err
	}
	return &writeKey{name: name.sum(), content: content.sum(), at: time.Now().UnixNano()}, nil
}

// key is the key of a batch, nil without one.
func (b *Batch) key(h *Collection) (*writeKey, error) {
	return h.keyFor("batch", func(w writeHash) error {
		for _, c := range b.changes {
			w.bytes(c.id)
			if c.doc == nil {
				w.number(int(opDelete))
				continue
			}
			w.number(int(opUpsert))
			w.document(c.doc)
		}
		return nil
	})
}

// filterKey is the key of a DeleteWhere, nil without one.
func (h *Collection) filterKey(f *Filter) (*writeKey, error) {
	return h.keyFor("delete where", func(w writeHash) error {
		text, err := json.Marshal(f)
		w.bytes(string(text))
		return err
	})
}

// made answers a write that was made before, without queueing it; false where it
// was not, or has no key.
func (h *Collection) made(k *writeKey) (out DeleteResult, ok bool, err error) {
	if k == nil {
		return out, false, nil
	}
	e := h.c.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.isClosed.Load() {
		return out, false, ErrClosed
	}
	r, err := e.keys.find(h.c.id, k)
	if r == nil {
		return out, false, err
	}
	return DeleteResult{Deleted: r.deleted, Seq: r.seq}, true, nil
}

// findRepeat is made for a batch in the committer: the write may also be an
// earlier one of the same group. The caller holds Engine.mu.
func (p *pending) findRepeat(earlier []*pending) error {
	if p.key == nil {
		return nil
	}
	for _, q := range earlier {
		if q.err == nil && q.key != nil && q.col == p.col && !q.repeat && q.key.name == p.key.name {
			if q.key.content != p.key.content {
				return conflict(q.seq)
			}
			p.repeat, p.of = true, q
			return nil
		}
	}
	r, err := p.col.engine.keys.find(p.col.id, p.key)
	if r != nil {
		p.repeat, p.seq, p.deleted = true, r.seq, r.deleted
	}
	return err
}

// total is the number of documents that the write of a batch deleted, in earlier
// batches too.
func (p *pending) total() int { return p.key.before + p.deleted }

func conflict(seq uint64) error {
	return fmt.Errorf("%w: change %d had it; use another key for another write", ErrIdempotencyConflict, seq)
}

// writeID names a write with a key in the store.
type writeID struct {
	collection uint32
	name       keyHash
}

// writeRecord is what is remembered of it.
type writeRecord struct {
	content keyHash
	seq     uint64
	at      int64
	deleted int
}

// keyWindow holds the writes that are remembered, at most limit of them. The
// slices are queues; an element whose sequence number is not that of its write in
// all is of a write that was forgotten. Guarded by Engine.mu.
type keyWindow struct {
	limit int
	age   time.Duration
	all   map[writeID]writeRecord
	order []writeAt // by sequence number
	fresh []writeAt // not yet in Pebble
	gone  []writeID // to be removed from Pebble
}

type writeAt struct {
	id  writeID
	seq uint64
}

// find returns the write with a key, nil where none is remembered.
func (w *keyWindow) find(collection uint32, k *writeKey) (*writeRecord, error) {
	r, ok := w.all[writeID{collection, k.name}]
	if !ok || k.at-r.at > int64(w.age) {
		return nil, nil
	}
	if r.content != k.content {
		return nil, conflict(r.seq)
	}
	return &r, nil
}

// note remembers a batch that was logged, if it has a key.
func (w *keyWindow) note(p *pending) {
	if p.key == nil || p.err != nil {
		return
	}
	id := writeID{p.col.id, p.key.name}
	if w.all[id].seq >= p.seq { // a replay of what is in Pebble
		return
	}
	w.add(id, writeRecord{content: p.key.content, seq: p.seq, at: p.key.at, deleted: p.total()})
	w.fresh = append(w.fresh, writeAt{id, p.seq})
}

func (w *keyWindow) add(id writeID, r writeRecord) {
	if w.all == nil {
		w.all = map[writeID]writeRecord{}
	}
	w.all[id] = r
	w.order = append(w.order, writeAt{id, r.seq})
	w.trim(r.at)
}

// trim forgets what is too old at a time, or one too many.
func (w *keyWindow) trim(now int64) {
	for len(w.order) > 0 {
		first := w.order[0]
		r, ok := w.all[first.id]
		stale := !ok || r.seq != first.seq
		if !stale && len(w.all) <= w.limit && now-r.at <= int64(w.age) {
			return
		}
		w.order = w.order[1:]
		if !stale {
			delete(w.all, first.id)
			w.gone = append(w.gone, first.id)
		}
	}
}

// forget drops what belongs to a collection. Its keys in Pebble went with it.
func (w *keyWindow) forget(collection uint32) {
	for id := range w.all {
		if id.collection == collection {
			delete(w.all, id)
		}
	}
}

// dueKeys is how many changes of the window a seal does not wait for: they are in
// the log alone, or take memory for nothing.
const dueKeys = 8192

// due reports whether a seal should bring the window to Pebble.
func (w *keyWindow) due() bool { return len(w.fresh)+len(w.gone) >= dueKeys }

// keyChanges are changes of the window on their way to Pebble.
type keyChanges struct {
	gone    []writeID
	fresh   int // elements of keyWindow.fresh that set comes from
	set     []writeID
	records []writeRecord // of set
}

// unsaved returns what Pebble does not have yet.
func (w *keyWindow) unsaved() keyChanges {
	out := keyChanges{gone: slices.Clone(w.gone), fresh: len(w.fresh)}
	for _, f := range w.fresh {
		if r, ok := w.all[f.id]; ok && r.seq == f.seq {
			out.set, out.records = append(out.set, f.id), append(out.records, r)
		}
	}
	return out
}

// saved notes that Pebble has what unsaved returned.
func (w *keyWindow) saved(k keyChanges) {
	w.gone, w.fresh = slices.Clone(w.gone[len(k.gone):]), slices.Clone(w.fresh[k.fresh:])
}

// write adds the changes to a batch: first what is forgotten, since a key may have
// been used again.
func (k *keyChanges) write(b *pebble.Batch) error {
	for _, id := range k.gone {
		if err := b.Delete(segment.WriteKey(id.collection, id.name), nil); err != nil {
			return err
		}
	}
	for i, id := range k.set {
		if failpoint.On(failpoint.ForgetKeys) {
			continue
		}
		if err := b.Set(segment.WriteKey(id.collection, id.name), k.records[i].encode(), nil); err != nil {
			return err
		}
	}
	return nil
}

// inherited is what is remembered of one collection, for another that has its
// writes and takes its name: to be stored in the step that switches the name, and
// then given to addAll.
func (w *keyWindow) inherited(from, to uint32) (out keyChanges) {
	for id, r := range w.all {
		if id.collection == from {
			out.set, out.records = append(out.set, writeID{to, id.name}), append(out.records, r)
		}
	}
	return out
}

const writeMagic = "CDBY"

// encode is the value under i/: an envelope around content, sequence number, time
// and the number of deleted documents.
func (r *writeRecord) encode() []byte {
	return envelope.Append(nil, writeMagic, FormatVersion, func(b []byte) []byte {
		b = append(b, r.content[:]...)
		b = binary.LittleEndian.AppendUint64(b, r.seq)
		b = binary.LittleEndian.AppendUint64(b, uint64(r.at))
		return binary.LittleEndian.AppendUint64(b, uint64(r.deleted))
	})
}

func decodeWriteRecord(b []byte) (r writeRecord, err error) {
	const where = "record of an idempotency key"
	_, body, err := envelope.Open(b, writeMagic, FormatVersion)
	if errors.Is(err, envelope.ErrTooNew) {
		return r, fmt.Errorf("%w: %s: %w", ErrFormatTooNew, where, err)
	}
	const size = len(keyHash{}) + 3*8
	if err == nil && len(body) != size {
		err = fmt.Errorf("%d bytes, want %d", len(body), size)
	}
	if err != nil {
		return r, &segment.CorruptionError{Where: where, Err: err}
	}
	n := len(keyHash{})
	return writeRecord{
		content: keyHash(body), seq: binary.LittleEndian.Uint64(body[n:]),
		at: int64(binary.LittleEndian.Uint64(body[n+8:])), deleted: int(binary.LittleEndian.Uint64(body[n+16:])),
	}, nil
}

// loadKeys reads the window from Pebble; the log adds to it.
func (e *Engine) loadKeys() error {
	var found keyChanges
	err := eachGoodKey(e.db, segment.WriteKeys(), func(key, value []byte) error {
		id, r, err := decodeWrite(key, value)
		if err == nil {
			found.set, found.records = append(found.set, id), append(found.records, r)
		}
		return err
	})
	e.keys.addAll(found)
	return err
}

// decodeWrite reads a key and value under i/.
func decodeWrite(key, value []byte) (id writeID, r writeRecord, err error) {
	collection, name, ok := segment.WriteOf(key)
	if !ok {
		return id, r, &segment.CorruptionError{Where: "keys of writes", Err: fmt.Errorf("key %q has %d bytes", key, len(key))}
	}
	r, err = decodeWriteRecord(value)
	return writeID{collection, name}, r, err
}

// addAll adds what is in Pebble already, in the order of sequence numbers.
func (w *keyWindow) addAll(k keyChanges) {
	by := make([]int, len(k.set))
	for i := range by {
		by[i] = i
	}
	slices.SortFunc(by, func(a, b int) int { return cmp.Compare(k.records[a].seq, k.records[b].seq) })
	for _, i := range by {
		w.add(k.set[i], k.records[i])
	}
}
