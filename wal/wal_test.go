package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func record(seq int) Record {
	r := rand.New(rand.NewPCG(uint64(seq), 1))
	p := make([]byte, r.IntN(300))
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return Record{Seq: uint64(seq), Type: uint8(seq % 5), Payload: p}
}

func group(from, n int) []Record {
	out := make([]Record, n)
	for i := range out {
		out[i] = record(from + i)
	}
	return out
}

func mustOpen(t testing.TB, o Options, next FileNum) *Log {
	t.Helper()
	o.Dir = "wal"
	if o.IdleMark == 0 {
		o.IdleMark = -1
	}
	l, err := Open(o, next)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// replayed returns the sequence numbers that a replay gives, checking payloads.
func replayed(t testing.TB, fs vfs.FS, low FileNum) ([]uint64, ReplayInfo, error) {
	t.Helper()
	var out []uint64
	info, err := Replay(fs, "wal", low, func(_ FileNum, r Record) error {
		if w := record(int(r.Seq)); w.Type != r.Type || !bytes.Equal(w.Payload, r.Payload) {
			t.Fatalf("record %d came back changed", r.Seq)
		}
		out = append(out, r.Seq)
		return nil
	})
	return out, info, err
}

func wantPrefix(t testing.TB, got []uint64, atLeast, atMost int) {
	t.Helper()
	for i, s := range got {
		if s != uint64(i+1) {
			t.Fatalf("record %d has sequence %d", i, s)
		}
	}
	if len(got) < atLeast || len(got) > atMost {
		t.Fatalf("%d records, want %d to %d", len(got), atLeast, atMost)
	}
}

func TestAppendAndReplayOverFiles(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, Options{FS: fs}, 1)
	seq := 1
	for file := range 3 {
		for range 5 {
			if err := l.Append(group(seq, 4)); err != nil {
				t.Fatal(err)
			}
			seq += 4
		}
		if file < 2 {
			if n, err := l.Rotate(); err != nil || n != FileNum(file+2) {
				t.Fatalf("rotated to %d, %v", n, err)
			}
		}
	}
	if m := l.Metrics(); m.Records != 60 || m.Groups != 15 || m.Syncs < 15 {
		t.Errorf("metrics %+v", m)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got, info, err := replayed(t, fs, 1)
	if err != nil || info.TornBytes != 0 || info.Last != 3 {
		t.Fatalf("%+v, %v", info, err)
	}
	wantPrefix(t, got, 60, 60)
	l = mustOpen(t, Options{FS: fs, Prev: info.Last, PrevEnd: info.LastEnd}, 4)
	if err := l.Append(group(61, 1)); err != nil {
		t.Fatal(err)
	}
	if err := l.Remove(3); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got, _, err = replayed(t, fs, 3)
	if err != nil || len(got) != 21 || got[0] != 41 {
		t.Fatalf("after removing two files: %v, %v", got, err)
	}
	if err := l.Append(group(62, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
}

// written returns the bytes of a log file with the offset after each record.
func written(t *testing.T, groups, each int) (file []byte, ends []int) {
	fs := vfs.NewMem()
	l := mustOpen(t, Options{FS: fs}, 1)
	for g := range groups {
		if err := l.Append(group(1+g*each, each)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := readFile(fs, filePath("wal", 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for at := fileHeader; at < len(b); {
		_, _, size, err := parseFrame(b[at:], 1)
		if err != nil {
			t.Fatal(err)
		}
		at += size
		ends = append(ends, at)
	}
	return b, ends
}

func store(t testing.TB, b []byte) vfs.FS {
	t.Helper()
	fs := vfs.NewMem()
	if err := fs.MkdirAll("wal", 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(filePath("wal", 1), vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write(b)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// A file cut anywhere gives the records that are whole before the cut.
func TestTruncationKeepsWholeRecords(t *testing.T) {
	b, ends := written(t, 20, 2)
	cuts := []int{}
	for c := ends[len(ends)-4]; c <= len(b); c++ {
		cuts = append(cuts, c)
	}
	for range 1000 {
		cuts = append(cuts, fileHeader+rand.IntN(len(b)-fileHeader))
	}
	for _, cut := range cuts {
		whole := 0
		for _, e := range ends {
			if e <= cut {
				whole++
			}
		}
		for name, tail := range map[string][]byte{"cut": nil, "zeros": make([]byte, 500), "garbage": bytes.Repeat([]byte{0x5a, 1, 0xc0}, 200)} {
			got, info, err := replayed(t, store(t, append(bytes.Clone(b[:cut]), tail...)), 1)
			if err != nil {
				t.Fatalf("%s at %d: %v", name, cut, err)
			}
			most := whole
			if name == "zeros" { // may be just the padding that was cut off
				most++
			}
			wantPrefix(t, got, whole, most)
			if name == "cut" && info.TornBytes != int64(cut-append([]int{fileHeader}, ends...)[whole]) {
				t.Fatalf("cut at %d: %d torn bytes", cut, info.TornBytes)
			}
		}
	}
}

// Any flipped bit either leaves all records or is reported, but for the last
// group, which cannot be told from a torn write.
func TestBitFlipsNeverLoseWhatWasMarkedDurable(t *testing.T) {
	const groups, each = 12, 3
	b, ends := written(t, groups, each)
	marked := (groups - 1) * each
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1 << rand.IntN(8)
		got, _, err := replayed(t, store(t, bad), 1)
		var c *CorruptionError
		if errors.As(err, &c) {
			if c.File != 1 || !errors.Is(err, ErrCorruption) {
				t.Fatalf("byte %d: %v", i, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		wantPrefix(t, got, marked, groups*each)
		if i < ends[marked-1] && i >= 36 && len(got) != groups*each {
			t.Fatalf("byte %d of %d: lost records silently", i, len(b))
		}
	}
}

// A record that is bad, zeroed or of garbage is damage where a record behind it
// says that it was durable, and otherwise the end of the log.
func TestBadRecordBeforeADurableMark(t *testing.T) {
	b, ends := written(t, 20, 1)
	starts := append([]int{fileHeader}, ends[:len(ends)-1]...)
	for i, start := range starts {
		for name, fill := range map[string]byte{"zeros": 0, "garbage": 0x5a} {
			bad := bytes.Clone(b)
			for j := start; j < ends[i]; j++ {
				bad[j] = fill
			}
			got, info, err := replayed(t, store(t, bad), 1)
			if i == len(starts)-1 {
				if err != nil || info.TornBytes == 0 {
					t.Fatalf("%s in the last record: %+v, %v", name, info, err)
				}
				wantPrefix(t, got, i, i)
				continue
			}
			var c *CorruptionError
			if !errors.As(err, &c) || c.Offset != int64(start) {
				t.Fatalf("%s in record %d at %d: %v", name, i, start, err)
			}
		}
	}
}

// Once a footer or an idle mark follows, the last group is covered too.
func TestMarksCoverTheLastGroup(t *testing.T) {
	for _, how := range []string{"footer", "idle"} {
		t.Run(how, func(t *testing.T) {
			fs := vfs.NewMem()
			l := mustOpen(t, Options{FS: fs, IdleMark: 20 * time.Millisecond}, 1)
			if err := l.Append(group(1, 2)); err != nil {
				t.Fatal(err)
			}
			end := l.end
			if how == "footer" {
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
					l.mu.Lock()
					marked := l.marked
					l.mu.Unlock()
					if marked >= end {
						break
					}
					if time.Now().After(deadline) {
						t.Fatal("no idle mark")
					}
				}
				time.Sleep(100 * time.Millisecond)
				if l.end > end+frameHeader {
					t.Errorf("idle marks pile up: %d bytes", l.end-end)
				}
				defer l.Close()
			}
			b, err := readFile(fs, filePath("wal", 1))
			if err != nil {
				t.Fatal(err)
			}
			b[end-12] ^= 4
			if _, _, err := replayed(t, store(t, b), 1); !errors.Is(err, ErrCorruption) {
				t.Errorf("damage in the last group: %v", err)
			}
		})
	}
}

// A file that lost its end, or is gone, is missed by the one after it.
func TestChainOfFilesFindsMissingTails(t *testing.T) {
	build := func() vfs.FS {
		fs := vfs.NewMem()
		l := mustOpen(t, Options{FS: fs}, 1)
		for i := range 3 {
			if err := l.Append(group(1+i*2, 2)); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Rotate(); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return fs
	}
	fs := build()
	if err := fs.Remove(filePath("wal", 2)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := replayed(t, fs, 1); !errors.Is(err, ErrCorruption) {
		t.Errorf("a missing file: %v", err)
	}
	if got, _, err := replayed(t, fs, 3); err != nil || len(got) != 2 {
		t.Errorf("a file below the low-water mark is not needed: %v %v", got, err)
	}
	fs = build()
	for num := FileNum(3); num <= 4; num++ { // those that the manifest names, and all after
		if err := fs.Remove(filePath("wal", num)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := replayed(t, fs, 3); !errors.Is(err, ErrCorruption) {
		t.Errorf("a log without its files: %v", err)
	}
	var gaps []Gap
	if _, err := Salvage(fs, "wal", 3, func(FileNum, Record) error { return nil }, func(g Gap) { gaps = append(gaps, g) }); err != nil || len(gaps) != 1 || gaps[0].File != 3 {
		t.Errorf("salvage of a log without its files: %v, %v", gaps, err)
	}
	if r, err := Check(fs, "wal", 4, fileHeader); err != nil || len(r.Problems) != 1 {
		t.Errorf("check of a log without its newest file: %+v, %v", r, err)
	}
	fs = build()
	b, err := readFile(fs, filePath("wal", 2))
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(filePath("wal", 2), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b[:fileHeader]); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := replayed(t, fs, 1); !errors.Is(err, ErrCorruption) {
		t.Errorf("a file without its records: %v", err)
	}
}

// What Append acknowledged survives a crash that drops unsynced data.
func TestCrashKeepsAcknowledged(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 7))
		fs := vfs.NewCrashableMem()
		seq, next := 1, FileNum(1)
		var prev ReplayInfo
		for range 3 {
			l := mustOpen(t, Options{FS: fs, Prev: prev.Last, PrevEnd: prev.LastEnd}, next)
			for range 1 + r.IntN(8) {
				n := 1 + r.IntN(4)
				if err := l.Append(group(seq, n)); err != nil {
					t.Fatal(err)
				}
				seq += n
				if r.IntN(4) == 0 {
					if _, err := l.Rotate(); err != nil {
						t.Fatal(err)
					}
				}
			}
			crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			fs = crashed
			got, info, err := replayed(t, fs, 1)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			wantPrefix(t, got, seq-1, seq-1)
			prev, next = info, info.Last+1
		}
	}
}

// A process that was killed leaves records that were never synced. The replay
// after it reads them; a power loss must not take them away again, since the
// next file says that they were there.
func TestReplayedRecordsAreDurable(t *testing.T) {
	fs := vfs.NewCrashableMem()
	killed := mustOpen(t, Options{FS: fs, Sync: SyncNever}, 1)
	if err := killed.Append(group(1, 5)); err != nil {
		t.Fatal(err)
	}
	_, info, err := replayed(t, fs, 1)
	if err != nil {
		t.Fatal(err)
	}
	l := mustOpen(t, Options{FS: fs, Prev: info.Last, PrevEnd: info.LastEnd}, 2)
	if err := l.Append(group(6, 1)); err != nil {
		t.Fatal(err)
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	if err := errors.Join(l.Close(), killed.Close()); err != nil {
		t.Fatal(err)
	}
	got, _, err := replayed(t, crashed, 1)
	if err != nil {
		t.Fatal(err)
	}
	wantPrefix(t, got, 6, 6)
}

func TestFailedWritesPoison(t *testing.T) {
	for _, kind := range []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileSync} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			mem := vfs.NewMem()
			fail := false
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if fail && op.Kind == kind {
					return errors.New("injected")
				}
				return nil
			}))
			l := mustOpen(t, Options{FS: fs}, 1)
			if err := l.Append(group(1, 3)); err != nil {
				t.Fatal(err)
			}
			fail = true
			if err := l.Append(group(4, 1)); !errors.Is(err, ErrPoisoned) {
				t.Fatalf("append: %v", err)
			}
			fail = false // the disk is well again: too late
			if err := l.Append(group(4, 1)); !errors.Is(err, ErrPoisoned) {
				t.Errorf("append after a failure: %v", err)
			}
			if _, err := l.Rotate(); !errors.Is(err, ErrPoisoned) {
				t.Errorf("rotate after a failure: %v", err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			got, _, err := replayed(t, mem, 1)
			if err != nil {
				t.Fatal(err)
			}
			wantPrefix(t, got, 3, 4)
		})
	}
}

func TestSyncInterval(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, Options{FS: fs, Sync: SyncInterval, SyncInterval: 5 * time.Millisecond}, 1)
	defer l.Close()
	if err := l.Append(group(1, 1)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); l.Metrics().Syncs == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never synced")
		}
	}
}

func TestReplayNamesTheRecordThatItsCallerRefuses(t *testing.T) {
	b, _ := written(t, 2, 1)
	boom := errors.New("boom")
	_, err := Replay(store(t, b), "wal", 1, func(FileNum, Record) error { return boom })
	if !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
}

func FuzzReplay(f *testing.F) {
	f.Add(appendFrame(appendFileHeader(nil, 1, 0, 0), 1, record(1), 0))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := Replay(store(t, b), "wal", 1, func(FileNum, Record) error { return nil })
		if err != nil && !errors.Is(err, ErrCorruption) {
			t.Error(err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	fs := vfs.NewMem()
	l := mustOpen(b, Options{FS: fs}, 1)
	defer l.Close()
	r := []Record{{Seq: 1, Payload: make([]byte, 30_000)}}
	b.SetBytes(30_000)
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Append(r); err != nil {
			b.Fatal(err)
		}
	}
}
