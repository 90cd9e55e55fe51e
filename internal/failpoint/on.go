//go:build colbertdb_failpoints

package failpoint

import "os"

var planted = os.Getenv("COLBERTDB_FAILPOINT")

// On reports whether a bug is planted: COLBERTDB_FAILPOINT names it.
func On(bug string) bool { return bug == planted }
