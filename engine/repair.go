package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/wal"
)

// Repair makes a store that opens of one that does not, of what can be read:
//
//	P1  read everything and list what is lost; without Apply that is all
//	P2  build anew, in repair.tmp, what has losses: Pebble's folder, the log, or both
//	P3  link the old parts into lost+found; INCOMPLETE, durable: from here on the
//	    new parts count
//	P4  remove the old parts, link the new ones into place; remove INCOMPLETE
//
// A crash before P3 leaves the store as it was, one after it a folder that Open
// refuses and the next Repair with Apply finishes.

// RepairOptions say what Repair does.
type RepairOptions struct {
	// Apply changes the store. Default: nothing is written, the report says what
	// would be lost.
	Apply bool
	// FS is the file system. Default: the operating system's.
	FS vfs.FS
	// Logger gets warnings. Default: none.
	Logger *slog.Logger
}

// LossKind says what a Loss is about.
type LossKind string

// The kinds of losses.
const (
	LostTorn      LossKind = "torn write"      // at the end of the log, never acknowledged
	LostRecords   LossKind = "log records"     // changes that were acknowledged
	LostSegment   LossKind = "segment"         // all its documents
	LostDocument  LossKind = "documents"       // of a segment that can be read otherwise
	LostDeletes   LossKind = "delete set"      // deletes of documents that nobody replaced
	LostIDs       LossKind = "id entries"      // rebuilt: no document is lost
	LostPebbleLog LossKind = "Pebble's log"    // the last changes of what collections there are
	LostName      LossKind = "name"            // an alias, the progress of a reindex, a remembered idempotency key
	LostBlock     LossKind = "damaged sstable" // what it held is in other losses, or was not needed
)

// Loss is one thing that a repair drops or rebuilds.
type Loss struct {
	Kind       LossKind `json:"kind"`
	Where      string   `json:"where"`                // file and offset, or segment
	Collection string   `json:"collection,omitempty"` // where it is known
	IDs        []string `json:"ids,omitempty"`        // of lost documents, where they are known
	Documents  int      `json:"documents,omitempty"`  // how many are lost
	// FirstSeq and LastSeq bound the sequence numbers that lost log records had;
	// LastSeq 0: there is none after them.
	FirstSeq uint64 `json:"first_seq,omitempty"`
	LastSeq  uint64 `json:"last_seq,omitempty"`
	Why      string `json:"why"`
}

// String says it in a line.
func (l Loss) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s: %s", l.Kind, l.Where)
	if l.Collection != "" {
		fmt.Fprintf(&s, " of collection %q", l.Collection)
	}
	if l.Kind == LostRecords {
		if l.FirstSeq == 0 {
			s.WriteString(", no change of its own")
		} else if l.LastSeq > 0 {
			fmt.Fprintf(&s, ", changes %d to %d", l.FirstSeq, l.LastSeq)
		} else {
			fmt.Fprintf(&s, ", changes from %d on", l.FirstSeq)
		}
	}
	if l.Documents > 0 {
		fmt.Fprintf(&s, ", %d documents", l.Documents)
	}
	fmt.Fprintf(&s, ": %s", l.Why)
	return s.String()
}

// RepairReport says what Repair found and did.
type RepairReport struct {
	Losses []Loss `json:"losses"`
	// Records and Documents are what is left: log records, documents in segments.
	Records   int `json:"records"`
	Documents int `json:"documents"`
	// Applied says that the store was changed, Aside where the old parts are.
	Applied bool   `json:"applied"`
	Aside   string `json:"aside,omitempty"`
}

// Repair finds what a store has lost to damage and, with Apply, makes a store of
// the rest that opens and verifies. Nothing is deleted: what is replaced is moved
// to lost+found in the store's folder. Log records after damaged ones are kept.
// It needs the manifest and the records of collections; where those cannot be
// read it returns an error, and a backup is the way back.
func Repair(ctx context.Context, dir string, o RepairOptions) (report *RepairReport, err error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &repair{fs: o.FS, dir: dir, log: o.Logger, report: &RepairReport{Losses: []Loss{}}}
	if _, err := r.fs.Stat(dir); err != nil {
		return nil, fmt.Errorf("colbertdb: no store in %q: %w", dir, err)
	}
	lock, err := pebble.LockDirectory(dir, r.fs)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrLocked, dir, err)
	}
	defer closeInto(&err, lock)
	switch what, err := readAll(r.fs, r.path(incompleteName)); {
	case err != nil: // there is none
	case len(r.parts()) == 0: // the marker's content may be lost, not what it stands for
		return nil, fmt.Errorf("%w: %q holds an unfinished %s; remove it and start again", ErrIncomplete, dir, strings.TrimSpace(string(what)))
	case !o.Apply:
		return nil, fmt.Errorf("%w: an earlier repair of %q was interrupted; run it with Apply to finish it", ErrIncomplete, dir)
	default:
		if err := r.swap(); err != nil {
			return nil, err
		}
	}
	if err := r.scan(ctx); err != nil {
		return nil, errors.Join(err, r.close())
	}
	if o.Apply && len(r.report.Losses) > 0 {
		err = r.apply(ctx)
	}
	return r.report, errors.Join(err, r.close())
}

const (
	repairing = "repair"
	repairDir = "repair.tmp"
	asideDir  = "lost+found"
)

// repair is one run of Repair.
type repair struct {
	fs     vfs.FS
	dir    string
	log    *slog.Logger
	report *RepairReport

	db          *pebble.DB // read only
	state       storeState
	collections []*repairCollection
	lostLog     bool            // the log must be written anew
	lostPebble  bool            // Pebble's folder must be
	badKeys     map[string]bool // values that are not taken along
}

func (r *repair) path(elem ...string) string {
	return filepath.Join(append([]string{r.dir}, elem...)...)
}

func (r *repair) lose(l Loss) { r.report.Losses = append(r.report.Losses, l) }

func (r *repair) close() error {
	for _, c := range r.collections {
		for _, s := range c.segments {
			if s.reader != nil {
				s.reader.Close()
			}
		}
	}
	if r.db == nil {
		return nil
	}
	db := r.db
	r.db = nil
	return db.Close()
}

// scan is P1.
func (r *repair) scan(ctx context.Context) error {
	if err := r.openPebble(); err != nil {
		return err
	}
	if err := r.scanCollections(ctx); err != nil {
		return err
	}
	if err := r.scanNames(); err != nil {
		return err
	}
	if err := r.scanTables(ctx); err != nil {
		return err
	}
	return r.scanLog(nil)
}

// scanLog lists what the log has lost. Records that are whole go to keep.
func (r *repair) scanLog(keep func(wal.Record) error) error {
	log := &logLosses{repair: r, after: r.state.Seq}
	r.report.Records = 0
	_, err := wal.Salvage(r.fs, r.path("wal"), r.state.WALLow, func(_ wal.FileNum, rec wal.Record) error {
		if rec.Type == recordBatch || rec.Type == recordForward {
			r.report.Records++
			b, err := decodeBatch(rec.Payload)
			if err != nil {
				return fmt.Errorf("log record %d: %w", rec.Seq, err)
			}
			if !r.knows(b.collection) {
				r.report.Records--
				log.unknown(rec, b.collection)
				return nil
			}
		}
		if rec.Type == recordBatch {
			log.flush(rec.Seq)
		}
		if keep != nil {
			return keep(rec)
		}
		return nil
	}, func(g wal.Gap) { log.gaps = append(log.gaps, g) })
	if keep == nil { // else they were reported before
		log.flush(0)
		for _, l := range log.found {
			r.lostLog = r.lostLog || l.Kind == LostRecords
			r.lose(l)
		}
	}
	return err
}

// logLosses turns stretches of the log that hold no record into losses.
type logLosses struct {
	*repair
	after uint64    // the batch before
	gaps  []wal.Gap // since then
	found []Loss
}

// knows reports whether a log record of a collection has its place: it is there, or
// was dropped.
func (r *repair) knows(collection uint32) bool {
	return slices.Contains(r.state.Dropped, collection) ||
		slices.ContainsFunc(r.collections, func(c *repairCollection) bool { return c.record.ID == collection })
}

// unknown reports a record of a collection that is lost.
func (l *logLosses) unknown(rec wal.Record, collection uint32) {
	l.found = append(l.found, Loss{
		Kind: LostRecords, Where: fmt.Sprintf("log record %d", rec.Seq), FirstSeq: rec.Seq, LastSeq: rec.Seq,
		Why: fmt.Sprintf("it is of collection %d, which is not there and was not dropped", collection),
	})
	l.after = max(l.after, rec.Seq)
}

// flush reports the gaps before the batch with a sequence number, 0: the end.
func (l *logLosses) flush(before uint64) {
	for _, g := range l.gaps {
		loss := Loss{Kind: LostTorn, Where: fmt.Sprintf("%s at byte %d, %d bytes", logPath(g.File), g.Offset, g.Size), Why: g.Err.Error()}
		if !g.Torn {
			loss.Kind, loss.FirstSeq = LostRecords, l.after+1
			if before > 0 {
				loss.LastSeq = before - 1
			}
		}
		if !g.Torn && before > 0 && loss.LastSeq < loss.FirstSeq {
			// No batch is missing: it was a note, a mark, or a copy of one.
			loss.FirstSeq, loss.LastSeq = 0, 0
		}
		l.found = append(l.found, loss)
	}
	l.gaps = l.gaps[:0]
	l.after = max(l.after, before)
}

// apply is P2 to P4. A torn end alone needs nothing: Open drops it.
func (r *repair) apply(ctx context.Context) error {
	if !r.lostLog && !r.lostPebble {
		return nil
	}
	if err := r.fs.RemoveAll(r.path(repairDir)); err != nil {
		return err
	}
	if err := r.fs.MkdirAll(r.path(repairDir), 0o755); err != nil {
		return err
	}
	if r.lostPebble {
		if err := r.rebuild(ctx); err != nil {
			return fmt.Errorf("colbertdb: rebuilding %q: %w", r.path("pebble"), err)
		}
	}
	if r.lostLog {
		if err := r.rewriteLog(); err != nil {
			return fmt.Errorf("colbertdb: rewriting the log: %w", err)
		}
	}
	if err := errors.Join(r.close(), syncDir(r.fs, r.path(repairDir)), r.setAside()); err != nil {
		return err
	}
	if err := errors.Join(writeFile(r.fs, r.path(incompleteName), []byte(repairing+"\n")), syncDir(r.fs, r.dir)); err != nil {
		return err
	}
	return r.swap()
}

// rewriteLog writes the whole records to one new file, above all others.
func (r *repair) rewriteLog() error {
	nums, err := wal.List(r.fs, r.path("wal"))
	if err != nil {
		return err
	}
	next := r.state.WALLow
	if len(nums) > 0 {
		next = max(next, nums[len(nums)-1]+1)
	}
	log, err := wal.Open(wal.Options{FS: r.fs, Dir: r.path(repairDir, "wal"), Sync: SyncNever, IdleMark: -1}, next)
	if err != nil {
		return err
	}
	err = r.scanLog(func(rec wal.Record) error { return log.Append([]wal.Record{rec}) })
	return errors.Join(err, log.Close(), syncDir(r.fs, r.path(repairDir, "wal")))
}

// setAside links what is to be replaced into the next free folder of lost+found.
func (r *repair) setAside() error {
	names, _ := r.fs.List(r.path(asideDir))
	next := 1
	for _, n := range names {
		if k, err := strconv.Atoi(n); err == nil {
			next = max(next, k+1)
		}
	}
	aside := r.path(asideDir, strconv.Itoa(next))
	for _, name := range r.parts() {
		if err := r.link(r.path(name), filepath.Join(aside, name)); err != nil {
			return fmt.Errorf("colbertdb: setting %q aside: %w", r.path(name), err)
		}
	}
	r.report.Aside = aside
	return errors.Join(syncDir(r.fs, aside), syncDir(r.fs, r.path(asideDir)), syncDir(r.fs, r.dir))
}

// parts are the folders that have been built anew.
func (r *repair) parts() (out []string) {
	for _, name := range []string{"pebble", "wal"} {
		if _, err := r.fs.Stat(r.path(repairDir, name)); err == nil {
			out = append(out, name)
		}
	}
	return out
}

// link makes folder to with links to the files of from, durable but for its name.
func (r *repair) link(from, to string) error {
	names, err := r.fs.List(from)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a folder that is gone is like an empty one
		return err
	}
	if err := r.fs.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, n := range names {
		if n == "LOCK" {
			continue
		}
		if err := vfs.LinkOrCopy(r.fs, filepath.Join(from, n), filepath.Join(to, n)); err != nil {
			return err
		}
	}
	return syncDir(r.fs, to)
}

// swap is P4. It starts over as often as it is interrupted: repair.tmp stays
// whole until it is done.
func (r *repair) swap() error {
	for _, name := range r.parts() {
		err := r.fs.RemoveAll(r.path(name))
		if err == nil {
			err = r.link(r.path(repairDir, name), r.path(name))
		}
		if err != nil {
			return fmt.Errorf("colbertdb: putting %q into place: %w", r.path(name), err)
		}
	}
	if err := syncDir(r.fs, r.dir); err != nil {
		return err
	}
	// A checkpoint's descriptor describes what is no more.
	for _, name := range []string{descriptorName, incompleteName} {
		if _, err := r.fs.Stat(r.path(name)); err == nil {
			if err := errors.Join(r.fs.Remove(r.path(name)), syncDir(r.fs, r.dir)); err != nil {
				return err
			}
		}
	}
	r.report.Applied = true
	return r.fs.RemoveAll(r.path(repairDir))
}
