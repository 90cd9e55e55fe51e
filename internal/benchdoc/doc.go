// Package benchdoc is about documents with figures: where the figures come from
// (machine.go) and where they stand (section.go).
//
// A figure's place is a section of a Markdown file:
//
//	<!-- bench NAME -->
//
//	    the command
//
//	the machine, the commit, the date; tables
//
//	<!-- end -->
//
// The command line in it is the one that makes the section anew: the document is the
// list of its own measurements, and what stands outside sections is nobody's but the
// authors'.
package benchdoc
