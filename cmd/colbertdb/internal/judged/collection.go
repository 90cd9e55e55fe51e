package judged

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/ingest"
	"github.com/colbertdb-go/colbertdb/query/eval"
)

// Options say which part of a collection is measured, and how. The zero value is the
// test split by the rules of the collection's name.
type Options struct {
	// Split names the judgments. Default: the one of Rules, else "test", and "dev" in
	// MS MARCO's layout.
	Split string
	// Qrels is a file of judgments instead of the folder's. Default: none.
	Qrels string
	// Limit is the greatest number of queries, spread over all. Default: all.
	Limit int
	// Rules are used instead of those of the collection's name. Default: nil.
	Rules *Rules
}

// Collection is an opened test collection.
type Collection struct {
	Name, Dir, Split string
	QrelsFile        string
	Rules            Rules
	Queries          []ingest.Passage // those that are judged, in the file's order
	Judged           eval.Qrels       // of Queries
	Left             int              // judged queries that Limit left out

	documents string // file or folder
	format    ingest.Format
}

// Open reads the queries and judgments of a folder.
func Open(ctx context.Context, dir string, o Options) (*Collection, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	c := &Collection{Name: filepath.Base(abs), Dir: dir, QrelsFile: o.Qrels}
	c.Rules = RulesOf(c.Name)
	if o.Rules != nil {
		c.Rules = *o.Rules
	}
	marco := exists(filepath.Join(dir, "collection.tsv"))
	c.Split = cmp.Or(o.Split, c.Rules.Split, "test")
	if marco { // whose test split has no public judgments
		c.Split = cmp.Or(o.Split, c.Rules.Split, "dev")
	}
	var queryFiles, judgments []string
	if marco {
		c.documents, c.format = filepath.Join(dir, "collection.tsv"), ingest.TSV
		queryFiles = []string{"queries." + c.Split + ".small.tsv", "queries." + c.Split + ".tsv", "queries.tsv"}
		judgments = []string{"qrels." + c.Split + ".small.tsv", "qrels." + c.Split + ".tsv", "qrels.tsv"}
	} else {
		c.documents, c.format = dir, ingest.BEIR
		queryFiles = []string{"queries.jsonl"}
		judgments = []string{filepath.Join("qrels", c.Split+".tsv")}
	}
	if c.QrelsFile == "" {
		if c.QrelsFile, err = first(dir, judgments); err != nil {
			return nil, err
		}
	}
	all, err := eval.ReadQrelsFile(c.QrelsFile)
	if err != nil {
		return nil, err
	}
	file, err := first(dir, queryFiles)
	if err != nil {
		return nil, err
	}
	if err := c.readQueries(ctx, file, all, o.Limit); err != nil {
		return nil, err
	}
	if len(c.Queries) == 0 {
		return nil, fmt.Errorf("no query of %s is judged in %s", dir, c.QrelsFile)
	}
	return c, nil
}

// readQueries keeps the judged queries, and of those as many as wanted.
func (c *Collection) readQueries(ctx context.Context, file string, all eval.Qrels, limit int) error {
	in, err := ingest.Open(file, ingest.Options{}, nil)
	if err != nil {
		return err
	}
	for q, err := range in.Passages(ctx) {
		if err != nil {
			return err
		}
		if len(all[q.ID]) > 0 {
			c.Queries = append(c.Queries, q)
		}
	}
	if n := len(c.Queries); limit > 0 && n > limit {
		some := make([]ingest.Passage, limit)
		for i := range some {
			some[i] = c.Queries[i*n/limit]
		}
		c.Queries, c.Left = some, n-limit
	}
	c.Judged = eval.Qrels{}
	for _, q := range c.Queries {
		c.Judged[q.ID] = all[q.ID]
	}
	return nil
}

// Documents opens the documents: title and text, unless the rules leave titles out.
func (c *Collection) Documents() (*ingest.Input, error) {
	return ingest.Open(c.documents, ingest.Options{Format: c.format, NoTitle: c.Rules.NoTitle}, nil)
}

// Keep drops from a ranking what the rules say, and cuts it to a depth.
func (c *Collection) Keep(query string, ranking []eval.Scored, depth int) []eval.Scored {
	if c.Rules.DropSelf {
		ranking = slices.DeleteFunc(ranking, func(s eval.Scored) bool { return s.ID == query })
	}
	return ranking[:min(depth, len(ranking))]
}

// Depth is how many hits to ask for where depth are to be kept.
func (c *Collection) Depth(depth int) int {
	if c.Rules.DropSelf {
		return depth + 1
	}
	return depth
}

// first returns the first of some files that is there.
func first(dir string, names []string) (string, error) {
	for _, n := range names {
		if path := filepath.Join(dir, n); exists(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", filepath.Join(dir, names[len(names)-1]), fs.ErrNotExist)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
