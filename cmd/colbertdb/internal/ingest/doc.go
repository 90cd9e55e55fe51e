// Package ingest reads files, folders and streams as passages: the units that
// the index verb encodes and stores.
//
//	in, err := ingest.Open("docs/", ingest.Options{}, nil)
//	for p, err := range in.Passages(ctx) { ... }
//
// # Invariants
//
//   - A reader takes any bytes without panicking (see the fuzz tests).
//   - What is wrong with one line or file is a *Problem that names it; reading
//     goes on. Any other error ends the reading.
//   - Within one input no id is yielded twice: a repeated one is a *Problem.
//   - The same input gives the same passages, ids and hashes every time. Ids do
//     not depend on where in the file system an input lies, only on the name of
//     its last folder.
//   - Line-based formats are read a line at a time, the others a file at a
//     time, so memory is bounded by Options.MaxFileBytes.
//
// It does not split by tokens (the index verb does, which knows the model) and
// knows nothing of stores. Start reading at input.go; each reader has a file.
package ingest
