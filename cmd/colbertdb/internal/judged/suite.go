package judged

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Suite is a published set of tables.
type Suite struct {
	Name   string
	Tables []Table
}

// Table is one of them: a measure of several collections, with the published values
// of some systems.
type Table struct {
	Title string
	// Metrics are its columns for each system, one but for MS MARCO.
	Metrics []Column
	Systems []string
	Sets    []Set
	// Reranked says that the systems rank the top documents of another's run, its
	// first system.
	Reranked bool
	// Mean are the systems' published means over all sets, percent; nil: none.
	Mean []float64
	// OnlyMean: the systems' values of single sets were not published.
	OnlyMean bool
}

// Column is a measure.
type Column struct {
	Name string
	K    int
}

// Set is a collection of a table.
type Set struct {
	Title string
	// Folders are the names that its folder may have.
	Folders []string
	// Split is the one that was measured.
	Split string
	// Published are the systems' values in percent, system by system, each with the
	// table's metrics.
	Published []float64
}

// Suites names them.
func Suites() []string { return []string{"seed"} }

// SuiteOf returns a suite by name.
func SuiteOf(name string) (*Suite, error) {
	if name != "seed" {
		return nil, fmt.Errorf("no suite %q: there is %s", name, strings.Join(Suites(), ", "))
	}
	return seed(), nil
}

// Find returns the folder of a set under dir, "" where it is absent.
func (s Set) Find(dir string) string {
	for _, name := range s.Folders {
		path := filepath.Join(dir, name)
		if exists(filepath.Join(path, "corpus.jsonl")) || exists(filepath.Join(path, "collection.tsv")) {
			return path
		}
	}
	return ""
}

// seed are the tables of the model card of jina-colbert-v1-en
// (https://huggingface.co/jinaai/jina-colbert-v1-en, "Evaluation Results"), in its
// order. Its reranking table takes BM25's top 100; of its columns those of late
// interaction are here.
func seed() *Suite {
	ndcg := []Column{{"nDCG", 10}}
	table := Table{
		Title: "Out of domain: BEIR, nDCG@10", Metrics: ndcg, Systems: []string{"ColBERTv2", "Jina-ColBERT-v1"}, Mean: []float64{50.0, 50.2},
	}
	reranking := Table{
		Title: "Reranking of BM25's top 100: BEIR, nDCG@10", Metrics: ndcg, Systems: []string{"BM25", "ColBERTv2", "Jina-ColBERT"}, Reranked: true,
		Mean: []float64{43.08, 49.82, 50.25},
	}
	for _, row := range []struct {
		title     string
		retrieval [2]float64
		reranking [3]float64
		folders   []string
	}{
		{"ArguAna", [2]float64{46.5, 49.4}, [3]float64{29.99, 33.42, 33.95}, []string{"arguana"}},
		{"ClimateFEVER", [2]float64{18.1, 19.6}, [3]float64{16.51, 20.66, 21.87}, []string{"climate-fever"}},
		{"DBPedia", [2]float64{45.2, 41.3}, [3]float64{31.80, 42.16, 41.43}, []string{"dbpedia-entity", "dbpedia"}},
		{"FEVER", [2]float64{78.8, 79.5}, [3]float64{65.13, 81.07, 83.49}, []string{"fever"}},
		{"FiQA", [2]float64{35.4, 36.8}, [3]float64{23.61, 35.60, 36.68}, []string{"fiqa"}},
		{"HotPotQA", [2]float64{67.5, 65.6}, [3]float64{63.30, 68.84, 68.62}, []string{"hotpotqa"}},
		{"NFCorpus", [2]float64{33.7, 33.8}, [3]float64{33.75, 36.69, 36.38}, []string{"nfcorpus"}},
		{"NQ", [2]float64{56.1, 54.9}, [3]float64{30.55, 51.27, 51.01}, []string{"nq"}},
		{"Quora", [2]float64{85.5, 82.3}, [3]float64{78.86, 85.18, 82.75}, []string{"quora"}},
		{"SCIDOCS", [2]float64{15.4, 16.9}, [3]float64{14.90, 15.39, 16.67}, []string{"scidocs"}},
		{"SciFact", [2]float64{68.9, 70.1}, [3]float64{67.89, 70.23, 70.95}, []string{"scifact"}},
		{"TREC-COVID", [2]float64{72.6, 75.0}, [3]float64{59.47, 75.00, 76.89}, []string{"trec-covid"}},
		{"Webis-touché2020", [2]float64{26.0, 27.0}, [3]float64{44.22, 32.12, 32.56}, []string{"webis-touche2020", "touche2020"}},
	} {
		table.Sets = append(table.Sets, Set{row.title, row.folders, "test", row.retrieval[:]})
		reranking.Sets = append(reranking.Sets, Set{row.title, row.folders, "test", row.reranking[:]})
	}
	loco := Table{
		Title: "Long documents: LoCo, nDCG@10", Metrics: ndcg, OnlyMean: true,
		Systems: []string{"ColBERTv2, 512 tokens", "Jina-ColBERT-v1, 512 tokens", "Jina-ColBERT-v1, 8,192 tokens"}, Mean: []float64{74.3, 75.5, 83.7},
	}
	loco.Sets = []Set{
		{Title: "SummScreenFD", Folders: []string{"summ-screen-fd", "summ_screen_fd"}, Split: "test"},
		{Title: "GovReport", Folders: []string{"gov-report", "gov_report"}, Split: "test"},
		{Title: "QMSum", Folders: []string{"qmsum"}, Split: "test"},
		{Title: "QASPER, title", Folders: []string{"qasper-title", "qasper_title"}, Split: "test"},
		{Title: "QASPER, abstract", Folders: []string{"qasper-abstract", "qasper_abstract"}, Split: "test"},
	}
	return &Suite{Name: "seed", Tables: []Table{
		{
			Title: "In domain: MS MARCO passages, dev", Metrics: []Column{{"MRR", 10}, {"recall", 50}, {"recall", 1000}}, Systems: []string{"ColBERTv2", "Jina-ColBERT-v1"},
			Sets: []Set{{Title: "MS MARCO dev", Folders: []string{"msmarco", "msmarco-passage"}, Split: "dev", Published: []float64{39.7, 86.8, 97.6, 39.0, 85.6, 96.2}}},
		},
		table, loco, reranking,
	}}
}
