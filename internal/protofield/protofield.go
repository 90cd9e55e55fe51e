// Package protofield reads the fields of a protobuf message without a schema, as far
// as model files need: a few nested messages of an ONNX graph among gigabytes of
// weights.
package protofield

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrDamaged is returned for bytes that are no message.
var ErrDamaged = errors.New("the file is cut short or damaged")

// Each calls f with each length-delimited field and each varint of a message; bytes
// alias b, and are nil for other types of fields. An error of f ends it.
func Each(b []byte, f func(num protowire.Number, bytes []byte, varint uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return ErrDamaged
		}
		b = b[n:]
		var bytes []byte
		var varint uint64
		switch typ {
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			varint, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return ErrDamaged
		}
		b = b[n:]
		if err := f(num, bytes, varint); err != nil {
			return err
		}
	}
	return nil
}
