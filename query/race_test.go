//go:build race

package query

// raceEnabled: kernels in Go run many times slower under the race detector.
const raceEnabled = true
