package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/ingest"
	"github.com/colbertdb-go/colbertdb/engine"
)

type rerankCmd struct {
	Query   []string `arg:"" help:"What the documents are compared with."`
	Input   string   `default:"-" placeholder:"FILE" help:"Documents to rank; - is standard input."`
	Format  string   `placeholder:"FORMAT" help:"As for index. Default: by file name; standard input needs jsonl, tsv or another."`
	K       int      `short:"k" help:"Number of documents printed. Default: all."`
	Explain bool     `help:"Show which word each query token matched, and how well."`
	Lines   int      `default:"4" help:"Lines of text shown for each document; 0: all."`
}

// Run ranks documents by MaxSim of their uncompressed vectors, in a store of
// their own that lasts as long as the command. Long documents count by their
// best window.
func (c *rerankCmd) Run(a *app) (err error) {
	if c.K < 0 {
		return usagef("-k must not be negative")
	}
	format, err := ingest.ParseFormat(c.Format)
	if err != nil {
		return usageError{err}
	}
	in, err := ingest.Open(c.Input, ingest.Options{Format: format}, a.stdin)
	if err != nil {
		return err
	}
	if a.DB, err = os.MkdirTemp("", "colbertdb-rerank-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(a.DB)) }()
	r := &report{onProblem: func(p *ingest.Problem) { fmt.Fprintf(a.stderr, "colbertdb: %v\n", p) }}
	index := indexCmd{RetainRaw: true, Profile: engine.Exact.String()}
	if err := index.sync(a, []source{{in.Source(), in}}, r); err != nil {
		return err
	}
	if r.Documents == 0 {
		return errors.New("no documents to rank")
	}
	search := searchCmd{Query: c.Query, Mode: engine.ModeLateInteraction.String(), K: c.K, Effort: "default", Exact: true, GroupBy: attrPassage, Explain: c.Explain, Lines: c.Lines}
	if search.K == 0 {
		search.K = min(int(r.Documents), engine.MaxK)
	}
	if err := search.Run(a); err != nil {
		return err
	}
	if r.Failed > 0 {
		return statusError(exitPartial)
	}
	return nil
}
