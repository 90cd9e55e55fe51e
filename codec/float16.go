package codec

import (
	"encoding/binary"

	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// AppendF16 appends values as little-endian IEEE float16.
func AppendF16(dst []byte, values []float32) []byte {
	for _, f := range values {
		dst = binary.LittleEndian.AppendUint16(dst, simd.ToF16(f))
	}
	return dst
}

// DecodeF16 widens len(dst) little-endian float16 values.
func DecodeF16(dst []float32, src []byte) { simd.F16ToF32(dst, src) }
