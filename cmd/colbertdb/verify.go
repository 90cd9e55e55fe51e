package main

import (
	"bufio"
	"errors"
	"os"
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/engine"
)

type verifyCmd struct {
	Backup string `arg:"" optional:"" help:"A backup to check instead of the store."`
}

// verifyOutput is the JSON of verify.
type verifyOutput struct {
	OK          bool     `json:"ok"`
	Collections int      `json:"collections"`
	Segments    int      `json:"segments"`
	Documents   int64    `json:"documents"`
	Tokens      int64    `json:"tokens"`
	Bytes       int64    `json:"bytes"`
	Files       int      `json:"files"`
	FileBytes   int64    `json:"file_bytes"`
	TornBytes   int64    `json:"torn_bytes,omitempty"`
	Problems    []string `json:"problems,omitempty"`
	Seconds     float64  `json:"seconds"`
}

// Run reads the whole store. Damage is listed and gives exit status 3.
func (c *verifyCmd) Run(a *app) (err error) {
	if c.Backup != "" {
		return c.backup(a)
	}
	db, err := a.readStore()
	if err != nil {
		return err
	}
	defer closing(&err, db)
	start := time.Now()
	r, err := db.Verify(a.ctx)
	if err != nil {
		return err
	}
	out := verifyOutput{
		OK: r.Ok(), Collections: r.Collections, Segments: r.Segments,
		Documents: r.Documents, Tokens: r.Tokens, Bytes: r.Bytes, Seconds: time.Since(start).Seconds(),
		Files: r.Files, FileBytes: r.FileBytes, TornBytes: r.TornBytes,
	}
	for _, p := range r.Problems {
		out.Problems = append(out.Problems, p.Error())
	}
	if a.JSON {
		err = a.printJSON(out)
	} else {
		for _, p := range out.Problems {
			a.printf("%s\n", p)
		}
		result := "ok"
		if !out.OK {
			result = render.Count(int64(len(out.Problems))) + " problems"
		}
		if r.TornBytes > 0 {
			a.printf("log: %s of a write that was never acknowledged, dropped\n", render.Bytes(r.TornBytes))
		}
		a.printf("%s: %s documents, %s tokens in %d segments of %d collections, %d files of %s read in %s\n", result, render.Count(r.Documents),
			render.Count(r.Tokens), r.Segments, r.Collections, r.Files, render.Bytes(r.FileBytes), render.Duration(time.Since(start)))
	}
	if err == nil && !out.OK {
		return statusError(exitPartial)
	}
	return err
}

// backup reads a backup. One piece of damage ends the reading.
func (c *verifyCmd) backup(a *app) (err error) {
	f, err := os.Open(c.Backup)
	if err != nil {
		return err
	}
	defer closing(&err, f)
	report, end := a.bytesDone()
	start := time.Now()
	d, err := engine.VerifyBackup(a.ctx, bufio.NewReaderSize(f, 1<<20), report)
	end()
	if err != nil && !errors.Is(err, engine.ErrCorruption) {
		return err
	}
	out := verifyOutput{OK: err == nil, Seconds: time.Since(start).Seconds()}
	if d != nil {
		out.Bytes = d.Stored()
	}
	if err != nil {
		out.Problems = []string{err.Error()}
	}
	switch {
	case a.JSON:
		err = a.printJSON(out)
	case !out.OK:
		a.printf("%s\n", out.Problems[0])
		err = nil
	default:
		a.printf("ok: %s, %s of files read in %s\n", backupName(d), render.Bytes(out.Bytes), render.Duration(time.Since(start)))
	}
	if err == nil && !out.OK {
		return statusError(exitPartial)
	}
	return err
}
