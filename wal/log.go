package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/internal/failpoint"
)

// FileNum numbers log files; the first is 1.
type FileNum uint64

// SyncMode says when Append's records are on stable storage.
type SyncMode uint8

const (
	SyncAlways   SyncMode = iota // before Append returns. The default.
	SyncInterval                 // within Options.SyncInterval
	SyncNever                    // when the operating system likes
)

// String returns the mode's name.
func (m SyncMode) String() string {
	switch m {
	case SyncAlways:
		return "always"
	case SyncInterval:
		return "interval"
	case SyncNever:
		return "never"
	}
	return fmt.Sprintf("SyncMode(%d)", uint8(m))
}

// Errors of a Log.
var (
	ErrPoisoned = errors.New("colbertdb: log takes no more writes after a failed one")
	ErrClosed   = errors.New("colbertdb: log is closed")
)

// Options configure a Log.
type Options struct {
	FS  vfs.FS // Default: the operating system's.
	Dir string
	// Sync says when records are durable. Default: SyncAlways.
	Sync SyncMode
	// SyncInterval is the time between syncs under SyncInterval. Default: 100 ms.
	SyncInterval time.Duration
	// IdleMark is the idle time after which a durable mark is written, which
	// makes damage to the last records detectable. Default: 1 s. Negative: never.
	IdleMark time.Duration
	// Prev and PrevEnd are the last file of the replay before Open and the
	// length of its good part.
	Prev    FileNum
	PrevEnd int64
	// OnSync is told how long each fsync of records took, under the log's lock.
	// Optional.
	OnSync func(time.Duration)
}

// Metrics count a Log's work since it was opened.
type Metrics struct {
	Records, Groups, Syncs uint64
	Bytes                  uint64
	File                   FileNum
}

// Log is the log of one store, open for appending. Its methods may be called
// from many goroutines.
type Log struct {
	o    Options
	mu   sync.Mutex
	file vfs.File
	num  FileNum
	// end is the length of the file, durable the synced part of it, marked the
	// largest durable offset that a record in the file carries, reserved how far
	// the disk has room for it.
	end, durable, marked, reserved int64
	aside                          int64 // kept for the next Note
	lastAppend                     time.Time
	err                            error
	closed                         bool
	buf                            []byte
	metrics                        Metrics
	stop                           chan struct{}
	wg                             sync.WaitGroup
}

// Open creates file next in the log's folder, which is created if need be, and
// returns a Log that appends to it. Older files are left alone.
func Open(o Options, next FileNum) (*Log, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.SyncInterval <= 0 {
		o.SyncInterval = 100 * time.Millisecond
	}
	if o.IdleMark == 0 {
		o.IdleMark = time.Second
	}
	if err := o.FS.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("colbertdb: creating %q: %w", o.Dir, err)
	}
	if err := syncDir(o.FS, o.FS.PathDir(o.Dir)); err != nil {
		return nil, err
	}
	removeErased(o.FS, o.Dir)
	// The new file will say how long the one before is, and replay may have read
	// records of it that were never synced.
	if o.Prev > 0 {
		if err := syncFile(o.FS, filePath(o.Dir, o.Prev)); err != nil {
			return nil, err
		}
	}
	l := &Log{o: o, stop: make(chan struct{})}
	f, err := l.create(next)
	if err == nil {
		err = l.start(f, next, o.Prev, o.PrevEnd)
	}
	if err != nil {
		return nil, err
	}
	l.wg.Add(1)
	go l.background()
	return l, nil
}

// create makes an empty file with room for its header, or none where the disk has
// no room. The next open takes an empty file for one that was being made.
func (l *Log) create(num FileNum) (vfs.File, error) {
	path := filePath(l.o.Dir, num)
	f, err := l.o.FS.Create(path, vfs.WriteCategoryUnspecified)
	if vfs.IsNoSpaceError(err) {
		return nil, fmt.Errorf("%w: creating file %d: %w", ErrNoSpace, num, err)
	}
	if err != nil {
		return nil, fmt.Errorf("colbertdb: creating log file %q: %w", path, err)
	}
	if err := f.Preallocate(0, fileHeader); vfs.IsNoSpaceError(err) {
		// One that stays would hide the file before it from the next open.
		if rerr := errors.Join(f.Close(), l.o.FS.Remove(path)); rerr != nil {
			return nil, fmt.Errorf("colbertdb: creating log file %q: %w", path, errors.Join(err, rerr))
		}
		return nil, fmt.Errorf("%w: creating file %d: %w", ErrNoSpace, num, err)
	}
	return f, nil
}

// start makes a file that was created the log's own and durable. The caller holds
// mu, or is Open.
func (l *Log) start(f vfs.File, num, prev FileNum, prevEnd int64) error {
	path := filePath(l.o.Dir, num)
	_, err := f.Write(appendFileHeader(nil, num, prev, prevEnd))
	if err == nil {
		err = f.Sync()
	}
	if err == nil && !failpoint.On(failpoint.SkipDirSync) {
		err = syncDir(l.o.FS, l.o.Dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("colbertdb: starting log file %q: %w", path, err), f.Close())
	}
	l.file, l.num = f, num
	l.end, l.durable, l.marked, l.reserved, l.aside = fileHeader, fileHeader, 0, fileHeader, 0
	return nil
}

// Append writes records as one group: one write and, under SyncAlways, one
// fsync. After an error none of them counts as written, and nothing more is,
// but for ErrNoSpace: then nothing was written, and the log goes on.
func (l *Log) Append(records []Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	l.buf = l.buf[:0]
	for _, r := range records {
		if len(r.Payload) > MaxPayload || r.Type >= typeMark {
			return fmt.Errorf("colbertdb: log record of type %d with %d bytes, the limit is %d", r.Type, len(r.Payload), MaxPayload)
		}
		l.buf = appendFrame(l.buf, l.num, r, l.durable)
	}
	if err := l.write(); err != nil {
		return err
	}
	l.metrics.Records += uint64(len(records))
	l.metrics.Groups++
	l.lastAppend = time.Now()
	if l.o.Sync == SyncAlways {
		return l.sync()
	}
	return nil
}

func (l *Log) usable() error {
	if l.closed {
		return ErrClosed
	}
	if l.err != nil {
		return fmt.Errorf("%w: %w", ErrPoisoned, l.err)
	}
	return nil
}

// write appends buf to the file.
func (l *Log) write() error {
	if err := l.reserve(len(l.buf)); err != nil {
		return err
	}
	n, err := l.file.Write(l.buf)
	if err == nil && n < len(l.buf) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return l.poison(err)
	}
	l.end += int64(n)
	l.marked = l.durable
	l.metrics.Bytes += uint64(n)
	if cap(l.buf) > 4<<20 {
		l.buf = nil
	}
	return nil
}

func (l *Log) sync() error {
	if l.durable == l.end {
		return nil
	}
	start := time.Now()
	if !failpoint.On(failpoint.SkipLogSync) {
		if err := l.file.Sync(); err != nil {
			return l.poison(err)
		}
	}
	if l.o.OnSync != nil {
		l.o.OnSync(time.Since(start))
	}
	l.durable = l.end
	l.metrics.Syncs++
	return nil
}

func (l *Log) poison(err error) error {
	if l.err == nil {
		l.err = err
	}
	return l.usable()
}

// mark writes a record that carries the durable offset.
func (l *Log) mark(kind uint8) error {
	l.buf = appendFrame(l.buf[:0], l.num, Record{Type: kind}, l.durable)
	return l.write()
}

// Sync makes everything that was appended durable, whatever the mode.
func (l *Log) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	return l.sync()
}

// background syncs under SyncInterval and writes idle marks.
func (l *Log) background() {
	defer l.wg.Done()
	every := l.o.IdleMark / 4
	if l.o.Sync == SyncInterval {
		every = l.o.SyncInterval
	}
	if every <= 0 {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
			l.tick()
		}
	}
}

// tick does what is due; a failure poisons and the next Append reports it.
func (l *Log) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.usable() != nil {
		return
	}
	if l.o.Sync == SyncInterval && l.sync() != nil {
		return
	}
	idle := l.o.IdleMark > 0 && time.Since(l.lastAppend) >= l.o.IdleMark
	// The mark's own bytes need no mark: nothing is lost with them.
	if idle && l.o.Sync != SyncNever && l.durable == l.end && l.marked < l.durable && !l.onlyMarksSince() {
		if l.mark(typeMark) == nil {
			_ = l.sync() // poisons on failure
		}
	}
}

// onlyMarksSince reports whether all that is not yet covered by a mark is one.
func (l *Log) onlyMarksSince() bool { return l.end-l.marked <= frameHeader || l.end == fileHeader }

// Rotate closes the file with a footer and starts the next one, whose number it
// returns. Afterwards everything in older files is durable. Where the disk has no
// room for that, it returns ErrNoSpace and the log goes on in its file.
func (l *Log) Rotate() (FileNum, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return 0, err
	}
	// Records are durable before there is another file, which is the one that the
	// next open would sync; and there is room for all that follows.
	if err := l.sync(); err != nil {
		return 0, err
	}
	if err := l.reserve(frameHeader); err != nil {
		return 0, err
	}
	f, err := l.create(l.num + 1)
	if errors.Is(err, ErrNoSpace) {
		return 0, err
	}
	if err != nil {
		return 0, l.poison(err)
	}
	if err := l.finishFile(); err != nil {
		return 0, errors.Join(err, f.Close())
	}
	if err := l.start(f, l.num+1, l.num, l.end); err != nil {
		return 0, l.poison(err)
	}
	return l.num, nil
}

// finishFile syncs the records, then writes and syncs a footer that says so.
func (l *Log) finishFile() error {
	if err := l.sync(); err != nil {
		return err
	}
	// A full disk has no room for the footer that a Close writes: it does without.
	if err := l.mark(typeFooter); err != nil && !errors.Is(err, ErrNoSpace) {
		return err
	}
	if err := l.sync(); err != nil {
		return err
	}
	f := l.file
	l.file = nil // whatever Close returns, and until the next file is there
	if err := f.Close(); err != nil {
		return l.poison(err)
	}
	return nil
}

// Remove removes the files before below and makes that durable.
func (l *Log) Remove(below FileNum) error {
	nums, err := List(l.o.FS, l.o.Dir)
	if err != nil {
		return err
	}
	removed := false
	for _, n := range nums {
		if n >= below {
			break
		}
		if err := l.o.FS.Remove(filePath(l.o.Dir, n)); err != nil {
			return fmt.Errorf("colbertdb: removing log file %d: %w", n, err)
		}
		removed = true
	}
	if !removed {
		return nil
	}
	return syncDir(l.o.FS, l.o.Dir)
}

// Metrics returns counts of the work done.
func (l *Log) Metrics() Metrics {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.metrics
	m.File = l.num
	return m
}

// Close syncs and closes the log in order; a poisoned log is only closed.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	var err error
	if l.err == nil {
		err = l.finishFile()
	}
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
	}
	l.closed = true
	l.mu.Unlock()
	close(l.stop)
	l.wg.Wait()
	return err
}

// List returns the numbers of the log files in a folder, ascending; none where
// the folder does not exist.
func List(fsys vfs.FS, dir string) ([]FileNum, error) {
	names, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("colbertdb: listing %q: %w", dir, err)
	}
	var out []FileNum
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, ".wal")
		if n, err := strconv.ParseUint(digits, 10, 64); ok && err == nil {
			out = append(out, FileNum(n))
		}
	}
	slices.Sort(out)
	return out, nil
}

// FileName is the name of a log file in its folder.
func FileName(n FileNum) string { return fmt.Sprintf("%012d.wal", n) }

func filePath(dir string, n FileNum) string { return filepath.Join(dir, FileName(n)) }

func syncFile(fsys vfs.FS, path string) error {
	f, err := fsys.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("colbertdb: opening log file %q: %w", path, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("colbertdb: syncing log file %q: %w", path, err)
	}
	return nil
}

func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("colbertdb: opening %q: %w", dir, err)
	}
	if err := d.Sync(); err != nil {
		return errors.Join(fmt.Errorf("colbertdb: syncing %q: %w", dir, err), d.Close())
	}
	return d.Close()
}
