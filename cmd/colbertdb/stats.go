package main

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/engine"
)

type statsCmd struct{}

// statsOutput is the JSON of stats.
type statsOutput struct {
	Store       string            `json:"store"`
	DiskBytes   uint64            `json:"disk_bytes"`
	PinnedBytes int64             `json:"pinned_bytes"`
	PinBudget   int64             `json:"pin_budget_bytes"`
	Replayed    int64             `json:"replayed_records"`
	TornBytes   int64             `json:"torn_bytes"` // dropped from the log's end at this open
	LogFiles    int               `json:"log_files"`
	LogBytes    int64             `json:"log_bytes"`
	Aliases     []aliasOutput     `json:"aliases"`
	Collections []collectionStats `json:"collections"`
}

type collectionStats struct {
	Name           string        `json:"name"`
	Model          *engine.Model `json:"model,omitempty"`
	Dim            int           `json:"dim"`
	Profile        string        `json:"profile"`
	RetainRaw      bool          `json:"retain_raw"`
	Representation string        `json:"representation"` // the plane that decides scores
	Documents      int64         `json:"documents"`
	Tokens         int64         `json:"tokens"`
	Buffered       int64         `json:"buffered"` // documents not yet in a segment
	Deleted        int64         `json:"deleted"`  // documents that compact will drop
	Segments       int           `json:"segments"`
	Bytes          int64         `json:"bytes"` // of the segments
	BytesPerToken  float64       `json:"bytes_per_token,omitempty"`
	Cells          int           `json:"cells"` // 0: no codebook yet, every search is exact
	Centroids      int           `json:"centroids"`
	ResidualNorm   float32       `json:"residual_norm,omitempty"`
	Seq            uint64        `json:"seq"`
	// ReindexOf is the collection that an unfinished reindex fills this one from.
	ReindexOf string              `json:"reindex_of,omitempty"`
	Tiers     []engine.TierInfo   `json:"tiers,omitempty"`
	Columns   []engine.ColumnInfo `json:"columns,omitempty"`
	Debt      engine.Debt         `json:"debt"`
	// Recall says what searches were measured to find.
	Recall *engine.Calibration `json:"recall,omitempty"`
	Advice []string            `json:"advice,omitempty"`
}

func (statsCmd) Run(a *app) (err error) {
	db, err := a.readStore()
	if err != nil {
		return err
	}
	defer closing(&err, db)
	m := db.Metrics()
	out := statsOutput{
		Store: cmp.Or(a.DB, defaultDB), DiskBytes: m.DiskBytes, PinnedBytes: m.PinnedBytes,
		PinBudget: m.PinBudget, Replayed: m.Replayed, Collections: []collectionStats{},
		TornBytes: m.TornBytes, LogFiles: m.LogFiles, LogBytes: m.LogOnDisk, Aliases: []aliasOutput{},
	}
	for _, v := range db.Aliases() {
		out.Aliases = append(out.Aliases, aliasOutput(v))
	}
	for _, c := range m.Collections {
		s := collectionStats{
			Name: c.Name, Model: c.Model, Dim: c.Dim, Profile: c.Profile.String(), RetainRaw: c.RetainRaw,
			Representation: c.Representation, Documents: c.Documents, Tokens: c.Tokens, Buffered: c.Buffered,
			Deleted: c.Deleted, Segments: c.Segments, Bytes: c.Bytes, Cells: c.Cells, Centroids: c.Centroids,
			ResidualNorm: c.ResidualNorm, Seq: c.LastSeq,
			ReindexOf: c.ReindexOf, Tiers: c.Tiers, Columns: c.Columns, Debt: c.Debt, Recall: c.Calibration, Advice: advice(&c),
		}
		if c.Segments > 0 && c.Buffered == 0 && c.Deleted == 0 && c.Tokens > 0 {
			s.BytesPerToken = float64(c.Bytes) / float64(c.Tokens)
		}
		out.Collections = append(out.Collections, s)
	}
	if a.JSON {
		return a.printJSON(out)
	}
	a.printf("%s: %s on disk, %s of token columns in memory (budget %s)\n", out.Store,
		render.Bytes(int64(out.DiskBytes)), render.Bytes(out.PinnedBytes), render.Bytes(out.PinBudget))
	a.printf("log: %d files, %s; %s records not yet in a segment were read\n", out.LogFiles, render.Bytes(out.LogBytes), render.Count(out.Replayed))
	if out.TornBytes > 0 {
		a.printf("! %s of an unfinished write at the log's end were dropped; they had not been acknowledged\n", render.Bytes(out.TornBytes))
	}
	if m.DiskFree >= 0 && m.DiskFree < m.DiskFloor {
		a.printf("! %s are free on its disk and %s are kept: writes are refused; make room, or delete and compact\n", render.Bytes(m.DiskFree), render.Bytes(m.DiskFloor))
	}
	for _, v := range out.Aliases {
		a.printf("alias %s → %s\n", v.Name, v.Collection)
	}
	if len(out.Collections) == 0 {
		a.printf("no collections\n")
	}
	style := a.style(a.stdout)
	for _, c := range out.Collections {
		a.printf("\n%s\n", style.Bold(c.Name))
		w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		for _, l := range c.lines() {
			fmt.Fprintf(w, "  %s\t%s\n", l[0], l[1])
		}
		if err := w.Flush(); err != nil {
			return err
		}
		for _, text := range c.Advice {
			a.printf("  %s\n", style.Bad("! "+text))
		}
	}
	return nil
}

// lines are a collection's figures, labelled for people.
func (c *collectionStats) lines() [][2]string {
	documents := render.Count(c.Documents)
	if c.Buffered > 0 {
		documents += fmt.Sprintf(", %s of them in the buffer", render.Count(c.Buffered))
	}
	if c.Deleted > 0 {
		documents += fmt.Sprintf("; %s deleted ones wait for compact", render.Count(c.Deleted))
	}
	tokens := render.Count(c.Tokens)
	if c.Documents > 0 {
		tokens += fmt.Sprintf(", %.0f a document", float64(c.Tokens)/float64(c.Documents))
	}
	segments := fmt.Sprintf("%d, %s", c.Segments, render.Bytes(c.Bytes))
	if c.BytesPerToken > 0 {
		segments += fmt.Sprintf(", %.0f bytes a token with text and index", c.BytesPerToken)
	}
	codebook := "none yet: every search is exact"
	if strings.HasPrefix(c.Profile, "plaid-") {
		codebook = fmt.Sprintf("imported: %s centroids, in %s cells for searching", render.Count(int64(c.Centroids)), render.Count(int64(c.Cells)))
	} else if c.Cells > 0 {
		codebook = fmt.Sprintf("%s cells, %s centroids, residual %.2f", render.Count(int64(c.Cells)), render.Count(int64(c.Centroids)), c.ResidualNorm)
	}
	model := "none: vectors from the caller"
	if c.Model != nil {
		model = fmt.Sprintf("%s, from %s, fingerprint %.12s", c.Model.Name, c.Model.Location, c.Model.Fingerprint)
	}
	columns := ""
	for i, col := range c.Columns {
		if i > 0 {
			columns += ", "
		}
		columns += col.Name + " " + render.Bytes(col.Bytes)
	}
	profile := fmt.Sprintf("%s, %d dimensions, scores from plane %s", c.Profile, c.Dim, c.Representation)
	out := [][2]string{{"documents", documents}, {"tokens", tokens}, {"segments", segments}}
	if columns != "" {
		out = append(out, [2]string{"columns", columns})
	}
	out = append(out, [2]string{"profile", profile}, [2]string{"codebook", codebook}, [2]string{"model", model})
	if c.Recall != nil {
		out = append(out, recallLines(c.Recall)...)
	}
	return out
}

// recallLines say what searches were measured to find, an effort a line.
func recallLines(m *engine.Calibration) (out [][2]string) {
	kind := map[engine.CalibrationKind]string{
		engine.CalibrationQueries:   "queries given",
		engine.CalibrationSentences: "sentences of its documents as queries",
		engine.CalibrationWindows:   "windows of its documents' vectors as queries",
	}[m.Kind]
	target := fmt.Sprintf("target: candidate recall@10 of %.2f by the default effort", m.Target)
	if !m.Reached {
		target += ", not reached"
	}
	out = append(out, [2]string{"recall", fmt.Sprintf("%s; measured with %d %s at %s documents", target, m.Queries, kind, render.Count(m.Documents))})
	for _, e := range m.Efforts {
		text := fmt.Sprintf("candidate recall@10 %.3f", e.CandidateRecall)
		if e.Recall > 0 {
			text += fmt.Sprintf(", recall@10 %.3f, %.1f %% of queries under 0.8", e.Recall, 100*e.Below80)
		}
		out = append(out, [2]string{"  " + e.Effort, text})
	}
	return out
}
