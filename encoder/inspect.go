package encoder

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Inspection is what was understood of a model folder.
type Inspection struct {
	Name        string            `json:"name"`
	Location    string            `json:"location"`
	Form        string            `json:"form"`              // the file that makes it a model folder
	Files       []string          `json:"files"`             // that were read
	License     string            `json:"license,omitempty"` // by its README.md
	Fingerprint string            `json:"fingerprint"`
	Tokenizer   TokenizerFacts    `json:"tokenizer"`
	Graph       GraphFacts        `json:"graph"`
	Projection  []ProjectionFacts `json:"projection,omitempty"` // the layers after the transformer
	Markers     MarkerFacts       `json:"markers"`
	Settings    []Setting         `json:"settings"`
}

// TokenizerFacts say what a tokenizer is.
type TokenizerFacts struct {
	File       string `json:"file"`
	Model      string `json:"model"`
	Tokens     int    `json:"tokens"`
	Lowercases bool   `json:"lowercases"`
}

// GraphFacts say what a graph is.
type GraphFacts struct {
	File    string           `json:"file"`
	Bytes   int              `json:"bytes"`
	Inputs  []string         `json:"inputs"`
	Output  string           `json:"output"`
	Type    string           `json:"type"` // of the output
	Dim     int              `json:"dim"`  // of the output
	Weights map[string]int64 `json:"weights"`
}

// ProjectionFacts say what a layer is.
type ProjectionFacts struct {
	File    string `json:"file"`
	In      int    `json:"in"`
	Out     int    `json:"out"`
	Applied bool   `json:"applied"` // here; else the graph has it
}

// MarkerFacts are the tokens around texts.
type MarkerFacts struct {
	Before   []string `json:"before"`
	Query    string   `json:"query"`    // "" none
	Document string   `json:"document"` // "" none
	After    []string `json:"after"`
	Mask     string   `json:"mask"`
	Pad      string   `json:"pad"`
}

// Setting is a setting of a model and the file that it comes from.
type Setting struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
	From  string `json:"from"`
}

// Inspect reads a model folder and says what it understood, without running the
// model. What cannot be used is the error that opening it gives.
func Inspect(fsys fs.FS, location string, o Overrides) (*Inspection, error) {
	f, err := ReadFolder(fsys, location, o)
	if err != nil {
		return nil, err
	}
	g, err := ReadGraph(f.Graph)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %s: %w", ErrModel, location, f.GraphName, err)
	}
	fit, err := f.Fit(g)
	if err != nil {
		return nil, err
	}
	c, t := f.Config, f.Tokenizer
	in := &Inspection{
		Name: c.Name, Location: location, Form: c.cfgName, Files: slices.Concat(f.files, []string{f.GraphName}, f.External), License: License(fsys), Fingerprint: f.Fingerprint,
		Tokenizer: TokenizerFacts{c.tokenizerName, t.Model(), t.Size(), t.Lowercase()},
		Graph:     GraphFacts{f.GraphName, len(f.Graph), g.Inputs, fit.Output.Name, fit.Output.Type, fit.Dim, g.Weights},
	}
	for _, d := range f.projection {
		in.Projection = append(in.Projection, ProjectionFacts{d.file, d.in, d.out, fit.Projects})
	}
	piece := func(id *int) string {
		if id == nil || *id < 0 {
			return ""
		}
		return t.Piece(*id)
	}
	in.Markers = MarkerFacts{Query: piece(c.QueryMarker), Document: piece(c.DocumentMarker), Mask: piece(&c.MaskID), Pad: piece(&c.PadID)}
	for _, id := range c.Before {
		in.Markers.Before = append(in.Markers.Before, t.Piece(id))
	}
	for _, id := range c.After {
		in.Markers.After = append(in.Markers.After, t.Piece(id))
	}
	for name, value := range f.said.each() {
		in.Settings = append(in.Settings, Setting{name, value, cmp.Or(f.said.from[name], c.cfgName)})
	}
	return in, nil
}

// License returns the licence that the README.md of a model names in its front
// matter, as model hubs have it, "" where there is none.
func License(fsys fs.FS) string {
	b, err := fs.ReadFile(fsys, "README.md")
	if err != nil {
		return ""
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 0; lines.Scan(); n++ {
		line := strings.TrimRight(lines.Text(), " \r")
		if n == 0 && line != "---" || n > 0 && line == "---" {
			return ""
		}
		if value, ok := strings.CutPrefix(line, "license:"); ok {
			return strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return ""
}

// NonCommercial reports whether a licence forbids commercial use.
func NonCommercial(license string) bool {
	license = strings.ToLower(license)
	return strings.Contains(license, "-nc") || strings.Contains(license, "noncommercial") || strings.Contains(license, "non-commercial")
}
