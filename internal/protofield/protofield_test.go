package protofield_test

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/colbertdb-go/colbertdb/internal/protofield"
)

// Every field of a message is seen, in order; a message that is cut at any byte is
// damaged, unless the cut is between fields.
func TestEach(t *testing.T) {
	var b []byte
	whole := map[int]bool{0: true}
	for i, add := range []func(){
		func() { b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), 300) },
		func() { b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), "text") },
		func() { b = protowire.AppendFixed32(protowire.AppendTag(b, 3, protowire.Fixed32Type), 7) },
		func() { b = protowire.AppendFixed64(protowire.AppendTag(b, 4, protowire.Fixed64Type), 7) },
	} {
		add()
		whole[len(b)] = true
		seen := ""
		err := protofield.Each(b, func(num protowire.Number, bytes []byte, v uint64) error {
			seen += fmt.Sprintf("%d:%s:%d ", num, bytes, v)
			return nil
		})
		if want := "1::300 2:text:0 3::0 4::0 "[:[]int{7, 16, 21, 26}[i]]; err != nil || seen != want {
			t.Errorf("%q, %v, want %q", seen, err, want)
		}
	}
	for n := range b {
		err := protofield.Each(b[:n], func(protowire.Number, []byte, uint64) error { return nil })
		if whole[n] != (err == nil) || err != nil && !errors.Is(err, protofield.ErrDamaged) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	stop := errors.New("stop")
	if err := protofield.Each(b, func(protowire.Number, []byte, uint64) error { return stop }); err != stop {
		t.Error(err)
	}
}
