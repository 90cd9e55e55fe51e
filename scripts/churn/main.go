// Command churn measures what a long life does to the quality of a store: it
// changes a collection of real text over many rounds and compares what comes of
// it with a store of the same documents built in one go.
//
//	go run ./scripts/churn -data DIR -cache DIR -run growth  [-profile exact] [-svg FILE]
//	go run ./scripts/churn -data DIR -cache DIR -run hostile [-profile balanced]
//
// growth: one collection, from a tenth of it, over a hundred rounds of 2 % new,
// 1 % replaced and 1 % deleted documents, to exactly the whole. hostile: four
// collections of other subjects, forms and languages one after the other; in the
// end the first is deleted. It is run again without re-training: where that is
// as good, the test says nothing.
//
// recall@10 is against exact MaxSim of the encoder's vectors. docs/churn.md is
// made from its output.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/colbertdb-go/colbertdb/engine"
)

func main() {
	var o options
	profile := flag.String("profile", "exact", "exact, balanced or compact")
	flag.StringVar(&o.data, "data", "", "folder with the test collections, each in BEIR layout")
	flag.StringVar(&o.cache, "cache", "", "folder for encoded vectors")
	flag.StringVar(&o.svg, "svg", "", "file for the plot of growth")
	flag.IntVar(&o.queries, "queries", 100, "queries to measure of each collection, at most")
	flag.IntVar(&o.documents, "documents", 0, "documents of each collection, at most; 0 for all")
	flag.Int64Var(&o.train, "train", 0, "Options.TrainTokens, 0 for the default")
	flag.IntVar(&o.rounds, "rounds", 100, "rounds of growth")
	flag.BoolVar(&o.raw, "raw", false, "RetainRaw")
	run := flag.String("run", "growth", "growth or hostile")
	flag.Parse()
	ctx := context.Background()
	var err error
	if o.profile, err = engine.ParseProfile(*profile); err == nil {
		switch *run {
		case "growth":
			err = growth(ctx, &o)
		case "hostile":
			err = hostile(ctx, &o)
		default:
			err = fmt.Errorf("unknown run %q", *run)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "churn:", err)
		os.Exit(1)
	}
}

type options struct {
	data, cache, svg string
	profile          engine.Profile
	raw              bool
	queries, rounds  int
	documents        int
	train            int64
}
