//go:build !colbertdb_failpoints

package failpoint

// On reports whether a bug is planted: never in this build.
func On(string) bool { return false }
