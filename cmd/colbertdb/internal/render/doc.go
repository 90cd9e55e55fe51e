// Package render turns search results and progress into terminal text.
//
// highlight.go finds the words of a passage that matched (from the similarity
// of each query token and its best document token), snippet.go picks and wraps
// the best part of a long passage, style.go knows colours and display widths,
// progress.go draws the bar. Nothing here reads a store or a model.
//
// # Invariants
//
//   - No line is wider than Style.Width display columns.
//   - Text from documents cannot move the cursor or change colours: control
//     characters are dropped.
//
// Start reading at highlight.go.
package render
