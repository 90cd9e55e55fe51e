package bundled_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/internal/testdata"
)

// trained holds the first six bytes of the sha256 of every query that training
// saw, sorted; train/pairs.py writes it.
//
//go:embed train/queries.bin
var trained []byte

// trainingSplits are the judgments that training may use.
var trainingSplits = map[string]bool{"scifact/train.tsv": true, "medquad/selfqa.tsv": true, "cosqa/dev.tsv": true}

var words = regexp.MustCompile(`[\p{L}\p{N}_]+`)

// digest is that of pairs.py: of the words in lower case.
func digest(query string) [6]byte {
	sum := sha256.Sum256([]byte(strings.Join(words.FindAllString(strings.ToLower(query), -1), " ")))
	return [6]byte(sum[:6])
}

// No query of a test split was seen in training.
func TestNoTestQueryWasTrainedOn(t *testing.T) {
	if len(trained) == 0 || len(trained)%6 != 0 {
		t.Fatalf("%d bytes of digests", len(trained))
	}
	seen := map[[6]byte]bool{}
	for at := 0; at < len(trained); at += 6 {
		seen[[6]byte(trained[at:])] = true
	}
	root := filepath.Dir(testdata.Dir(t, "scifact"))
	splits, err := filepath.Glob(filepath.Join(root, "*", "qrels", "*.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	tested, known := 0, 0
	for _, path := range splits {
		folder := filepath.Dir(filepath.Dir(path))
		training := trainingSplits[filepath.Base(folder)+"/"+filepath.Base(path)]
		judged := firstColumn(t, path)
		for id, text := range readQueries(t, filepath.Join(folder, "queries.jsonl")) {
			switch {
			case !judged[id]:
			case training && seen[digest(text)]:
				known++ // the digests mean what this test takes them for
			case !training:
				tested++
				if seen[digest(text)] {
					t.Errorf("%s: query %s, %q, was trained on", path, id, text)
				}
			}
		}
	}
	t.Logf("%d test queries, none seen; %d training queries recognised", tested, known)
	if tested < 1000 || known < 10000 {
		t.Errorf("compared %d test queries and recognised %d of training", tested, known)
	}
}

// No query's id is in a split that training may read and in another.
func TestNoTestIDWasTrainedOn(t *testing.T) {
	root := filepath.Dir(testdata.Dir(t, "scifact"))
	for training := range trainingSplits {
		folder, split := filepath.Split(training)
		known := firstColumn(t, filepath.Join(root, folder, "qrels", split))
		delete(known, "query-id") // the heading
		others, err := filepath.Glob(filepath.Join(root, folder, "qrels", "*.tsv"))
		if err != nil {
			t.Fatal(err)
		}
		tested := 0
		for _, path := range others {
			if filepath.Base(path) == split {
				continue
			}
			for id := range firstColumn(t, path) {
				tested++
				if known[id] {
					t.Errorf("query %s is in %s and in %s", id, training, path)
				}
			}
		}
		if len(known) < 100 || tested < 50 {
			t.Errorf("%s: compared %d queries with %d", training, len(known), tested)
		}
	}
}

func firstColumn(t *testing.T, path string) map[string]bool {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for line := range bytes.Lines(b) {
		id, _, _ := strings.Cut(string(line), "\t")
		out[id] = true
	}
	return out
}

func readQueries(t *testing.T, path string) map[string]string {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]string{}
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var q struct {
			ID   string `json:"_id"`
			Text string `json:"text"`
		}
		if err := json.Unmarshal(s.Bytes(), &q); err != nil {
			t.Fatal(err)
		}
		out[q.ID] = q.Text
	}
	return out
}
