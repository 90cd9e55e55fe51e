package main

import (
	"fmt"
	"os"
	"strings"
)

// plot draws recall@10 and nDCG@10 over the rounds, of the changed store and of
// one built in one go from the same documents.
func plot(path string, points []point) error {
	const w, h, left, top, gap = 640, 200, 60, 30, 60
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", w+left+20, 2*(h+gap)+top)
	fmt.Fprintln(&b, `<rect width="100%" height="100%" fill="white"/>`)
	panel := func(y int, title string, of func(*point) (churned, fresh float64)) {
		lo, hi := 1.0, 0.0
		for i := range points {
			c, f := of(&points[i])
			lo, hi = min(lo, c), max(hi, c)
			if points[i].compared {
				lo, hi = min(lo, f), max(hi, f)
			}
		}
		lo, hi = lo-0.01, hi+0.01
		last := float64(max(1, points[len(points)-1].round))
		px := func(round int) float64 { return left + w*float64(round)/last }
		py := func(v float64) float64 { return float64(y) + h*(hi-v)/(hi-lo) }
		fmt.Fprintf(&b, `<text x="%d" y="%d" font-weight="bold">%s</text>`+"\n", left, y-8, title)
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#999"/>`+"\n", left, y, w, h)
		for i := range 5 {
			v := lo + (hi-lo)*float64(i)/4
			fmt.Fprintf(&b, `<text x="%d" y="%.0f" text-anchor="end">%.3f</text>`+"\n", left-6, py(v)+4, v)
		}
		for i := range points {
			fmt.Fprintf(&b, `<text x="%.0f" y="%d" text-anchor="middle">%d</text>`+"\n", px(points[i].round), y+h+16, points[i].round)
		}
		line := func(style string, compared bool, value func(*point) float64) {
			var xy []string
			for i := range points {
				if compared && !points[i].compared {
					continue
				}
				xy = append(xy, fmt.Sprintf("%.1f,%.1f", px(points[i].round), py(value(&points[i]))))
			}
			fmt.Fprintf(&b, `<polyline fill="none" %s points="%s"/>`+"\n", style, strings.Join(xy, " "))
		}
		line(`stroke="#888" stroke-width="2" stroke-dasharray="6 4"`, true, func(p *point) float64 { _, f := of(p); return f })
		line(`stroke="#0366d6" stroke-width="2"`, false, func(p *point) float64 { c, _ := of(p); return c })
	}
	panel(top, "recall@10 against float32 MaxSim, over rounds of change (dashed: built in one go)", func(p *point) (float64, float64) { return p.churned.recall, p.fresh.recall })
	panel(top+h+gap, "nDCG@10 (dashed: built in one go)", func(p *point) (float64, float64) { return p.churned.ndcg, p.fresh.ndcg })
	fmt.Fprintln(&b, `</svg>`)
	return os.WriteFile(path, []byte(b.String()), 0o644)
}
