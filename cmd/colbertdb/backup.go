package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/engine"
)

type backupCmd struct {
	File  string `arg:"" help:"File to write, or - for standard output."`
	Since string `placeholder:"FILE" help:"Earlier backup: write only what it lacks. Restore needs both."`
}

// backupOutput is the JSON of backup and restore.
type backupOutput struct {
	ID      string  `json:"id"`
	Parent  string  `json:"parent,omitempty"`
	Seq     uint64  `json:"seq"`
	Files   int     `json:"files"`
	Bytes   int64   `json:"bytes"`         // of the store
	Stored  int64   `json:"stored"`        // of the files in the backup
	Written int64   `json:"written_bytes"` // of the backup itself
	Seconds float64 `json:"seconds"`
}

// Run writes to a file beside the target first: a backup is there whole or not at all.
func (c *backupCmd) Run(a *app) (err error) {
	var o engine.BackupOptions
	if c.Since != "" {
		if o.Since, err = readBackup(c.Since); err != nil {
			return fmt.Errorf("%s: %w", c.Since, err)
		}
	}
	db, err := a.readStore()
	if err != nil {
		return err
	}
	defer closing(&err, db)
	report, end := a.bytesDone()
	o.Progress = report
	if o.Name, err = filepath.Abs(c.File); err != nil || c.File == "-" {
		o.Name = c.File
	}
	start := time.Now()
	var d *engine.Descriptor
	written, err := writeWhole(c.File, a.stdout, func(w io.Writer) (err error) {
		d, err = db.Backup(a.ctx, w, o)
		return err
	})
	end()
	if err != nil {
		return err
	}
	out := backupOutput{
		ID: d.ID, Parent: d.Parent, Seq: d.Seq, Files: len(d.Files), Bytes: d.Bytes(), Stored: d.Stored(),
		Written: written, Seconds: time.Since(start).Seconds(),
	}
	if a.JSON && c.File != "-" {
		return a.printJSON(out)
	}
	line := fmt.Sprintf("%s: %s, %s of %s of files in %s, in %s", c.File, backupName(d), render.Bytes(out.Stored), render.Bytes(out.Bytes),
		render.Bytes(written), render.Duration(time.Since(start)))
	if c.File == "-" {
		a.note("%s", line)
	} else {
		a.printf("%s\n", line)
	}
	return nil
}

func backupName(d *engine.Descriptor) string {
	kind := "full backup"
	if d.Parent != "" {
		kind = "backup since " + d.Parent[:8]
	}
	return fmt.Sprintf("%s %.8s up to change %d", kind, d.ID, d.Seq)
}

// writeWhole writes a file beside path, syncs it and renames it; - is stdout.
func writeWhole(path string, stdout io.Writer, write func(io.Writer) error) (n int64, err error) {
	count := &counter{w: stdout}
	if path == "-" {
		err := write(count)
		return count.n, err
	}
	tmp := path + ".tmp"
	f, err := os.Create(tmp)
	if err != nil {
		return 0, err
	}
	count.w = f
	buf := bufio.NewWriterSize(count, 1<<20)
	if err = write(buf); err == nil {
		err = buf.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
	}
	return count.n, err
}

// counter counts what it passes on.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

func readBackup(path string) (_ *engine.Descriptor, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer closing(&err, f)
	return engine.ReadBackup(bufio.NewReader(f))
}

type restoreCmd struct {
	Files []string  `arg:"" help:"A full backup, then those that add to it, in order; - is standard input. With --logs: the folder of a checkpoint."`
	Logs  string    `placeholder:"DIR" help:"Go on with the log in this folder, a store's wal, from the checkpoint on."`
	Seq   uint64    `help:"With --logs: the last change to restore. Default: the last of the log."`
	Time  time.Time `help:"With --logs: restore the changes before this time, such as 2026-05-01T12:00:00Z."`
}

// restoreToOutput is the JSON of restore --logs.
type restoreToOutput struct {
	Seq     uint64  `json:"seq"`
	Seconds float64 `json:"seconds"`
}

// Run makes the store that --db names.
func (c *restoreCmd) Run(a *app) (err error) {
	if c.Logs != "" {
		return c.toPoint(a)
	}
	if c.Seq != 0 || !c.Time.IsZero() {
		return usagef("--seq and --time need --logs and a checkpoint")
	}
	var chain []io.Reader
	for _, path := range c.Files {
		if path == "-" {
			chain = append(chain, bufio.NewReaderSize(a.stdin, 1<<20))
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer closing(&err, f)
		chain = append(chain, bufio.NewReaderSize(f, 1<<20))
	}
	dir := cmp.Or(a.DB, defaultDB)
	report, end := a.bytesDone()
	start := time.Now()
	d, err := engine.Restore(a.ctx, dir, chain, engine.RestoreOptions{Progress: report})
	end()
	if err != nil {
		return err
	}
	if a.JSON {
		return a.printJSON(backupOutput{ID: d.ID, Seq: d.Seq, Files: len(d.Files), Bytes: d.Bytes(), Stored: d.Stored(), Seconds: time.Since(start).Seconds()})
	}
	a.printf("%s: %d files, %s, everything up to change %d, in %s\n", dir, len(d.Files), render.Bytes(d.Bytes()), d.Seq, render.Duration(time.Since(start)))
	return nil
}

// toPoint restores a checkpoint and a part of the log.
func (c *restoreCmd) toPoint(a *app) error {
	if len(c.Files) != 1 {
		return usagef("--logs goes with one checkpoint")
	}
	dir := cmp.Or(a.DB, defaultDB)
	start := time.Now()
	seq, err := engine.RestoreTo(a.ctx, dir, c.Files[0], engine.RestoreToOptions{Seq: c.Seq, Time: c.Time, Logs: c.Logs})
	if err != nil {
		return err
	}
	if a.JSON {
		return a.printJSON(restoreToOutput{Seq: seq, Seconds: time.Since(start).Seconds()})
	}
	a.printf("%s: %s and the log, everything up to change %d, in %s\n", dir, c.Files[0], seq, render.Duration(time.Since(start)))
	return nil
}
