package tokenizer

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// unigram is the Unigram model (Kudo 2018, arXiv:1804.10959): of all ways to cut
// a word into pieces of the vocabulary, the one whose scores, logarithms of
// probabilities, have the greatest sum; found by Viterbi's algorithm.
type unigram struct {
	trie         trie
	ids          map[string]int
	scores       []float64 // by id
	unknown      int
	unknownScore float64
}

// unknownPenalty is how far below the worst piece a character counts that no
// piece covers.
const unknownPenalty = 10

// node is the best way to cut what ends at a byte of a word.
type node struct {
	score float64
	id    int32
	start int32 // of its last piece; -1: nothing ends here
}

func (u *unigram) appendPieces(out []Token, word string, s *scratch) []Token {
	path := slices.Grow(s.path[:0], len(word)+1)[:len(word)+1]
	s.path = path
	for i := range path {
		path[i] = node{start: -1}
	}
	for start := 0; start < len(word); {
		_, size := utf8.DecodeRuneInString(word[start:])
		before, single := path[start].score, false
		reach := func(end int, id int, score float64) {
			if n := &path[end]; n.start < 0 || score > n.score {
				*n = node{score, int32(id), int32(start)}
			}
		}
		u.trie.prefixes(word[start:], func(length, id int) {
			reach(start+length, id, u.scores[id]+before)
			single = single || length == size
		})
		if !single {
			reach(start+size, u.unknown, u.unknownScore+before)
		}
		start += size
	}
	first := len(out)
	for end := len(word); end > 0; {
		n := path[end]
		start := int(n.start)
		// Unknown characters in a row are one token.
		for int(n.id) == u.unknown && start > 0 && int(path[start].id) == u.unknown {
			start = int(path[start].start)
		}
		id := int(n.id)
		if id == u.unknown {
			if known, ok := u.ids[word[start:end]]; ok {
				id = known
			}
		}
		out = append(out, Token{ID: id, Start: start, End: end})
		end = start
	}
	slices.Reverse(out[first:])
	return out
}

// trie finds the pieces that begin a text. Nodes stand in breadth-first order, so
// that the children of one are side by side, by their bytes.
type trie struct{ nodes []trieNode }

type trieNode struct {
	first uint32 // its first child
	id    int32  // of the piece that ends here, -1: none
	count uint16 // of children
	label byte
}

// newTrie makes a trie of pieces and their ids.
func newTrie(pieces map[string]int) trie {
	sorted := make([]string, 0, len(pieces))
	for p := range pieces {
		sorted = append(sorted, p)
	}
	slices.SortFunc(sorted, strings.Compare)
	t := trie{nodes: []trieNode{{id: -1}}}
	type part struct{ from, to, depth int } // pieces below a node
	parts := []part{{0, len(sorted), 0}}
	for i := 0; i < len(t.nodes); i++ {
		p := parts[i]
		if p.from < p.to && len(sorted[p.from]) == p.depth {
			t.nodes[i].id = int32(pieces[sorted[p.from]])
			p.from++
		}
		t.nodes[i].first = uint32(len(t.nodes))
		for p.from < p.to {
			label, to := sorted[p.from][p.depth], p.from+1
			for to < p.to && sorted[to][p.depth] == label {
				to++
			}
			t.nodes = append(t.nodes, trieNode{label: label, id: -1})
			parts = append(parts, part{p.from, to, p.depth + 1})
			t.nodes[i].count++
			p.from = to
		}
	}
	return t
}

// prefixes emits the lengths and ids of the pieces that begin a text, shortest
// first.
func (t *trie) prefixes(text string, emit func(length, id int)) {
	at := &t.nodes[0]
	for i := range len(text) {
		children := t.nodes[at.first : at.first+uint32(at.count)]
		child, ok := slices.BinarySearchFunc(children, text[i], func(n trieNode, label byte) int { return int(n.label) - int(label) })
		if !ok {
			return
		}
		if at = &children[child]; at.id >= 0 {
			emit(i+1, int(at.id))
		}
	}
}
