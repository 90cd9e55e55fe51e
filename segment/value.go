package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2"
)

// Every value of a segment ends in the crc32c of its key and what precedes:
// Pebble's block checksums cover what is on disk, this one also a value that
// was put under another key.
const sumSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendSum(key, value []byte) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
	return binary.LittleEndian.AppendUint32(value, sum)
}

// checkSum returns the value without its checksum.
func checkSum(key, value []byte) ([]byte, error) {
	body := value[:max(0, len(value)-sumSize)]
	if len(value) < sumSize || binary.LittleEndian.Uint32(value[len(body):]) != crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body) {
		return nil, corrupt(describe(key), 0, "checksum mismatch")
	}
	return body, nil
}

// describe names the place of a segment key for a person.
func describe(key []byte) string {
	head := len(segmentPrefix) + 8
	if len(key) != head+9 {
		return fmt.Sprintf("key %q", key)
	}
	return fmt.Sprintf("segment %d, column %s, chunk %d.%d", binary.BigEndian.Uint64(key[len(segmentPrefix):]),
		column(key[head]), binary.BigEndian.Uint32(key[head+1:]), binary.BigEndian.Uint32(key[head+5:]))
}

// getChunk reads and checks one value, appending it to dst.
func getChunk(db *pebble.DB, key, dst []byte) ([]byte, error) {
	val, closer, err := db.Get(key)
	if err != nil {
		if errors.Is(err, pebble.ErrNotFound) {
			return dst, corrupt(describe(key), 0, "missing")
		}
		return dst, readError(describe(key), err)
	}
	defer closer.Close()
	body, err := checkSum(key, val)
	if err != nil {
		return dst, err
	}
	return append(dst, body...), nil
}

// EncodeDocumentRef is the value of DocumentKey: the number and its checksum.
func EncodeDocumentRef(n DocNum) []byte {
	return appendSum(nil, binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

// DecodeDocumentRef reads what EncodeDocumentRef wrote.
func DecodeDocumentRef(b []byte) (DocNum, error) {
	body, err := checkSum(nil, b)
	if err != nil || len(body) != 8 {
		return 0, corrupt("document key", 0, "not a document number")
	}
	return DocNum(binary.LittleEndian.Uint64(body)), nil
}
