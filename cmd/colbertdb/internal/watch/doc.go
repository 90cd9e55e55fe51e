// Package watch tells which parts of a folder have changed, as the system reports it.
//
// It knows folders that it was told of and no rules: the caller walks the folder, says
// which folders it has met (Watch), and looks at the parts that Next names. Whoever
// walks again whenever Watch has learnt of a new folder misses nothing: what was there
// before the folder was watched is met by the walk, what comes after is reported.
//
// Start reading at folder.go.
package watch
