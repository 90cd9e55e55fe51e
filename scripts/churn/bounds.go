package main

import (
	"errors"
	"fmt"
)

// Bounds of a changed store against one built in one go.
const (
	maxLoss    = 0.005 // of nDCG@10 and of recall@10
	maxLatency = 1.25  // ratio of the p50
	maxBytes   = 1.1   // ratio of the bytes a token
	// minShortfall is what a store without re-training has to fall short by, of
	// recall@10, for the run to say anything.
	minShortfall = 0.02
	minSlower    = 1.5
)

var errBounds = errors.New("not within the bounds")

// verdict is a table of bounds and whether they hold.
type verdict struct{ failed bool }

func (v *verdict) row(what, got, bound string, ok bool) {
	word := "PASS"
	if !ok {
		word, v.failed = "FAIL", true
	}
	fmt.Printf("| %s | %s | %s | %s |\n", word, what, got, bound)
}

// judge compares the two; times only count where nothing else runs.
func (v *verdict) judge(churned, fresh quality, bytes, freshBytes float64) {
	fmt.Print("\n| | after the changes, against built in one go | | bound |\n|---|---|---|---|\n")
	difference := func(what string, a, b float64) {
		v.row(what, fmt.Sprintf("%.4f − %.4f = %+.4f", a, b, a-b), fmt.Sprintf("≥ −%.3f", maxLoss), a-b >= -maxLoss)
	}
	ratio := func(what string, a, b, bound float64) {
		v.row(what, fmt.Sprintf("%.2f ÷ %.2f = %.3f", a, b, a/b), fmt.Sprintf("≤ %.2f", bound), a/b <= bound)
	}
	difference("nDCG@10", churned.ndcg, fresh.ndcg)
	difference("recall@10", churned.recall, fresh.recall)
	ratio("p50, ms", churned.p50, fresh.p50, maxLatency)
	ratio("bytes a token", bytes, freshBytes, maxBytes)
}

func (v *verdict) err() error {
	if v.failed {
		return errBounds
	}
	return nil
}
