package plaid

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Python's pickles are programs for a stack machine that can call anything. This
// machine knows the opcodes that numbers, strings, tuples, lists, dictionaries and
// PyTorch's tensors need, and four functions by name, which it does not call: their
// result is a description. Everything else is refused by its name.

// What a pickle can hold, beside nil, bool, int64, float64 and string.
type (
	tuple  []any
	list   struct{ items []any }
	dict   struct{ items [][2]any }
	global string // module.name
	mark   struct{}

	// storage is a persistent id: the bytes of a tensor, in a file of their own.
	storage struct {
		kind  global // such as torch.FloatStorage
		key   string
		count int64
	}
	// tensor is a view of a storage.
	tensor struct {
		storage       storage
		offset        int64
		shape, stride []int64
	}
)

// globals are the names that a pickle may mention.
var globals = map[global]bool{
	"torch._utils._rebuild_tensor_v2": true,
	"collections.OrderedDict":         true,
	"torch.HalfStorage":               true,
	"torch.FloatStorage":              true,
	"torch.DoubleStorage":             true,
	"torch.ByteStorage":               true,
	"torch.ShortStorage":              true,
	"torch.IntStorage":                true,
	"torch.LongStorage":               true,
}

var errPickle = errors.New("malformed pickle")

// unpickle decodes one value. It allocates no more than a small multiple of the
// length of b.
func unpickle(b []byte) (any, error) {
	m := &machine{b: b, memo: map[uint32]any{}}
	v, err := m.run()
	if err != nil {
		return nil, fmt.Errorf("at byte %d: %w", len(b)-len(m.b), err)
	}
	return v, nil
}

type machine struct {
	b     []byte
	stack []any
	memo  map[uint32]any
}

func (m *machine) run() (any, error) {
	for {
		op, err := m.take(1)
		if err != nil {
			return nil, err
		}
		if op[0] == '.' { // STOP
			return m.pop()
		}
		if err := m.step(op[0]); err != nil {
			return nil, err
		}
	}
}

// take returns the next n bytes.
func (m *machine) take(n uint64) ([]byte, error) {
	if n > uint64(len(m.b)) {
		return nil, fmt.Errorf("%w: it ends too soon", errPickle)
	}
	out := m.b[:n]
	m.b = m.b[n:]
	return out, nil
}

// number reads an unsigned little-endian integer of n bytes.
func (m *machine) number(n uint64) (uint64, error) {
	raw, err := m.take(n)
	if err != nil {
		return 0, err
	}
	var full [8]byte
	copy(full[:], raw)
	return binary.LittleEndian.Uint64(full[:]), nil
}

// text reads a string after its length of n bytes.
func (m *machine) text(n uint64) (string, error) {
	size, err := m.number(n)
	if err != nil {
		return "", err
	}
	raw, err := m.take(size)
	return string(raw), err
}

// line reads up to a line feed.
func (m *machine) line() (string, error) {
	for i, c := range m.b {
		if c == '\n' {
			out := string(m.b[:i])
			m.b = m.b[i+1:]
			return out, nil
		}
	}
	return "", fmt.Errorf("%w: it ends too soon", errPickle)
}

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

func (m *machine) pop() (any, error) {
	n := len(m.stack)
	if n == 0 {
		return nil, fmt.Errorf("%w: nothing on the stack", errPickle)
	}
	v := m.stack[n-1]
	m.stack = m.stack[:n-1]
	return v, nil
}

// popN returns the last n values.
func (m *machine) popN(n int) (tuple, error) {
	if len(m.stack) < n {
		return nil, fmt.Errorf("%w: nothing on the stack", errPickle)
	}
	out := append(tuple(nil), m.stack[len(m.stack)-n:]...)
	m.stack = m.stack[:len(m.stack)-n]
	return out, nil
}

// popMark returns the values since the last mark.
func (m *machine) popMark() (tuple, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(mark); ok {
			out := append(tuple(nil), m.stack[i+1:]...)
			m.stack = m.stack[:i]
			return out, nil
		}
	}
	return nil, fmt.Errorf("%w: no mark", errPickle)
}

// step executes one opcode.
func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		v, err := m.number(1)
		if err == nil && v > 5 {
			err = fmt.Errorf("%w: protocol %d", errPickle, v)
		}
		return err
	case 0x95: // FRAME
		_, err := m.take(8)
		return err
	case '(':
		m.push(mark{})
	case 'N':
		m.push(nil)
	case 0x88:
		m.push(true)
	case 0x89:
		m.push(false)
	case '}':
		m.push(&dict{})
	case ']':
		m.push(&list{})
	case ')':
		m.push(tuple(nil))
	case 'K', 'M', 'J', 0x8a: // BININT1, BININT2, BININT, LONG1
		return m.integer(op)
	case 'G': // BINFLOAT
		raw, err := m.take(8)
		if err == nil {
			m.push(math.Float64frombits(binary.BigEndian.Uint64(raw)))
		}
		return err
	case 'X', 0x8c, 0x8d: // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8
		s, err := m.text(map[byte]uint64{'X': 4, 0x8c: 1, 0x8d: 8}[op])
		m.push(s)
		return err
	case 'q', 'r', 0x94, 'h', 'j': // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
		return m.memory(op)
	case 't', 0x85, 0x86, 0x87: // TUPLE, TUPLE1, TUPLE2, TUPLE3
		var items tuple
		var err error
		if op == 't' {
			items, err = m.popMark()
		} else {
			items, err = m.popN(int(op - 0x84))
		}
		m.push(items)
		return err
	case 'a': // APPEND
		return m.appendTo(1)
	case 'e': // APPENDS
		return m.appendTo(0)
	case 's': // SETITEM
		return m.setItems(2)
	case 'u': // SETITEMS
		return m.setItems(0)
	case 'c', 0x93: // GLOBAL, STACK_GLOBAL
		return m.global(op)
	case 'R': // REDUCE
		return m.reduce()
	case 'Q': // BINPERSID
		return m.persistent()
	case 'b', 0x81, 'i', 'o', 0x92, 'P', 0x82, 0x83, 0x84: // BUILD, NEWOBJ, INST, OBJ, NEWOBJ_EX, PERSID, EXT1 to EXT4
		return fmt.Errorf("it builds objects (opcode 0x%02x), which is refused: only tensors, numbers, strings and containers of them are read", op)
	default:
		return fmt.Errorf("%w: opcode 0x%02x is not known here", errPickle, op)
	}
	return nil
}

func (m *machine) integer(op byte) error {
	switch op {
	case 'K', 'M':
		v, err := m.number(map[byte]uint64{'K': 1, 'M': 2}[op])
		m.push(int64(v))
		return err
	case 'J':
		v, err := m.number(4)
		m.push(int64(int32(v)))
		return err
	}
	n, err := m.number(1)
	if err != nil {
		return err
	}
	if n > 8 {
		return fmt.Errorf("%w: an integer of %d bytes", errPickle, n)
	}
	v, err := m.number(n)
	if n > 0 && n < 8 && v>>(8*n-1) != 0 { // negative
		v |= math.MaxUint64 << (8 * n)
	}
	m.push(int64(v))
	return err
}

// memory stores the value on top, or fetches one.
func (m *machine) memory(op byte) error {
	at, err := uint64(len(m.memo)), error(nil)
	switch op {
	case 'q', 'h':
		at, err = m.number(1)
	case 'r', 'j':
		at, err = m.number(4)
	}
	if err != nil {
		return err
	}
	if op == 'h' || op == 'j' {
		v, ok := m.memo[uint32(at)]
		if !ok {
			return fmt.Errorf("%w: nothing in memo %d", errPickle, at)
		}
		m.push(v)
		return nil
	}
	v, err := m.pop()
	if err != nil {
		return err
	}
	m.memo[uint32(at)] = v
	m.push(v)
	return nil
}

// popOnto pops n values, 0: those from the mark on, and what they are put into.
func (m *machine) popOnto(n int) (items tuple, top any, err error) {
	if n > 0 {
		items, err = m.popN(n)
	} else {
		items, err = m.popMark()
	}
	if err == nil {
		top, err = m.pop()
	}
	return items, top, err
}

func (m *machine) appendTo(n int) error {
	items, top, err := m.popOnto(n)
	if err != nil {
		return err
	}
	l, ok := top.(*list)
	if !ok {
		return fmt.Errorf("%w: no list to append to", errPickle)
	}
	l.items = append(l.items, items...)
	m.push(l)
	return nil
}

func (m *machine) setItems(n int) error {
	items, top, err := m.popOnto(n)
	if err != nil {
		return err
	}
	d, ok := top.(*dict)
	if !ok || len(items)%2 != 0 {
		return fmt.Errorf("%w: no dictionary to put pairs into", errPickle)
	}
	for i := 0; i < len(items); i += 2 {
		d.items = append(d.items, [2]any{items[i], items[i+1]})
	}
	m.push(d)
	return nil
}

// global pushes a name that may be mentioned.
func (m *machine) global(op byte) error {
	var name global
	if op == 'c' {
		module, err := m.line()
		if err != nil {
			return err
		}
		attribute, err := m.line()
		if err != nil {
			return err
		}
		name = global(module + "." + attribute)
	} else {
		pair, err := m.popN(2)
		if err != nil {
			return err
		}
		module, ok1 := pair[0].(string)
		attribute, ok2 := pair[1].(string)
		if !ok1 || !ok2 {
			return fmt.Errorf("%w: a name that is no string", errPickle)
		}
		name = global(module + "." + attribute)
	}
	if !globals[name] {
		return fmt.Errorf("it asks for %s, which is refused: only tensors, numbers, strings and containers of them are read", strconv.Quote(string(name[:min(len(name), 100)])))
	}
	m.push(name)
	return nil
}

// reduce describes what the function on the stack would return.
func (m *machine) reduce() error {
	pair, err := m.popN(2)
	if err != nil {
		return err
	}
	args, ok := pair[1].(tuple)
	if !ok {
		return fmt.Errorf("%w: arguments that are no tuple", errPickle)
	}
	switch pair[0] {
	case global("collections.OrderedDict"):
		if len(args) != 0 {
			return fmt.Errorf("%w: OrderedDict with arguments", errPickle)
		}
		m.push(&dict{})
		return nil
	case global("torch._utils._rebuild_tensor_v2"):
		t, err := tensorOf(args)
		m.push(t)
		return err
	}
	return fmt.Errorf("%w: a call of what is no function", errPickle)
}

// tensorOf takes (storage, offset, size, stride, …).
func tensorOf(args tuple) (tensor, error) {
	bad := fmt.Errorf("%w: a tensor of unknown form", errPickle)
	if len(args) < 4 {
		return tensor{}, bad
	}
	s, ok1 := args[0].(storage)
	offset, ok2 := args[1].(int64)
	shape, ok3 := integers(args[2])
	stride, ok4 := integers(args[3])
	if !ok1 || !ok2 || !ok3 || !ok4 || offset < 0 || len(shape) != len(stride) || len(shape) > 8 {
		return tensor{}, bad
	}
	return tensor{s, offset, shape, stride}, nil
}

func integers(v any) ([]int64, bool) {
	t, ok := v.(tuple)
	out := make([]int64, len(t))
	for i, x := range t {
		n, isInt := x.(int64)
		if !isInt || n < 0 {
			return nil, false
		}
		out[i] = n
	}
	return out, ok
}

// persistent takes ('storage', type, key, device, number of elements).
func (m *machine) persistent() error {
	v, err := m.pop()
	if err != nil {
		return err
	}
	t, _ := v.(tuple)
	if len(t) != 5 || t[0] != "storage" {
		return fmt.Errorf("%w: a persistent id of unknown form", errPickle)
	}
	kind, ok1 := t[1].(global)
	key, ok2 := t[2].(string)
	count, ok3 := t[4].(int64)
	if !ok1 || !ok2 || !ok3 || count < 0 {
		return fmt.Errorf("%w: a persistent id of unknown form", errPickle)
	}
	m.push(storage{kind, key, count})
	return nil
}
