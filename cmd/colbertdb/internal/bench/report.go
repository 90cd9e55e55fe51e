package bench

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/benchdoc"
)

// ResidentBytes is the memory that the process holds, 0 where the system does not
// tell it in a file.
func ResidentBytes() int64 {
	b, _ := os.ReadFile("/proc/self/status") // no such file: nothing is known
	for line := range strings.Lines(string(b)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}

// Profile is what was measured of a collection of one profile.
type Profile struct {
	Profile       string        `json:"profile"`
	BytesPerToken float64       `json:"bytes_per_token"`
	Pinned        float64       `json:"resident_bytes_per_token"` // of token columns
	RSS           int64         `json:"rss_bytes"`
	Built         time.Duration `json:"build_ns"` // 0: it was there
	Cells         int           `json:"cells"`
	Centroids     int           `json:"centroids"`
	Segments      int           `json:"segments"`
	Exact         []Exact       `json:"exact"`
	Points        []Measured    `json:"points"`
	// Stats is what stats reports of the collection; nil where it is too small.
	Stats *engine.Calibration `json:"stats,omitempty"`
}

// Exact is a search of every document over the stored planes.
type Exact struct {
	K      int           `json:"k"`
	Recall float64       `json:"recall"`
	NDCG   float64       `json:"ndcg_at_10,omitempty"`
	P50    time.Duration `json:"p50_ns"`
}

// Report is all that was measured.
type Report struct {
	Machine   benchdoc.Machine `json:"machine"`
	Command   string           `json:"command"`
	Name      string           `json:"name"`
	Documents int              `json:"documents"`
	Tokens    int64            `json:"tokens"`
	Dim       int              `json:"dim"`
	Queries   int              `json:"queries"`
	FloatNDCG float64          `json:"float_ndcg_at_10,omitempty"`
	Profiles  []Profile        `json:"profiles"`
}

// Markdown is the report for a document.
func (r *Report) Markdown() string {
	return fmt.Sprintf("    %s\n\n%s.\n\n%s", r.Command, r.Machine, r.Text())
}

// Text is the report as a line and tables.
func (r *Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d documents, %d token vectors of %d dimensions, %d queries.\n\n", r.Name, r.Documents, r.Tokens, r.Dim, r.Queries)
	if r.FloatNDCG > 0 {
		fmt.Fprintf(&b, "Exact search of the float vectors: nDCG@10 %.4f.\n\n", r.FloatNDCG)
	}
	fmt.Fprintln(&b, "| profile | effort | k | candidate recall@k | recall@k | queries < 0.8 | nDCG@10 | p50 | p95 | p99 | queries/s |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|---|---|---|---|")
	for _, p := range r.Profiles {
		for _, x := range p.Points {
			fmt.Fprintf(&b, "| %s | %s | %d | %.3f | %.3f | %.1f %% | %s | %s | %s | %s | %.0f (%d threads) |\n", p.Profile, x.Point, x.K, x.CandidateRecall, x.Recall, 100*x.Below80, orDash(x.NDCG), ms(x.P50), ms(x.P95), ms(x.P99), x.PerSecond, x.Threads)
		}
		for _, x := range p.Exact {
			fmt.Fprintf(&b, "| %s | exact scan | %d | 1 | %.3f | | %s | %s | | | |\n", p.Profile, x.K, x.Recall, orDash(x.NDCG), ms(x.P50))
		}
	}
	r.writeStats(&b)
	fmt.Fprint(&b, "\nStages of a search, mean, µs:\n\n")
	names := r.stages()
	fmt.Fprintf(&b, "| profile | effort | k | candidates | %s |\n|---|---|---|---|%s\n", strings.Join(names, " | "), strings.Repeat("---|", len(names)))
	for _, p := range r.Profiles {
		for _, x := range p.Points {
			fmt.Fprintf(&b, "| %s | %s | %d | %d |", p.Profile, x.Point, x.K, x.Candidates)
			for _, n := range names {
				fmt.Fprintf(&b, " %d |", x.Stages[n]/1000)
			}
			fmt.Fprintln(&b)
		}
	}
	fmt.Fprint(&b, "\n| profile | bytes a token | of them resident | RSS of the process | cells | fine centroids | segments | build |\n|---|---|---|---|---|---|---|---|\n")
	for _, p := range r.Profiles {
		built := "–"
		if p.Built > 0 {
			built = fmt.Sprintf("%.0f s", p.Built.Seconds())
		}
		fmt.Fprintf(&b, "| %s | %.0f | %.0f | %d MB | %d | %d | %d | %s |\n", p.Profile, p.BytesPerToken, p.Pinned, p.RSS>>20, p.Cells, p.Centroids, p.Segments, built)
	}
	return b.String()
}

// writeStats is the table of what stats reports.
func (r *Report) writeStats(b *strings.Builder) {
	head := "\nWhat stats reports of the collections, for K = 10:\n\n| profile | queries | effort | candidate recall@10 | recall@10 | queries < 0.8 |\n|---|---|---|---|---|---|\n"
	for _, p := range r.Profiles {
		if p.Stats == nil {
			continue
		}
		for _, e := range p.Stats.Efforts {
			name := e.Effort
			if e.NProbe > 0 {
				name = fmt.Sprintf("%s (%d/%d/%d)", name, e.NProbe, e.Candidates, e.NFullScores)
			}
			fmt.Fprintf(b, "%s| %s | %d %s | %s | %.3f | %.3f | %.1f %% |\n", head, p.Profile, p.Stats.Queries, p.Stats.Kind, name, e.CandidateRecall, e.Recall, 100*e.Below80)
			head = ""
		}
	}
}

// stages are the names of those that took time, in the order of a search.
func (r *Report) stages() (names []string) {
	for _, n := range engine.Stages() {
		if slices.ContainsFunc(r.Profiles, func(p Profile) bool {
			return slices.ContainsFunc(p.Points, func(x Measured) bool { return x.Stages[n] >= 1000 })
		}) {
			names = append(names, n)
		}
	}
	return names
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/1e6) }

func orDash(v float64) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf("%.4f", v)
}

// SVG plots recall over the median time, a line a profile, for one k.
func (r *Report) SVG(k int) string {
	const w, h, left, top, bottom = 560, 320, 70, 40, 60
	type dot struct {
		ms, recall float64
		name       string
	}
	lines := map[string][]dot{}
	loX, hiX, loY := 1e300, 0.0, 1.0
	for _, p := range r.Profiles {
		var dots []dot
		for _, x := range p.Points {
			if x.K == k {
				dots = append(dots, dot{float64(x.P50) / 1e6, x.Recall, x.Point})
			}
		}
		slices.SortFunc(dots, func(a, b dot) int { return int(a.ms*1e6) - int(b.ms*1e6) })
		for _, d := range dots {
			loX, hiX, loY = min(loX, d.ms), max(hiX, d.ms), min(loY, d.recall)
		}
		lines[p.Profile] = dots
	}
	loX, hiX, loY = 0, hiX*1.1, max(0, loY-0.02)
	px := func(ms float64) float64 { return left + w*(ms-loX)/max(hiX-loX, 1e-9) }
	py := func(v float64) float64 { return top + h*(1-v)/max(1-loY, 1e-9) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", left+w+110, top+h+bottom)
	fmt.Fprintln(&b, `<rect width="100%" height="100%" fill="white"/>`)
	fmt.Fprintf(&b, `<text x="%d" y="%d" font-weight="bold">%s: recall@%d over median time</text>`+"\n", left, top-16, escape(r.Name), k)
	fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#999"/>`+"\n", left, top, w, h)
	for i := range 6 {
		v, x := loY+(1-loY)*float64(i)/5, loX+(hiX-loX)*float64(i)/5
		fmt.Fprintf(&b, `<text x="%d" y="%.0f" text-anchor="end">%.3f</text>`+"\n", left-6, py(v)+4, v)
		fmt.Fprintf(&b, `<text x="%.0f" y="%d" text-anchor="middle">%.1f</text>`+"\n", px(x), top+h+18, x)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">p50 of a search, ms, one thread</text>`+"\n", left+w/2, top+h+42)
	colours := []string{"#0366d6", "#d73a49", "#22863a", "#6f42c1"}
	for i, p := range r.Profiles {
		c := colours[i%len(colours)]
		var xy []string
		for _, d := range lines[p.Profile] {
			xy = append(xy, fmt.Sprintf("%.1f,%.1f", px(d.ms), py(d.recall)))
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s %s: %.2f ms, %.3f</title></circle>`+"\n", px(d.ms), py(d.recall), c, p.Profile, d.name, d.ms, d.recall)
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`+"\n", c, strings.Join(xy, " "))
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", left+w+12, top+14+18*i, c, p.Profile)
	}
	fmt.Fprintln(&b, `</svg>`)
	return b.String()
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
