// Package reliability is the harness behind docs/reliability.md: a model of a
// store, a generator of workloads, file systems that lose power, and the tests
// R1 to R24 that hold the promises.
//
// The model is a map (State). A workload is a series of Ops drawn from a seed;
// Apply runs one on a store, State.Apply on the model. Check compares the two:
// every document, its vectors, an exact search against brute force, Verify.
//
// Each test file is one promise. Two lanes: the short one runs with every
// `go test`; COLBERTDB_RELIABILITY=full (`make reliability`) runs the same tests
// with the numbers of docs/reliability.md. A test prints the seed that failed,
// and COLBERTDB_SEED=<seed> runs that one alone. What background work does
// between two operations is up to the scheduler, so a seed may need several runs.
package reliability
