package engine

import (
	"path/filepath"
	"time"

	"github.com/colbertdb-go/colbertdb/wal"
)

// removable returns the log file below which files may go, given the one below
// which they are superseded: less what Options keep, and what an iteration of
// Changes has still to read.
func (e *Engine) removable(low wal.FileNum) (wal.FileNum, error) {
	e.mu.Lock()
	for c := range e.cursors {
		low = min(low, c.file)
	}
	e.mu.Unlock()
	if e.opts.KeepLogBytes == 0 && e.opts.KeepLogAge == 0 {
		return low, nil
	}
	nums, err := wal.List(e.fs, e.walDir())
	if err != nil {
		return 0, err
	}
	var total int64
	for i := len(nums) - 1; i >= 0; i-- {
		if nums[i] >= low {
			continue
		}
		info, err := e.fs.Stat(filepath.Join(e.walDir(), wal.FileName(nums[i])))
		if err != nil {
			return 0, err
		}
		total += info.Size()
		if e.opts.KeepLogBytes > 0 && total > e.opts.KeepLogBytes || e.opts.KeepLogAge > 0 && time.Since(info.ModTime()) > e.opts.KeepLogAge {
			return nums[i] + 1, nil
		}
		if i == 0 {
			return nums[0], nil
		}
	}
	return low, nil
}

// keepLogs keeps all log files that there are until done is called. The caller holds
// Engine.pub.
func (e *Engine) keepLogs() (done func()) {
	c := &logCursor{e: e}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cursors[c] = struct{}{}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.cursors, c)
	}
}
