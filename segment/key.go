package segment

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// ID names a segment of a store; ids are never used twice.
type ID uint64

// DocNum numbers a document of a collection, in the order of the log.
type DocNum uint64

// Every key of a store. Numbers are big-endian, so that keys sort by them.
//
//	m/                                     manifest
//	c/ <collection u32>                    collection record
//	c/ <collection u32> b <id u32>         codebook
//	c/ <collection u32> r <id u32>         routing
//	c/ <collection u32> x                  progress of the reindex that fills it
//	a/ <name>                              alias
//	i/ <collection u32> <key hash 16 B>    write with an idempotency key
//	k/ <collection u32> <external id>      document number
//	d/ <segment u64> <version u64>         delete set
//	s/ <segment u64> <column> <ordinal u32> <token u32>   segment data
//	s/ <segment u64> P <routing u32> <chunk u32>          its postings, a version
//	s/ <segment u64> I <index u32> <chunk u32>            an index of attributes or terms
//	z/                                     nothing that lasts: ScratchTables
const (
	manifestPrefix   = "m/"
	aliasPrefix      = "a/"
	collectionPrefix = "c/"
	writePrefix      = "i/"
	documentPrefix   = "k/"
	deletesPrefix    = "d/"
	segmentPrefix    = "s/"
	scratchPrefix    = "z/"
)

// KeyRange is a range of keys, the end excluded.
type KeyRange struct{ Start, End []byte }

// ManifestKey is the key of the manifest.
func ManifestKey() []byte { return []byte(manifestPrefix) }

// CollectionKeys is the range of everything that CollectionKey and its
// relatives return.
func CollectionKeys() KeyRange { return prefixRange([]byte(collectionPrefix)) }

// CollectionKey is the key of a collection's record.
func CollectionKey(collection uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte(collectionPrefix), collection)
}

// IsCollectionKey tells records from the codebooks between them.
func IsCollectionKey(key []byte) bool {
	return len(key) == len(collectionPrefix)+4 && bytes.HasPrefix(key, []byte(collectionPrefix))
}

// CodebookKey is the key of a codebook.
func CodebookKey(collection, id uint32) []byte {
	return binary.BigEndian.AppendUint32(append(CollectionKey(collection), 'b'), id)
}

// RoutingKey is the key of a routing.
func RoutingKey(collection, id uint32) []byte {
	return binary.BigEndian.AppendUint32(append(CollectionKey(collection), 'r'), id)
}

// ReindexKey is the key of a reindex's progress, with the collection that it fills.
func ReindexKey(collection uint32) []byte { return append(CollectionKey(collection), 'x') }

// ReindexCollection returns the collection of a ReindexKey, false for other keys.
func ReindexCollection(key []byte) (collection uint32, ok bool) {
	n := len(collectionPrefix) + 4
	if len(key) != n+1 || key[n] != 'x' {
		return 0, false
	}
	return binary.BigEndian.Uint32(key[len(collectionPrefix):]), true
}

// AliasKey is the key of an alias.
func AliasKey(name string) []byte { return append([]byte(aliasPrefix), name...) }

// AliasKeys is the range of all aliases.
func AliasKeys() KeyRange { return prefixRange([]byte(aliasPrefix)) }

// AliasName returns the alias of a key of AliasKeys.
func AliasName(key []byte) string { return string(key[len(aliasPrefix):]) }

// WriteKey is the key of what is remembered of a write with an idempotency key.
func WriteKey(collection uint32, hash [16]byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte(writePrefix), collection), hash[:]...)
}

// WriteKeys is the range of all that WriteKey returns.
func WriteKeys() KeyRange { return prefixRange([]byte(writePrefix)) }

// WriteOf reads a key of WriteKeys; false where it is none.
func WriteOf(key []byte) (collection uint32, hash [16]byte, ok bool) {
	n := len(writePrefix)
	if len(key) != n+4+len(hash) {
		return 0, hash, false
	}
	return binary.BigEndian.Uint32(key[n:]), [16]byte(key[n+4:]), true
}

// DocumentKey is the key of a document's number. The id ends the key, so that
// any bytes are allowed and keys sort as ids do.
func DocumentKey(collection uint32, id string) []byte {
	return append(documentKeys(collection), id...)
}

func documentKeys(collection uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte(documentPrefix), collection)
}

// DocumentKeys is the range of a collection's document keys.
func DocumentKeys(collection uint32) KeyRange { return prefixRange(documentKeys(collection)) }

// DocumentID returns the external id in a key of DocumentKeys.
func DocumentID(key []byte) string { return string(key[len(documentPrefix)+4:]) }

// CollectionSpans are the ranges that belong to one collection alone, apart
// from its segments.
func CollectionSpans(collection uint32) []KeyRange {
	writes := prefixRange(binary.BigEndian.AppendUint32([]byte(writePrefix), collection))
	return []KeyRange{prefixRange(CollectionKey(collection)), writes, DocumentKeys(collection)}
}

// StoreSpans are the ranges of everything but document numbers, delete sets and
// segments: what follows from nothing else in a store.
func StoreSpans() []KeyRange {
	return []KeyRange{
		{Start: []byte{0}, End: []byte(deletesPrefix)},
		{Start: prefixRange([]byte(deletesPrefix)).End, End: []byte(documentPrefix)},
		{Start: prefixRange([]byte(documentPrefix)).End, End: []byte(segmentPrefix)},
		{Start: prefixRange([]byte(segmentPrefix)).End, End: []byte{0xff}},
	}
}

// RecordSpans are the ranges of everything but document numbers, which follow from
// segments and delete sets, and segments.
func RecordSpans() []KeyRange {
	return []KeyRange{
		{Start: []byte{0}, End: []byte(documentPrefix)},
		{Start: prefixRange([]byte(documentPrefix)).End, End: []byte(segmentPrefix)},
	}
}

// IsRecord reports whether a key is in one of RecordSpans.
func IsRecord(key []byte) bool {
	for _, s := range RecordSpans() {
		if bytes.Compare(key, s.Start) >= 0 && bytes.Compare(key, s.End) < 0 {
			return true
		}
	}
	return false
}

// DeletesKey is the key of a version of a segment's delete set.
func DeletesKey(id ID, version uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte(deletesPrefix), uint64(id)), version)
}

// Span is the range of a segment's data.
func Span(id ID) KeyRange { return prefixRange(segmentKeys(id)) }

func segmentKeys(id ID) []byte {
	return binary.BigEndian.AppendUint64([]byte(segmentPrefix), uint64(id))
}

// PostingsSpan is the range of one version of a segment's postings.
func PostingsSpan(id ID, routing uint32) KeyRange {
	return prefixRange(binary.BigEndian.AppendUint32(append(segmentKeys(id), byte(colPostings)), routing))
}

// IndexSpan is the range of one of a segment's indexes.
func IndexSpan(id ID, index uint32) KeyRange {
	return prefixRange(binary.BigEndian.AppendUint32(append(segmentKeys(id), byte(colIndex)), index))
}

// column is the byte that tells a segment's columns apart; keys sort by it.
type column byte

const (
	colA        column = 'A' // plane A
	colB        column = 'B' // plane B
	colC        column = 'C' // int8 originals
	colDocs     column = 'D' // document table
	colIndex    column = 'I' // indexes of attributes and terms
	colMeta     column = 'M' // Meta
	colPostings column = 'P' // posting lists
	colRaw      column = 'R' // float16 originals
	colText     column = 'T' // text and attributes
	colCodes    column = 'c' // cells
	colPLAID    column = 'p' // centroids and residuals of an imported codebook
)

var columnNames = map[column]string{
	colA: "a", colB: "b", colC: "c", colCodes: "codes", colRaw: "raw", colPLAID: "plaid",
	colDocs: "documents", colIndex: "attributes", colMeta: "meta", colPostings: "postings", colText: "text",
}

func (c column) String() string { return columnNames[c] }

// chunkKey is the key of the chunk that starts with a token of a document.
// Columns that are not cut by documents count their chunks in ordinal; postings
// have their routing there and attribute indexes their id, and count in token.
func chunkKey(id ID, c column, ordinal, token uint32) []byte {
	key := append(segmentKeys(id), byte(c))
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(key, ordinal), token)
}

// KeySpan is the range of one key.
func KeySpan(key []byte) KeyRange {
	return KeyRange{Start: key, End: append(key[:len(key):len(key)], 0)}
}

func prefixRange(prefix []byte) KeyRange {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; ; i-- {
		if end[i]++; end[i] != 0 {
			return KeyRange{Start: prefix, End: end[:i+1]}
		}
	}
}

// ListIDs returns the ids of all segments that have data in the store.
func ListIDs(db *pebble.DB) (ids []ID, err error) {
	span := prefixRange([]byte(segmentPrefix))
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return nil, err
	}
	for ok := it.First(); ok; {
		key := it.Key()
		if len(key) < len(segmentPrefix)+8 {
			err = corrupt("segment keys", 0, "key %q is too short", key)
			break
		}
		id := ID(binary.BigEndian.Uint64(key[len(segmentPrefix):]))
		ids = append(ids, id)
		ok = it.SeekGE(Span(id).End)
	}
	if err == nil {
		if err = it.Error(); err != nil {
			err = readError("segment keys", err)
		}
	}
	if cerr := it.Close(); err == nil {
		err = cerr
	}
	return ids, err
}

// ListPostings returns the routings that a segment has postings of in the store.
func ListPostings(db *pebble.DB, id ID) (routings []uint32, err error) {
	return listVersions(db, id, colPostings)
}

// listVersions returns what a column of a segment has several of in the store.
func listVersions(db *pebble.DB, id ID, c column) (versions []uint32, err error) {
	span := prefixRange(append(segmentKeys(id), byte(c)))
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; {
		key := it.Key()
		if len(key) != len(span.Start)+8 {
			return versions, corrupt(c.String()+" keys", 0, "key %q has %d bytes", key, len(key))
		}
		version := binary.BigEndian.Uint32(key[len(span.Start):])
		versions = append(versions, version)
		ok = it.SeekGE(prefixRange(key[: len(span.Start)+4 : len(span.Start)+4]).End)
	}
	if err := it.Error(); err != nil {
		return versions, readError(c.String()+" keys", err)
	}
	return versions, nil
}
