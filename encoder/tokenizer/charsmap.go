package tokenizer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"unicode/utf8"
)

// charsmap is the Precompiled normaliser: SentencePiece's table of strings and
// what replaces them. Its keys are in a double-array trie of 32-bit units
// (Yata et al., Darts-clone), its values in one text, each ended by NUL:
//
//	[4] length of the trie in bytes, little-endian
//	[…] units of the trie
//	[…] values
type charsmap struct {
	units  []uint32
	values []byte
}

func newCharsmap(b []byte) (*charsmap, error) {
	if len(b) < 8 {
		return nil, errors.New("precompiled_charsmap is too short")
	}
	size := int64(binary.LittleEndian.Uint32(b))
	b = b[4:]
	if size%4 != 0 || size < 4 || size > int64(len(b)) {
		return nil, errors.New("precompiled_charsmap is cut off")
	}
	m := &charsmap{units: make([]uint32, size/4), values: b[size:]}
	for i := range m.units {
		m.units[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	if !utf8.Valid(m.values) {
		return nil, errors.New("precompiled_charsmap holds values that are not UTF-8")
	}
	return m, nil
}

// lookup returns what replaces the shortest key that begins s; the rest of s
// goes with it.
func (m *charsmap) lookup(s []byte) (value []byte, ok bool) {
	offset := func(unit uint32) uint32 { return unit >> 10 << (unit >> 6 & 8) }
	at := offset(m.units[0])
	for _, c := range s {
		if c == 0 {
			return nil, false
		}
		at ^= uint32(c)
		if int(at) >= len(m.units) {
			return nil, false
		}
		unit := m.units[at]
		if unit&(1<<31|0xff) != uint32(c) {
			return nil, false
		}
		at ^= offset(unit)
		if unit>>8&1 == 0 {
			continue
		}
		if int(at) >= len(m.units) {
			return nil, false
		}
		start := int(m.units[at] &^ (1 << 31))
		if start > len(m.values) {
			return nil, false
		}
		value = m.values[start:]
		if end := bytes.IndexByte(value, 0); end >= 0 {
			value = value[:end]
		}
		return value, utf8.Valid(value)
	}
	return nil, false
}

// longestCluster is the length in bytes up to which a grapheme cluster is looked
// up as a whole.
const longestCluster = 5

func (*charsmap) keepsASCII() bool { return false }

// normalize replaces short grapheme clusters, and the characters of the others
// one by one.
func (m *charsmap) normalize(in []origin) []origin {
	changes := make([]change, 0, len(in))
	modified := false
	var buf [longestCluster]byte
	for start, end := 0, 0; start < len(in); start = end {
		end = clusterEnd(in, start)
		key, short := buf[:0], true
		for _, o := range in[start:end] {
			if short = len(key)+utf8.RuneLen(o.r) <= longestCluster; !short {
				break
			}
			key = utf8.AppendRune(key, o.r)
		}
		if short {
			if value, ok := m.lookup(key); ok {
				changes, modified = appendReplacement(changes, end-start, value), true
				continue
			}
		}
		for _, o := range in[start:end] {
			if value, ok := m.lookup(utf8.AppendRune(buf[:0], o.r)); ok {
				changes, modified = appendReplacement(changes, 1, value), true
			} else {
				changes = append(changes, change{o.r, 0})
			}
		}
	}
	if !modified {
		return in
	}
	return rewrite(in, changes)
}

// appendReplacement replaces so many characters by a value. Those that it has
// too few are removed after its last, or after what came before it; where nothing
// did, the library forgets them, and origins shift.
func appendReplacement(changes []change, removed int, value []byte) []change {
	first := len(changes)
	for _, r := range string(value) {
		n := 0
		if len(changes)-first >= removed {
			n = 1
		}
		changes = append(changes, change{r, n})
	}
	if missing := removed - (len(changes) - first); missing > 0 && len(changes) > 0 {
		changes[len(changes)-1].n -= missing
	}
	return changes
}

// clusterClass is what the boundaries of grapheme clusters depend on (Unicode
// Standard Annex 29).
type clusterClass uint8

const (
	other clusterClass = iota
	control
	extend     // combining, and transparent between consonants
	extendOnly // combining, not transparent
	joiner     // U+200D
	linker     // combines, and joins consonants
	spacingMark
	prepends
	hangulL
	hangulV
	hangulT
	hangulLV
	hangulLVT
	regional
	pictograph
	consonant
)

type classRange struct {
	first, last rune
	class       clusterClass
}

func clusterClassOf(r rune) clusterClass {
	if ' ' <= r && r < 0x7f {
		return other
	}
	if hangulBase <= r && r < hangulBase+leads*vowels*tails {
		if (r-hangulBase)%tails == 0 {
			return hangulLV
		}
		return hangulLVT
	}
	i, ok := slices.BinarySearchFunc(clusterClasses, r, func(c classRange, r rune) int {
		switch {
		case c.last < r:
			return -1
		case c.first > r:
			return 1
		}
		return 0
	})
	if !ok {
		return other
	}
	return clusterClasses[i].class
}

// clusterEnd returns where the grapheme cluster ends that begins at start.
func clusterEnd(in []origin, start int) int {
	before := clusterClassOf(in[start].r)
	flags := 1                                     // of regional indicators in a row
	picture, joined := before == pictograph, false // a pictograph and extends; and a joiner
	conjunct, linked := before == consonant, false // a consonant and what is transparent; and a linker among it
	for at := start + 1; at < len(in); at++ {
		after := clusterClassOf(in[at].r)
		switch {
		case in[at-1].r == '\r' && in[at].r == '\n':
		case before == control || after == control:
			return at
		case before == hangulL && (after == hangulL || after == hangulV || after == hangulLV || after == hangulLVT):
		case (before == hangulLV || before == hangulV) && (after == hangulV || after == hangulT):
		case (before == hangulLVT || before == hangulT) && after == hangulT:
		case after == extend || after == extendOnly || after == joiner || after == linker || after == spacingMark:
		case before == prepends:
		case after == consonant && conjunct && linked:
		case after == pictograph && joined && before == joiner:
		case before == regional && after == regional && flags%2 == 1:
			flags++
		default:
			return at
		}
		switch after {
		case extend, extendOnly, linker:
			joined = false
		case joiner:
			joined = picture
		default:
			picture, joined = after == pictograph, false
		}
		switch after {
		case linker:
			linked = conjunct
		case extend, joiner:
		default:
			conjunct, linked = after == consonant, false
		}
		if after != regional {
			flags = 0
		} else if before != regional {
			flags = 1
		}
		before = after
	}
	return len(in)
}
