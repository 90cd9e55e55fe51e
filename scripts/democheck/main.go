// Command democheck asks the demo's store ten questions that were written
// before any answer had been seen, and checks that one of the expected symbols
// is among the first three for at least eight of them (-least). It then shuffles the
// vectors among the documents, in memory, and checks that the answers get
// worse: they come from the vectors and from nothing else.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/engine"
)

//go:embed questions.tsv
var questions string // question, then the symbols that answer it

const within = 3

func main() {
	db := flag.String("db", "", "the demo's store")
	needed := flag.Int("least", 8, "questions that must be answered")
	flag.Parse()
	if err := run(context.Background(), *db, *needed); err != nil {
		fmt.Fprintln(os.Stderr, "democheck:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, needed int) error {
	enc, err := bundled.Open()
	if err != nil {
		return err
	}
	defer enc.Close()
	db, err := engine.Open(ctx, dir, &engine.Options{MustExist: true})
	if err != nil {
		return err
	}
	defer db.Close()
	col, err := db.Collection("default", engine.WithEncoder(enc))
	if err != nil {
		return err
	}
	right, err := ask(ctx, col, true)
	if err != nil {
		return err
	}
	mem, err := engine.OpenMem(nil)
	if err != nil {
		return err
	}
	defer mem.Close()
	shuffled, err := shuffle(ctx, col, mem, engine.CollectionConfig{Encoder: enc})
	if err != nil {
		return err
	}
	wrong, err := ask(ctx, shuffled, false)
	if err != nil {
		return err
	}
	fmt.Printf("%d of 10 answered among the first %d; %d with shuffled vectors\n", right, within, wrong)
	if right < needed || wrong >= right {
		return fmt.Errorf("want at least %d, and fewer with shuffled vectors", needed)
	}
	return nil
}

// ask counts the questions that are answered.
func ask(ctx context.Context, col *engine.Collection, show bool) (right int, err error) {
	for _, line := range strings.Split(strings.TrimSpace(questions), "\n") {
		fields := strings.Split(line, "\t")
		res, err := col.Search(ctx, engine.SearchRequest{Text: fields[0], K: within})
		if err != nil {
			return 0, err
		}
		var ids []string
		mark := "-"
		for _, h := range res.Hits {
			ids = append(ids, h.ID)
			if slices.Contains(fields[1:], h.ID) && mark == "-" {
				mark = "+"
				right++
			}
		}
		if show {
			fmt.Printf("%s %-50s %s\n", mark, fields[0], strings.Join(ids, ", "))
		}
	}
	return right, nil
}

// shuffle copies a collection with every document's vectors given to another.
func shuffle(ctx context.Context, from *engine.Collection, to *engine.Engine, cfg engine.CollectionConfig) (*engine.Collection, error) {
	var docs []engine.Document
	for d, err := range from.All(ctx) {
		if err != nil {
			return nil, err
		}
		docs = append(docs, *d)
	}
	order := rand.New(rand.NewPCG(1, 1)).Perm(len(docs))
	vectors := make([]engine.Matrix, len(docs))
	for i, j := range order {
		vectors[i] = docs[j].Vectors
	}
	col, err := to.CreateCollection(ctx, "shuffled", cfg)
	if err != nil {
		return nil, err
	}
	for i := range docs {
		docs[i].Vectors = vectors[i]
	}
	for batch := range slices.Chunk(docs, 500) {
		if _, err := col.Upsert(ctx, batch...); err != nil {
			return nil, err
		}
	}
	return col, nil
}
