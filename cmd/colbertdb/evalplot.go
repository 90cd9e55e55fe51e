package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
)

// svg plots mean nDCG over the bytes stored for a document, on a logarithmic scale, a
// point for each configuration that was measured on all test collections.
func (r *evalReport) svg() string {
	const w, h, left, top, bottom = 560, 320, 70, 40, 60
	type point struct {
		name           string
		bytes, quality float64
	}
	var points []point
	groups := r.datasets()
	for _, one := range groups[0] {
		p := point{name: one.Config}
		measured := 0
		for _, g := range groups {
			for _, res := range g {
				if v, ok := res.Metric("nDCG", r.K); ok && res.Config == one.Config && res.Bytes > 0 {
					p.quality += v / float64(len(groups))
					p.bytes += float64(res.Bytes) / float64(max(1, res.Documents)) / float64(len(groups))
					measured++
				}
			}
		}
		if measured == len(groups) {
			points = append(points, p)
		}
	}
	slices.SortFunc(points, func(a, b point) int { return int(a.bytes - b.bytes) })
	loX, hiX, loY, hiY := math.Inf(1), 0.0, 1.0, 0.0
	for _, p := range points {
		loX, hiX, loY, hiY = min(loX, p.bytes), max(hiX, p.bytes), min(loY, p.quality), max(hiY, p.quality)
	}
	loX, hiX = loX/1.5, hiX*1.5
	loY, hiY = loY-0.01, hiY+0.01
	px := func(v float64) float64 { return left + w*math.Log(v/loX)/math.Log(hiX/loX) }
	py := func(v float64) float64 { return top + h*(hiY-v)/(hiY-loY) }
	var names []string
	for _, g := range groups {
		names = append(names, g[0].Dataset)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", left+w+20, top+h+bottom)
	fmt.Fprintln(&b, `<rect width="100%" height="100%" fill="white"/>`)
	fmt.Fprintf(&b, `<text x="%d" y="%d" font-weight="bold">%s: nDCG@%d over bytes a document</text>`+"\n", left, top-16, html.EscapeString(strings.Join(names, ", ")), r.K)
	fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#999"/>`+"\n", left, top, w, h)
	for i := range 6 {
		v := loY + (hiY-loY)*float64(i)/5
		fmt.Fprintf(&b, `<text x="%d" y="%.0f" text-anchor="end">%.3f</text>`+"\n", left-6, py(v)+4, v)
	}
	for step := math.Pow(10, math.Floor(math.Log10(loX))); step < hiX; step *= 10 {
		for _, m := range []float64{1, 2, 5} {
			if v := m * step; v > loX && v < hiX {
				fmt.Fprintf(&b, `<text x="%.0f" y="%d" text-anchor="middle">%s</text>`+"\n", px(v), top+h+18, render.Bytes(int64(v)))
			}
		}
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">stored for a document on the mean, logarithmic</text>`+"\n", left+w/2, top+h+42)
	for _, p := range points {
		x, y := px(p.bytes), py(p.quality)
		anchor, dx := "start", 7.0
		if x > left+w*2/3 {
			anchor, dx = "end", -7.0
		}
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="4" fill="#0366d6"><title>%s: %.0f bytes, %.4f</title></circle>`+"\n", x, y, html.EscapeString(p.name), p.bytes, p.quality)
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x+dx, y+4, anchor, html.EscapeString(p.name))
	}
	fmt.Fprintln(&b, `</svg>`)
	return b.String()
}
