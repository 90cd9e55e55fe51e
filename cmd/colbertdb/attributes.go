package main

import (
	"encoding/json"
	"path"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/ingest"
)

// Attributes that index writes beside the input's own. Those that a sync
// depends on are index's alone: an input's field of such a name is stored with
// "_" appended. Of the others, the input's own value wins.
const (
	attrSource  = "source"  // the input it came from: an absolute path, "go-doc:…", "stdin" or --source
	attrHash    = "hash"    // of the passage and how it was split
	attrPassage = "passage" // of a window: the id of the passage
	attrWindow  = "window"  // of a window: its number from 1
	attrWindows = "windows" // of a window: how many the passage has
	attrPath    = "path"    // file that the passage is a part of
	attrFile    = "file"    // file that the passage was read from, when it is no part of it
	attrLine    = "line"
	attrHeading = "heading"
	attrSymbol  = "symbol"
)

var syncAttributes = []string{attrSource, attrHash, attrPassage, attrWindow, attrWindows}

// attributesOf builds the attributes of window number w (from 1) of n of a
// passage, which starts at a line of its own. named says that the only window, too,
// names its passage.
func attributesOf(p *ingest.Passage, source, hash string, w, n, line int, named bool) (json.RawMessage, error) {
	m := make(map[string]any, len(p.Attributes)+8)
	where := attrPath
	if p.Record {
		where = attrFile
	}
	for name, v := range map[string]string{where: p.Path, attrHeading: p.Heading, attrSymbol: p.Symbol} {
		if v != "" {
			m[name] = v
		}
	}
	if line > 0 {
		m[attrLine] = line
	}
	for name, v := range p.Attributes {
		m[name] = v
	}
	for _, name := range syncAttributes {
		if v, own := p.Attributes[name]; own {
			m[name+"_"] = v
			delete(m, name)
		}
	}
	m[attrSource], m[attrHash] = source, hash
	if n > 1 {
		m[attrPassage], m[attrWindow], m[attrWindows] = p.ID, w, n
	} else if named {
		m[attrPassage] = p.ID
	}
	return json.Marshal(m)
}

// withoutSync returns attributes less those that a sync added, for export: index
// gives a document its own again.
func withoutSync(attributes json.RawMessage) (json.RawMessage, error) {
	if at := placeOf(attributes); at.Source == "" || at.Hash == "" {
		return attributes, nil
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(attributes, &m); err != nil {
		return nil, err
	}
	for _, name := range syncAttributes {
		delete(m, name)
	}
	if len(m) == 0 {
		return nil, nil
	}
	return json.Marshal(m)
}

// place is what the commands show of a document's attributes.
type place struct {
	Source, Hash, Passage, Path, File, Heading, Symbol string
	Line, Windows                                      int
}

// placeOf reads attributes, whoever wrote them: what is not of the expected
// type counts as absent.
func placeOf(attributes json.RawMessage) place {
	var m map[string]any
	if len(attributes) > 0 {
		_ = json.Unmarshal(attributes, &m) // the store holds objects only
	}
	str := func(name string) string { s, _ := m[name].(string); return s }
	num := func(name string) int { f, _ := m[name].(float64); return int(f) }
	return place{
		Source: str(attrSource), Hash: str(attrHash), Passage: str(attrPassage), Path: str(attrPath), File: str(attrFile),
		Heading: str(attrHeading), Symbol: str(attrSymbol), Line: num(attrLine), Windows: num(attrWindows),
	}
}

// isCode reports whether the lines of the text matter.
func (p *place) isCode() bool {
	return p.Path != "" && ingest.FormatOf(path.Base(p.Path)) == ingest.Code
}
