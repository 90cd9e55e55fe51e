package engine

import (
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/colbertdb-go/colbertdb/segment"
	"github.com/colbertdb-go/colbertdb/wal"
)

// Notes in the log. They change nothing when the store opens; they are for those
// who read the log as a history: Changes, and RestoreTo. They have no sequence
// number of their own.

// collectionNote says that a collection was created or dropped.
type collectionNote struct {
	Created *collectionRecord `json:"created,omitempty"`
	Dropped uint32            `json:"dropped,omitempty"`
}

func (n collectionNote) record() wal.Record {
	b, err := json.Marshal(n)
	if err != nil {
		panic("colbertdb: a record that JSON cannot hold: " + err.Error()) // impossible: plain structs
	}
	return wal.Record{Type: recordCollection, Payload: b}
}

func decodeCollectionNote(b []byte) (n collectionNote, err error) {
	if err = json.Unmarshal(b, &n); err != nil {
		err = &segment.CorruptionError{Where: "note of a collection in the log", Err: err}
	}
	return n, err
}

// noteCollection logs what happens to a collection. The creation is logged before
// it is stored and needs no sync: a batch of the collection comes later and
// brings it along.
func (e *Engine) noteCollection(n collectionNote) error {
	err := e.guard.check(nil)
	if err == nil {
		if err = e.log.Note(n.record()); err != nil {
			err = e.logFailed(err)
		}
	}
	return err
}

// timeNotes is how often a commit group begins with the time.
const timeNotes = time.Second

// withTime puts the time before a group's records, now and then. The caller
// holds Engine.commitMu.
func (e *Engine) withTime(records []wal.Record) []wal.Record {
	now := time.Now()
	if now.Sub(e.lastTimeNote) < timeNotes {
		return records
	}
	e.lastTimeNote = now
	note := wal.Record{Type: recordTime, Payload: binary.LittleEndian.AppendUint64(nil, uint64(now.UnixNano()))}
	return append([]wal.Record{note}, records...)
}

func decodeTimeNote(b []byte) time.Time {
	if len(b) < 8 {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.LittleEndian.Uint64(b)))
}
