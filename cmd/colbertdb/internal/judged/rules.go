package judged

import (
	"fmt"
	"strings"
)

// Rules are how a collection is measured. The zero value is the plain way.
type Rules struct {
	// DropSelf drops a hit whose id is the query's: where queries are documents.
	DropSelf bool
	// MinGrade is the lowest grade that is relevant in measures that know only
	// relevant and not. Default: 1.
	MinGrade int
	// NoTitle leaves titles out of the documents. Default: title and text.
	NoTitle bool
	// Split is the split that is measured where none is named. Default: "test".
	Split string
}

// rules are those of known collections, by the names of their folders.
var rules = map[string]Rules{
	"arguana": {DropSelf: true}, // its queries are in the corpus
	"quora":   {DropSelf: true}, // and so are these
	// TREC Deep Learning: grade 1 is "related", not relevant.
	"msmarco-dl19-20-pool": {MinGrade: 2},
	"msmarco-dl19":         {MinGrade: 2},
	"msmarco-dl20":         {MinGrade: 2},
	// MS MARCO's test split has no public judgments.
	"msmarco":         {Split: "dev"},
	"msmarco-passage": {Split: "dev"},
	"miracl-yo":       {Split: "dev"},
	"squadshifts":     {Split: "wiki"},
	// The titles are a person's list of a meeting's subjects.
	"qmsum": {NoTitle: true},
}

// RulesOf returns the rules of a collection by its name.
func RulesOf(name string) Rules { return rules[strings.ToLower(name)] }

// String says what the rules change, "" for the plain way.
func (r Rules) String() string {
	var said []string
	if r.DropSelf {
		said = append(said, "hits that are the query itself dropped")
	}
	if r.MinGrade > 1 {
		said = append(said, fmt.Sprintf("relevant from grade %d on", r.MinGrade))
	}
	if r.NoTitle {
		said = append(said, "titles left out")
	}
	return strings.Join(said, ", ")
}
