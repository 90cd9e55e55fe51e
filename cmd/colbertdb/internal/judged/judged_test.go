package judged

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/query/eval"
)

// write makes a folder of files.
func write(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	for f, text := range files {
		path := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func open(t *testing.T, dir string, o Options) *Collection {
	t.Helper()
	c, err := Open(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func documents(t *testing.T, c *Collection) map[string]string {
	t.Helper()
	in, err := c.Documents()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for p, err := range in.Passages(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		out[p.ID] = p.Text
	}
	return out
}

func TestBEIR(t *testing.T) {
	files := map[string]string{
		"corpus.jsonl":   `{"_id":"d1","title":"Zebras","text":"have stripes"}` + "\n",
		"queries.jsonl":  `{"_id":"q1","text":"one"}` + "\n" + `{"_id":"q2","text":"two"}` + "\n" + `{"_id":"q3","text":"three"}` + "\n" + `{"_id":"q4","text":"four"}` + "\n",
		"qrels/test.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t1\nq3\td1\t2\nq4\td1\t0\n",
	}
	c := open(t, write(t, "animals", files), Options{})
	if c.Name != "animals" || c.Split != "test" || c.Rules != (Rules{}) || len(c.Queries) != 3 || c.Queries[1].ID != "q3" || len(c.Judged) != 3 {
		t.Errorf("%+v", c)
	}
	if d := cmp.Diff(map[string]string{"d1": "Zebras\nhave stripes"}, documents(t, c)); d != "" {
		t.Error(d)
	}
	c = open(t, write(t, "animals", files), Options{Limit: 2})
	if len(c.Queries) != 2 || c.Left != 1 || len(c.Judged) != 2 || c.Judged["q3"] == nil {
		t.Errorf("of 3 queries two, spread: %+v", c)
	}
	// By its name: titles left out.
	files["qrels/dev.tsv"] = "q2\td1\t1\n"
	c = open(t, write(t, "QMSum", files), Options{Split: "dev"})
	if c.Split != "dev" || c.Queries[0].ID != "q2" || !c.Rules.NoTitle {
		t.Errorf("%+v", c)
	}
	if d := cmp.Diff(map[string]string{"d1": "have stripes"}, documents(t, c)); d != "" {
		t.Error(d)
	}
	if _, err := Open(context.Background(), write(t, "animals", files), Options{Split: "train"}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "train.tsv") {
		t.Errorf("no such split: %v", err)
	}
	if _, err := Open(context.Background(), write(t, "animals", map[string]string{"queries.jsonl": `{"_id":"q9","text":"x"}`, "qrels/test.tsv": "q1\td1\t1\n"}), Options{}); err == nil || !strings.Contains(err.Error(), "no query") {
		t.Errorf("no judged query: %v", err)
	}
}

func TestMSMARCO(t *testing.T) {
	files := map[string]string{
		"collection.tsv":        "0\tThe presence of communication amid scientific minds\n1\tAnother passage\n",
		"queries.dev.small.tsv": "300674\thow many years did the plan last\n125705\tdefine preventive\n",
		"queries.dev.tsv":       "1\tall of them\n",
		"qrels.dev.small.tsv":   "300674\t0\t1\t1\n",
	}
	c := open(t, write(t, "msmarco", files), Options{})
	if c.Split != "dev" || len(c.Queries) != 1 || c.Queries[0].Text != "how many years did the plan last" || c.Judged["300674"]["1"] != 1 {
		t.Errorf("%+v", c)
	}
	if d := cmp.Diff(map[string]string{"0": "The presence of communication amid scientific minds", "1": "Another passage"}, documents(t, c)); d != "" {
		t.Error(d)
	}
	// Judgments of a file in TREC's form, and files without a split's name.
	dir := write(t, "mine", map[string]string{"collection.tsv": files["collection.tsv"], "queries.tsv": files["queries.dev.small.tsv"], "my.qrels": "125705 0 0 3\n"})
	c = open(t, dir, Options{Qrels: filepath.Join(dir, "my.qrels")})
	if c.Split != "dev" || len(c.Queries) != 1 || c.Queries[0].ID != "125705" || c.Judged["125705"]["0"] != 3 {
		t.Errorf("%+v", c)
	}
}

func TestRules(t *testing.T) {
	c := &Collection{Rules: RulesOf("ArguAna")}
	ranking := []eval.Scored{{ID: "a", Score: 3}, {ID: "q", Score: 2}, {ID: "b", Score: 1}}
	if got := c.Keep("q", ranking, 2); len(got) != 2 || got[0].ID != "a" || got[1].ID != "b" || c.Depth(2) != 3 {
		t.Errorf("%v of %d", got, c.Depth(2))
	}
	c = &Collection{}
	if got := c.Keep("q", []eval.Scored{{ID: "q"}, {ID: "b"}}, 1); len(got) != 1 || got[0].ID != "q" || c.Depth(2) != 2 {
		t.Errorf("%v", got)
	}
	for name, want := range map[string]string{"scifact": "", "arguana": "query itself", "msmarco-dl19-20-pool": "grade 2", "qmsum": "titles"} {
		if got := RulesOf(name).String(); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// What was copied by hand adds up to the published means.
func TestPublishedMeans(t *testing.T) {
	s, err := SuiteOf("seed")
	if err != nil {
		t.Fatal(err)
	}
	sets := map[string]int{}
	for _, table := range s.Tables {
		sets[table.Title] = len(table.Sets)
		for _, set := range table.Sets {
			if table.OnlyMean != (set.Published == nil) || set.Published != nil && len(set.Published) != len(table.Systems)*len(table.Metrics) || len(set.Folders) == 0 {
				t.Errorf("%s, %s: %d values", table.Title, set.Title, len(set.Published))
			}
		}
		if table.OnlyMean || table.Mean == nil {
			continue
		}
		for i, want := range table.Mean {
			mean := 0.0
			for _, set := range table.Sets {
				mean += set.Published[i] / float64(len(table.Sets))
			}
			if math.Abs(mean-want) > 0.051 {
				t.Errorf("%s, %s: the mean is %.2f, published %.2f", table.Title, table.Systems[i], mean, want)
			}
		}
	}
	if sets["Out of domain: BEIR, nDCG@10"] != 13 || sets["Long documents: LoCo, nDCG@10"] != 5 || len(s.Tables) != 4 {
		t.Errorf("%v", sets)
	}
	if _, err := SuiteOf("none"); err == nil || !strings.Contains(err.Error(), "seed") {
		t.Errorf("%v", err)
	}
}
