package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/judged"
	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/internal/benchdoc"
	"github.com/colbertdb-go/colbertdb/query/eval"
)

type evalCmd struct {
	Dirs  []string `arg:"" optional:"" name:"dir" type:"existingdir" help:"Test collections: BEIR folders (corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv), or MS MARCO's (collection.tsv, queries.SPLIT.tsv, qrels.SPLIT.tsv)."`
	Suite string   `placeholder:"NAME" help:"Measure the collections of published tables that --data has, and print the tables with ours beside the published figures: seed."`
	Data  string   `type:"existingdir" placeholder:"DIR" help:"Folder of test collections, for --suite."`
	Split string   `help:"Which judgments. Default: test, or the ones that the collection is known by."`
	Qrels string   `type:"existingfile" placeholder:"FILE" help:"Judgments of a file, TREC's form or BEIR's, instead of the folder's."`
	K     []int    `short:"k" default:"10,100" help:"Cut-offs of the measures."`

	Config    []string `sep:"none" placeholder:"SETTINGS" help:"A configuration to compare, settings with commas between them; again for each, the first is the one that the others are compared with. name=, model=, profile=, raw, no-windows, window=, max-tokens=, pool=, mode=, k1=, b=, weight=, rrf=, effort=, exact. Default: one, as the flags say."`
	Profile   string   `enum:"exact,balanced,compact," default:"" help:"What a collection stores: exact (default), balanced or compact."`
	RetainRaw bool     `help:"Collections also keep the float16 vectors, and score by them."`
	NoWindows bool     `help:"Cut documents at the model's window, as published figures do, instead of splitting them."`
	Window    int      `placeholder:"TOKENS" help:"Tokens of a window. Default: the model's."`
	MaxTokens int      `placeholder:"TOKENS" help:"Keep the first tokens of a document alone. Default: all."`
	Pool      int      `placeholder:"FACTOR" help:"Pool the token vectors of a document, so many to one. Default: none."`
	Effort    string   `default:"default" help:"fast, default, high, full, or probes/candidates/full scores such as 16/2048/128."`
	Exact     bool     `help:"Score every document: no candidate generation."`
	Mode      string   `enum:"late-interaction,bm25,rerank,hybrid" default:"late-interaction" help:"What searches go by: late-interaction, bm25, rerank or hybrid."`

	Rerank string   `placeholder:"RUN" help:"Rank what a TREC run found instead of searching; with --suite a folder of NAME.run."`
	Depth  int      `default:"100" help:"Documents of a query that --rerank ranks, the best of the run."`
	Score  []string `type:"existingfile" placeholder:"RUN" help:"Measure TREC runs instead of searching: no store and no model. With --qrels, no folder either."`

	DropSelf bool    `help:"Drop a hit whose id is the query's. Default: where the collection is known to need it."`
	MinGrade int     `placeholder:"GRADE" help:"Lowest grade that is relevant to all measures but nDCG. Default: 1, or as the collection is known."`
	Limit    int     `help:"At most so many queries of a collection, spread over all. Default: all."`
	Recall   bool    `help:"Search exactly, too, and print candidate recall@10."`
	Margin   float64 `default:"0.005" help:"The loss of nDCG that does not matter: is a greater one excluded?"`
	Seed     uint64  `default:"1" help:"Of the bootstrap."`

	RunFile  string   `name:"run" placeholder:"FILE" help:"Also write the ranking as a TREC run."`
	Runs     string   `placeholder:"DIR" help:"Write every ranking there: COLLECTION-SPLIT-CONFIGURATION.run."`
	PerQuery string   `placeholder:"FILE" help:"Write the measures of every query as tab-separated values."`
	Vectors  string   `placeholder:"DIR" help:"Store that keeps what the model made of documents for later runs. Default: for as long as the command runs."`
	SVG      string   `name:"svg" placeholder:"FILE" help:"Plot quality over bytes, a point a configuration."`
	Tables   []string `placeholder:"NAMES" default:"ndcg,measures,comparisons,times" enum:"ndcg,measures,comparisons,times" help:"Tables of a report of several results: ndcg, measures, comparisons, times. Default: all."`
	Markdown string   `placeholder:"FILE#NAME" help:"Put the tables between <!-- bench NAME --> and <!-- end --> of a file."`
}

// Run measures configurations on test collections: brings the store up to date with
// each, searches every judged query and compares the ranking with the judgments.
// Without --db the store is a temporary one.
func (c *evalCmd) Run(a *app) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	file, section, ok := strings.Cut(c.Markdown, "#")
	if c.Markdown != "" && !ok {
		return usagef("--markdown %s: want FILE#NAME", c.Markdown)
	}
	if c.Runs != "" {
		if err := os.MkdirAll(c.Runs, 0o755); err != nil {
			return err
		}
	}
	r := &evalReport{Machine: benchdoc.ThisMachine(revision()), Command: "colbertdb " + strings.Join(quoted(os.Args[1:]), " "), K: c.K[0], parts: c.Tables}
	switch {
	case len(c.Score) > 0:
		err = c.scoreRuns(a, r)
	case c.Suite != "":
		err = c.runSuite(a, r)
	default:
		err = c.runDirs(a, r)
	}
	if err != nil {
		return err
	}
	if err := r.compare(c.Margin, c.Seed); err != nil {
		return err
	}
	if c.PerQuery != "" {
		if err := os.WriteFile(c.PerQuery, []byte(r.perQuery()), 0o644); err != nil {
			return err
		}
	}
	if c.SVG != "" {
		if err := os.WriteFile(c.SVG, []byte(r.svg()), 0o644); err != nil {
			return err
		}
	}
	if c.Markdown != "" {
		if err := benchdoc.WriteSection(file, section, r.markdown()); err != nil {
			return err
		}
	}
	if a.JSON {
		return a.printJSON(r)
	}
	a.printf("%s", r.text())
	return nil
}

// check refuses flags that do not go together.
func (c *evalCmd) check() error {
	switch {
	case len(c.K) == 0 || slices.Min(c.K) < 1:
		return usagef("-k: cut-offs must be at least 1")
	case c.Suite != "" && (len(c.Dirs) > 0 || c.Data == ""):
		return usagef("--suite takes its collections from --data DIR")
	case c.Suite == "" && c.Data != "":
		return usagef("--data is for --suite")
	case len(c.Score) > 0 && (c.Suite != "" || c.Rerank != "" || len(c.Config) > 0):
		return usagef("--score measures runs as they are: no --suite, --rerank or --config")
	case len(c.Score) > 0 && len(c.Dirs) > 1, len(c.Score) > 0 && len(c.Dirs) == 0 && c.Qrels == "":
		return usagef("--score wants one folder, or --qrels FILE")
	case c.Suite == "" && len(c.Score) == 0 && len(c.Dirs) == 0:
		return usagef("name a folder with a test collection, or a --suite")
	case (c.Qrels != "" || c.Rerank != "") && len(c.Dirs) > 1:
		return usagef("--qrels and --rerank are files of one collection")
	case c.RunFile != "" && (len(c.Dirs) > 1 || len(c.Config) > 1 || len(c.Score) > 0 || c.Suite != ""):
		return usagef("--run is for one ranking; --runs DIR takes several")
	case c.Depth < 1 || c.MinGrade < 0 || c.Margin < 0 || c.Window < 0 || c.MaxTokens < 0 || c.Pool < 0:
		return usagef("--depth must be at least 1, the other numbers not negative")
	}
	return nil
}

// open opens a test collection by the flags.
func (c *evalCmd) open(a *app, dir, split string) (*judged.Collection, error) {
	rules := judged.RulesOf(filepath.Base(absolute(dir)))
	rules.DropSelf = rules.DropSelf || c.DropSelf
	if c.MinGrade > 0 {
		rules.MinGrade = c.MinGrade
	}
	return judged.Open(a.ctx, dir, judged.Options{Split: split, Qrels: c.Qrels, Limit: c.Limit, Rules: &rules})
}

// runDirs measures the folders of the command line.
func (c *evalCmd) runDirs(a *app, r *evalReport) (err error) {
	configs, err := c.configs(a)
	if err != nil {
		return err
	}
	stores, err := c.openStores(a, len(configs) > 1 || len(c.Dirs) > 1)
	if err != nil {
		return err
	}
	defer closing(&err, stores)
	for _, dir := range c.Dirs {
		set, err := c.open(a, dir, c.Split)
		if err != nil {
			return err
		}
		results, err := c.trial(a, stores, set, configs, c.Rerank)
		if err != nil {
			return fmt.Errorf("%s: %w", set.Name, err)
		}
		r.Results = append(r.Results, results...)
		if err := stores.forget(); err != nil {
			return err
		}
	}
	return nil
}

// trial measures configurations on one test collection; with a run to be reranked,
// that run first.
func (c *evalCmd) trial(a *app, stores *evalStore, set *judged.Collection, configs []evalConfig, rerank string) ([]*evalResult, error) {
	var out []*evalResult
	var first eval.Run
	if rerank != "" {
		whole, err := eval.ReadRunFile(rerank)
		if err != nil {
			return nil, err
		}
		first = eval.Run{}
		for _, q := range set.Queries {
			first[q.ID] = set.Keep(q.ID, eval.Ranked(whole[q.ID]), c.Depth)
		}
		res := &evalResult{Result: c.result(set, "first stage"), Rules: set.Rules.String(), Queries: len(set.Queries), LeftOut: set.Left}
		if err := c.measure(set, res, first); err != nil {
			return nil, err
		}
		out = append(out, res)
	}
	shared := sharedEncodings(configs)
	for i := range configs {
		one := &configs[i]
		if stores.several {
			a.note("%s: %s", set.Name, one.Name)
		}
		res, err := c.one(a, stores, set, one, shared[one.encoding()], first)
		if err != nil {
			return nil, err
		}
		out = append(out, res)
	}
	return out, nil
}

// one measures one configuration.
func (c *evalCmd) one(a *app, stores *evalStore, set *judged.Collection, one *evalConfig, shared bool, first eval.Run) (res *evalResult, err error) {
	m, err := stores.open(set, one, shared)
	if err != nil {
		return nil, err
	}
	defer closing(&err, m)
	return c.search(a, m, set, one, first)
}

// scoreRuns measures runs that are there.
func (c *evalCmd) scoreRuns(a *app, r *evalReport) error {
	var set *judged.Collection
	if len(c.Dirs) == 1 {
		var err error
		if set, err = c.open(a, c.Dirs[0], c.Split); err != nil {
			return err
		}
	} else {
		q, err := eval.ReadQrelsFile(c.Qrels)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(c.Qrels), filepath.Ext(c.Qrels))
		set = &judged.Collection{Name: name, QrelsFile: c.Qrels, Judged: q, Rules: judged.Rules{DropSelf: c.DropSelf, MinGrade: c.MinGrade}}
	}
	for _, file := range c.Score {
		run, err := eval.ReadRunFile(file)
		if err != nil {
			return err
		}
		if set.Rules.DropSelf {
			for q, ranking := range run {
				run[q] = set.Keep(q, ranking, len(ranking))
			}
		}
		out := &evalResult{Result: c.result(set, filepath.Base(file)), Rules: set.Rules.String(), Queries: len(set.Judged), LeftOut: set.Left}
		out.Measure(set.Judged, run, c.K...)
		out.Run = file
		r.Results = append(r.Results, out)
	}
	return nil
}

// runSuite measures what of a suite's collections is there.
func (c *evalCmd) runSuite(a *app, r *evalReport) (err error) {
	suite, err := judged.SuiteOf(c.Suite)
	if err != nil {
		return usageError{err}
	}
	configs, err := c.configs(a)
	if err != nil {
		return err
	}
	stores, err := c.openStores(a, true)
	if err != nil {
		return err
	}
	defer closing(&err, stores)
	for i := range suite.Tables {
		t := &suite.Tables[i]
		out := suiteTable{Table: t, Name: t.Title, found: map[string][]*evalResult{}}
		for _, s := range t.Sets {
			dir := s.Find(c.Data)
			if dir == "" {
				out.Absent = append(out.Absent, s.Title)
				continue
			}
			rerank := ""
			if t.Reranked {
				if rerank = c.firstStage(filepath.Base(dir)); rerank == "" {
					out.NoRun = append(out.NoRun, s.Title)
					continue
				}
			}
			deep := *c
			for _, m := range t.Metrics {
				if !slices.Contains(deep.K, m.K) {
					deep.K = append(slices.Clone(deep.K), m.K)
				}
			}
			set, err := c.open(a, dir, s.Split)
			if err != nil {
				return err
			}
			results, err := deep.trial(a, stores, set, configs, rerank)
			if err != nil {
				return fmt.Errorf("%s: %w", set.Name, err)
			}
			out.found[s.Title] = results
			r.Results = append(r.Results, results...)
			if err := stores.forget(); err != nil {
				return err
			}
		}
		for _, one := range configs {
			out.configs = append(out.configs, one.Name)
		}
		r.Tables = append(r.Tables, out)
	}
	return nil
}

// firstStage is the run to be reranked of a suite's collection.
func (c *evalCmd) firstStage(name string) string {
	if c.Rerank == "" {
		return ""
	}
	path := filepath.Join(c.Rerank, name+".run")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return path
}

// keep writes a ranking for other scorers.
func (c *evalCmd) keep(out *evalResult, run eval.Run) (err error) {
	name := c.RunFile
	if c.Runs != "" {
		word := strings.Map(func(r rune) rune {
			if strings.ContainsRune(`/\:*?"<>|, `, r) {
				return '-'
			}
			return r
		}, out.Dataset+"-"+out.Split+"-"+out.Config)
		name = filepath.Join(c.Runs, word+".run")
	}
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out.Run = name
	return eval.WriteRun(f, run, "colbertdb")
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// quoted are arguments as a shell takes them.
func quoted(args []string) []string {
	out := make([]string, len(args))
	for i, s := range args {
		if out[i] = s; s == "" || strings.ContainsAny(s, " \t\n'\"$&|;<>()*?") {
			out[i] = "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		}
	}
	return out
}

// microseconds for people.
func microseconds(us int64) string { return render.Duration(time.Duration(us) * time.Microsecond) }
