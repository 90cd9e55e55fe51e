// Package fake is an encoder for tests. A token is a word, its vector a unit
// vector drawn from a generator that the word seeds: texts that share words
// match, nothing else does. It needs no model and no inference runtime, and
// gives the same vectors on every machine.
package fake
