package tokenizer

import "unicode/utf8"

// bpe is byte-pair encoding: a word's characters are joined two by two, the pair
// first that comes first in the list of merges, the leftmost of equal ones, until
// no pair is in it.
type bpe struct {
	vocab        map[string]int
	chars        map[rune]int
	merges       map[[2]int32]merge
	unknown      int // -1: characters that are not in the vocabulary vanish
	fuseUnknown  bool
	ignoreMerges bool // a word of the vocabulary is taken as it is
}

type merge struct{ rank, id int32 }

// symbol is a part of a word on its way; parts are a doubly linked list in the
// order of the text.
type symbol struct {
	id, length int32 // bytes; 0: joined to the one before it
	prev, next int32 // -1: none
}

// due is a merge that may be made at a symbol.
type due struct {
	merge
	at int32
}

func (d due) before(o due) bool { return d.rank < o.rank || d.rank == o.rank && d.at < o.at }

// appendPieces takes n log n steps for a word of n characters: every merge makes
// the list shorter by one and at most two merges due.
func (b *bpe) appendPieces(out []Token, word string, s *scratch) []Token {
	if b.ignoreMerges {
		if id, ok := b.vocab[word]; ok {
			return append(out, Token{ID: id, End: len(word)})
		}
	}
	b.symbols(word, s)
	b.merge(s)
	at := 0
	for _, y := range s.symbols {
		if y.length > 0 {
			out = append(out, Token{ID: int(y.id), Start: at, End: at + int(y.length)})
			at += int(y.length)
		}
	}
	return out
}

// symbols takes a word apart into characters.
func (b *bpe) symbols(word string, s *scratch) {
	s.symbols = s.symbols[:0]
	unknown := 0 // bytes of a stretch that is not in the vocabulary
	add := func(id, length int) {
		n := int32(len(s.symbols))
		s.symbols = append(s.symbols, symbol{int32(id), int32(length), n - 1, n + 1})
	}
	flush := func() {
		if unknown > 0 {
			add(b.unknown, unknown)
			unknown = 0
		}
	}
	for _, r := range word {
		size := utf8.RuneLen(r)
		id, ok := b.chars[r]
		switch {
		case ok:
			flush()
			add(id, size)
		case b.unknown >= 0:
			if !b.fuseUnknown {
				flush()
			}
			unknown += size
		}
	}
	flush()
	if n := len(s.symbols); n > 0 {
		s.symbols[n-1].next = -1
	}
}

func (b *bpe) merge(s *scratch) {
	s.due = s.due[:0]
	consider := func(at int32) {
		if at < 0 {
			return
		}
		next := s.symbols[at].next
		if next < 0 {
			return
		}
		if m, ok := b.merges[[2]int32{s.symbols[at].id, s.symbols[next].id}]; ok {
			s.push(due{m, at})
		}
	}
	for i := range s.symbols {
		consider(int32(i))
	}
	for len(s.due) > 0 {
		d := s.pop()
		left := &s.symbols[d.at]
		if left.length == 0 || left.next < 0 {
			continue
		}
		right := &s.symbols[left.next]
		// The two may have changed since. Where they make the same token all the
		// same, the library goes on with it.
		if m, ok := b.merges[[2]int32{left.id, right.id}]; !ok || m.id != d.id {
			continue
		}
		left.id, left.length, left.next = d.id, left.length+right.length, right.next
		right.length = 0
		if left.next >= 0 {
			s.symbols[left.next].prev = d.at
		}
		consider(left.prev)
		consider(d.at)
	}
}

// scratch is memory that one call of Encode reuses from word to word.
type scratch struct {
	symbols []symbol
	due     []due // a heap
	path    []node
}

func (s *scratch) push(d due) {
	s.due = append(s.due, d)
	for i := len(s.due) - 1; i > 0; {
		up := (i - 1) / 2
		if !s.due[i].before(s.due[up]) {
			break
		}
		s.due[i], s.due[up] = s.due[up], s.due[i]
		i = up
	}
}

func (s *scratch) pop() due {
	top, last := s.due[0], len(s.due)-1
	s.due[0] = s.due[last]
	s.due = s.due[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			return top
		}
		if down+1 < last && s.due[down+1].before(s.due[down]) {
			down++
		}
		if !s.due[down].before(s.due[i]) {
			return top
		}
		s.due[i], s.due[down] = s.due[down], s.due[i]
		i = down
	}
}
