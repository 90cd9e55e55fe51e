package main

import (
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
)

type verifyCmd struct{}

// verifyOutput is the JSON of verify.
type verifyOutput struct {
	OK          bool     `json:"ok"`
	Collections int      `json:"collections"`
	Segments    int      `json:"segments"`
	Documents   int64    `json:"documents"`
	Tokens      int64    `json:"tokens"`
	Bytes       int64    `json:"bytes"`
	Problems    []string `json:"problems,omitempty"`
	Seconds     float64  `json:"seconds"`
}

// Run reads the whole store. Damage is listed and gives exit status 3.
func (verifyCmd) Run(a *app) (err error) {
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
		a.printf("%s: %s documents, %s tokens in %d segments of %d collections, %s read in %s\n", result, render.Count(r.Documents),
			render.Count(r.Tokens), r.Segments, r.Collections, render.Bytes(r.Bytes), render.Duration(time.Since(start)))
	}
	if err == nil && !out.OK {
		return statusError(exitPartial)
	}
	return err
}
