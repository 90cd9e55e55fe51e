package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/bundled"
)

// modelCmd are the verbs about models.
type modelCmd struct {
	Inspect modelInspectCmd `cmd:"" help:"Say what was understood of a model folder, and what does not fit together in it."`
	Pull    modelPullCmd    `cmd:"" help:"Fetch a model from a hub, or what is missing of it."`
	List    modelListCmd    `cmd:"" help:"List the models that were fetched."`
	Rm      modelRmCmd      `cmd:"" help:"Remove models that were fetched."`
}

type modelInspectCmd struct {
	Folder string `arg:"" placeholder:"DIR" help:"Model folder, or \"bundled\"; settings may follow: DIR?query_length=64."`
}

// inspectOutput is the JSON of inspect.
type inspectOutput struct {
	*encoder.Inspection
	Runtime string `json:"runtime,omitempty"` // what --devices took
}

// Run prints what encoder.Inspect found. With --devices the model is loaded too.
func (c *modelInspectCmd) Run(a *app) error {
	in, err := inspectModel(c.Folder)
	if err != nil {
		return err
	}
	out := inspectOutput{Inspection: in}
	if a.Devices != "" {
		enc, err := loadModel(a.ctx, c.Folder, a.modelRun)
		if err != nil {
			return err
		}
		out.Runtime = runtimeOf(enc)
		if err := enc.Close(); err != nil {
			return err
		}
	}
	if a.JSON {
		return a.printJSON(out)
	}
	row := func(name, format string, args ...any) {
		a.printf("%-13s "+format+"\n", append([]any{name}, args...)...)
	}
	row("model", "%s", in.Name)
	row("fingerprint", "%s", in.Fingerprint)
	row("licence", "%s", licenceNote(in.License))
	row("form", "%s", in.Form)
	row("files", "%s", strings.Join(in.Files, ", "))
	t := in.Tokenizer
	row("tokenizer", "%s of %d tokens%s (%s)", t.Model, t.Tokens, map[bool]string{true: ", lower-cased"}[t.Lowercases], t.File)
	g := in.Graph
	row("graph", "%s, %s, weights mostly %s", g.File, render.Bytes(int64(g.Bytes)), mostly(g.Weights))
	row("", "takes %s", strings.Join(g.Inputs, ", "))
	row("", "gives %s, %s of dimension %d", g.Output, g.Type, g.Dim)
	for _, p := range in.Projection {
		row("projection", "%d to %d (%s), %s", p.In, p.Out, p.File, map[bool]string{true: "applied to what the graph gives", false: "in the graph"}[p.Applied])
	}
	if out.Runtime != "" {
		row("runs", "%s", out.Runtime)
	}
	m := in.Markers
	row("query", "%s", sequenceShown(m, m.Query))
	row("document", "%s", sequenceShown(m, m.Document))
	row("mask, padding", "%q, %q", m.Mask, m.Pad)
	a.printf("settings\n")
	for _, s := range in.Settings {
		value, err := json.Marshal(s.Value)
		if err != nil {
			return err
		}
		if words, ok := s.Value.([]string); ok {
			value = fmt.Appendf(nil, "%d words", len(words))
		}
		a.printf("  %-27s %s (%s)\n", s.Name, value, s.From)
	}
	return nil
}

// inspectModel inspects a folder, or the model that is compiled in.
func inspectModel(location string) (*encoder.Inspection, error) {
	if location == modelBundled {
		in, err := encoder.Inspect(bundled.FS(), modelBundled, nil)
		if err == nil {
			in.License = "apache-2.0"
		}
		return in, err
	}
	m, err := findModel(location)
	if err != nil {
		return nil, err
	}
	return encoder.Inspect(os.DirFS(m.dir), m.location(), m.overrides)
}

// licenceNote is a licence with a warning where it forbids commercial use.
func licenceNote(license string) string {
	switch {
	case license == "":
		return "not stated"
	case encoder.NonCommercial(license):
		return license + ": not for commercial use"
	}
	return license
}

// mostly is the type that most of the weights have.
func mostly(weights map[string]int64) string {
	most := "of no type"
	for kind, size := range weights {
		if size > weights[most] || size == weights[most] && kind < most {
			most = kind
		}
	}
	return most
}

// sequenceShown is the order of the tokens around a text.
func sequenceShown(m encoder.MarkerFacts, marker string) string {
	parts := append([]string(nil), m.Before...)
	if marker != "" {
		at := min(1, len(parts))
		parts = append(parts[:at], append([]string{strings.TrimSpace(marker)}, parts[at:]...)...)
	}
	return strings.Join(append(append(parts, "text"), m.After...), " ")
}
