package main

import (
	"fmt"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/engine"
)

// adviceDeleted is the share of deleted documents, in percent, from which on
// stats speaks of it; merges come by themselves at 30 in a segment.
const adviceDeleted = 20

// advice says what is off with a collection and what mends it.
func advice(c *engine.CollectionInfo) (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if stored := c.Documents - c.Buffered + c.Deleted; stored > 0 && c.Deleted*100 >= stored*adviceDeleted {
		say("%d %% deleted: colbertdb compact gives back about %s", c.Deleted*100/stored, render.Bytes(c.Bytes*c.Deleted/stored))
	}
	if c.ReindexOf != "" {
		say("not complete: colbertdb reindex -c %s goes on, colbertdb drop %s gives it up", c.ReindexOf, c.Name)
	}
	if c.Cells == 0 && c.Tokens >= trainTokens {
		say("too large for exact scans: colbertdb compact trains a codebook")
	}
	if c.Debt.StaleSegments > 0 {
		say("%d segments (%s) have an older codebook or routing: merges follow in the background, colbertdb compact does it now", c.Debt.StaleSegments, render.Bytes(c.Debt.StaleBytes))
	}
	if c.UnpinnedColumns > 0 {
		say("%d columns do not fit the memory budget and are read from disk: searches are slower", c.UnpinnedColumns)
	}
	return out
}
