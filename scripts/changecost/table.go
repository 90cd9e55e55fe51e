package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// table collects figures with their bounds.
type table struct {
	rows   []string
	failed bool
}

// ratio adds a row of two figures whose ratio is bounded; a bound of 0 is none.
func (t *table) ratio(name, unit string, small, large, bound float64) {
	verdict, limit := "", ""
	if bound > 0 {
		verdict, limit = "PASS", fmt.Sprintf("≤ %.2g", bound)
		if !(large <= bound*small) {
			verdict, t.failed = "FAIL", true
		}
	}
	t.rows = append(t.rows, fmt.Sprintf("| %s | %s %s | %s %s | %.2f | %s | %s |", name, number(small), unit, number(large), unit, large/small, limit, verdict))
}

// limit adds a row of one figure with a bound.
func (t *table) limit(name, unit string, x, bound float64) {
	verdict := "PASS"
	if x > bound {
		verdict, t.failed = "FAIL", true
	}
	t.rows = append(t.rows, fmt.Sprintf("| %s | | %s %s | | ≤ %s %s | %s |", name, number(x), unit, number(bound), unit, verdict))
}

// figure adds a row of one figure.
func (t *table) figure(name, unit string, x float64) {
	t.rows = append(t.rows, fmt.Sprintf("| %s | | %s %s | | | |", name, number(x), unit))
}

func number(x float64) string {
	switch {
	case x >= 1000:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

func (t *table) print() error {
	fmt.Println("\n| figure | small store, or quiet | large store, or beside work | ratio | bound | |")
	fmt.Println("|---|---|---|---|---|---|")
	fmt.Println(strings.Join(t.rows, "\n"))
	if t.failed {
		return errors.New("a bound is exceeded")
	}
	return nil
}

// quantile is one of times that are sorted here, in milliseconds.
func quantile(t []time.Duration, q float64) float64 {
	s := slices.Sorted(slices.Values(t))
	return float64(s[int(q*float64(len(s)-1))]) / 1e6
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return s[len(s)/2]
}
