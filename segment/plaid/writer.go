package plaid

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/npy"
)

// WriterOptions configure a Writer. The zero value is ready to use.
type WriterOptions struct {
	// ChunkDocuments and ChunkTokens bound a chunk, which is in memory until it is
	// written. Default: 25,000 documents, as ColBERT has them, and 2 million tokens.
	ChunkDocuments, ChunkTokens int
	// Metadata is the metadata.json that an index of the same form came with; what
	// it says beside numbers of documents and tokens is kept. Default: none.
	Metadata json.RawMessage
}

// Writer writes an index folder. It writes beside the folder, which appears whole
// when Close returns without an error.
type Writer struct {
	form Form
	p    *codec.PLAID
	o    WriterOptions
	dir  string // to be
	tmp  string
	sub  string // of tmp, for the index's own files

	codes     []uint32
	residuals []byte
	lens      []int64
	ids       []string

	chunks, documents int
	tokens            int64
	lists             [][]byte // by centroid: its documents, as differences
	last              []uint32 // of each list, plus one
	err               error
}

// Create begins a folder, which must not exist or be empty.
func Create(dir string, form Form, p *codec.PLAID, o WriterOptions) (*Writer, error) {
	if o.ChunkDocuments <= 0 {
		o.ChunkDocuments = 25_000
	}
	if o.ChunkTokens <= 0 {
		o.ChunkTokens = 2_000_000
	}
	if _, err := ParseForm(string(form)); err != nil {
		return nil, fmt.Errorf("colbertdb: %w", err)
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("colbertdb: %s is not empty", dir)
	}
	w := &Writer{
		form: form, p: p, o: o, dir: filepath.Clean(dir), tmp: filepath.Clean(dir) + ".tmp",
		lists: make([][]byte, p.NumCentroids()), last: make([]uint32, p.NumCentroids()),
	}
	w.sub = w.tmp
	if form == PyLate {
		w.sub = filepath.Join(w.tmp, "fast_plaid_index")
	}
	err := errors.Join(os.RemoveAll(w.tmp), os.MkdirAll(w.sub, 0o755))
	return w, err
}

// Add appends a document: its tokens' records, as Document has them.
func (w *Writer) Add(id string, records []byte) error {
	if w.err != nil {
		return w.err
	}
	size := w.p.RecordBytes()
	n := len(records) / size
	if w.documents == 1<<31-1 {
		w.err = errors.New("colbertdb: an index folder has room for 2^31-1 documents")
		return w.err
	}
	if len(w.lens) > 0 && (len(w.lens) >= w.o.ChunkDocuments || len(w.codes)+n > w.o.ChunkTokens) {
		if w.err = w.flush(); w.err != nil {
			return w.err
		}
	}
	for at := 0; at < n*size; at += size {
		code := binary.LittleEndian.Uint32(records[at:])
		if int64(code) >= int64(len(w.lists)) {
			w.err = fmt.Errorf("colbertdb: document %q: centroid %d of %d", id, code, len(w.lists))
			return w.err
		}
		w.codes = append(w.codes, code)
		w.residuals = append(w.residuals, records[at+4:at+size]...)
		if doc := uint32(w.documents) + 1; w.last[code] != doc {
			w.lists[code] = binary.AppendUvarint(w.lists[code], uint64(doc-w.last[code]))
			w.last[code] = doc
		}
	}
	w.lens = append(w.lens, int64(n))
	if w.form.ids() {
		w.ids = append(w.ids, id)
	}
	w.documents++
	w.tokens += int64(n)
	return nil
}

// flush writes the chunk in hand.
func (w *Writer) flush() error {
	i, docs, tokens := w.chunks, int64(len(w.lens)), int64(len(w.codes))
	meta := map[string]int64{"num_embeddings": tokens, "embedding_offset": w.tokens - tokens}
	codeType := int64s
	if w.form.torch() {
		codeType = int32s
		meta["passage_offset"], meta["num_passages"] = int64(w.documents)-docs, docs
	} else {
		meta["num_documents"] = docs
	}
	err := errors.Join(
		w.json(fmt.Sprintf("doclens.%d.json", i), w.lens),
		w.json(fmt.Sprintf("%d.metadata.json", i), meta),
		w.tensor(fmt.Sprintf("%d.codes", i), torchTensor{codeType, []int64{tokens}, appendIntegers(nil, codeType, w.codes)}),
		w.tensor(fmt.Sprintf("%d.residuals", i), torchTensor{uint8s, []int64{tokens, int64(w.p.ResidualBytes())}, w.residuals}),
	)
	w.chunks++
	w.codes, w.residuals, w.lens = w.codes[:0], w.residuals[:0], w.lens[:0]
	return err
}

// HasIDs reports whether the form stores ids.
func (w *Writer) HasIDs() bool { return w.form.ids() }

// AddFile puts another file into the folder.
func (w *Writer) AddFile(name string, content []byte) error {
	return os.WriteFile(filepath.Join(w.tmp, name), content, 0o644)
}

func (w *Writer) json(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.sub, name), append(b, '\n'), 0o644)
}

// tensor writes a file of one tensor.
func (w *Writer) tensor(name string, t torchTensor) error {
	path := filepath.Join(w.sub, name)
	if w.form.torch() {
		return writeTorch(path+".pt", t)
	}
	rest := make([]int, 0, 2)
	for _, d := range t.shape[1:] {
		rest = append(rest, int(d))
	}
	f, err := npy.Create(path+".npy", t.dtype.kind, t.dtype.width, rest...)
	if err != nil {
		return err
	}
	_, err = f.Write(t.data)
	return errors.Join(err, f.Close())
}

func floatTensor(f codec.Floats, shape ...int64) torchTensor {
	return torchTensor{dtype{'f', int(f.Type)}, shape, f.Data}
}

// Close writes the rest and puts the folder in its place.
func (w *Writer) Close() error {
	if w.err == nil && (len(w.lens) > 0 || w.chunks == 0) {
		w.err = w.flush()
	}
	if w.err == nil {
		w.err = errors.Join(w.codebook(), w.ivf(), w.metadata(), w.pickles())
	}
	if w.err == nil {
		_ = os.Remove(w.dir) // an empty one
		w.err = os.Rename(w.tmp, w.dir)
	}
	if w.err != nil {
		return errors.Join(w.err, os.RemoveAll(w.tmp))
	}
	w.err = errors.New("colbertdb: the folder is closed")
	return nil
}

// Abort removes what was written.
func (w *Writer) Abort() error { return os.RemoveAll(w.tmp) }

func (w *Writer) codebook() error {
	p := w.p
	k, dim := int64(p.NumCentroids()), int64(p.Dim)
	average := p.Average
	mean := float32(0)
	for _, x := range average.Float32() {
		mean += x / float32(average.Len())
	}
	if w.form.torch() {
		shape := []int64(nil)
		if average.Len() != 1 {
			average = codec.Floats{Type: codec.Float32, Data: float32Bytes(mean)}
		}
		return errors.Join(
			w.tensor("centroids", floatTensor(p.Centroids, k, dim)),
			w.tensor("avg_residual", floatTensor(average, shape...)),
			writeTorch(filepath.Join(w.sub, "buckets.pt"),
				floatTensor(p.Cutoffs, int64(p.Cutoffs.Len())), floatTensor(p.Weights, int64(p.Weights.Len()))),
		)
	}
	if average.Len() != p.Dim {
		average = codec.Floats{Type: codec.Float32, Data: float32Bytes(slices.Repeat([]float32{mean}, p.Dim)...)}
	}
	threshold := p.Threshold
	if threshold.Len() == 0 { // for who updates the index: no token is farther
		threshold = codec.Floats{Type: codec.Float32, Data: float32Bytes(2)}
	}
	centroids := p.Centroids
	if w.form == NextPlaid && centroids.Type != codec.Float32 {
		centroids = codec.Floats{Type: codec.Float32, Data: float32Bytes(centroids.Float32()...)}
	}
	return errors.Join(
		w.tensor("centroids", floatTensor(centroids, k, dim)),
		w.tensor("avg_residual", floatTensor(average, dim)),
		w.tensor("bucket_cutoffs", floatTensor(p.Cutoffs, int64(p.Cutoffs.Len()))),
		w.tensor("bucket_weights", floatTensor(p.Weights, int64(p.Weights.Len()))),
		w.tensor("cluster_threshold", floatTensor(threshold, 1)),
	)
}

// ivf writes for each centroid the documents with a token there. Lists are in
// memory, about two bytes an entry, until here.
func (w *Writer) ivf() error {
	entry, length := int64s, int32s
	if w.form.torch() {
		entry, length = int32s, int64s
	}
	var all []byte
	lens := make([]int64, len(w.lists))
	longest, lastStart, n := int64(0), int64(0), int64(0)
	for c, list := range w.lists {
		lastStart = n
		for doc := uint64(0); len(list) > 0; {
			step, size := binary.Uvarint(list)
			list, doc = list[size:], doc+step
			all = appendIntegers(all, entry, []uint32{uint32(doc - 1)})
			lens[c]++
		}
		n += lens[c]
		longest = max(longest, lens[c])
	}
	if w.form.torch() {
		if lastStart+longest > n { // ColBERT reads as many from any list's start
			all = append(all, make([]byte, longest*int64(entry.width))...)
			n += longest
		}
		return writeTorch(filepath.Join(w.sub, "ivf.pid.pt"),
			torchTensor{entry, []int64{n}, all}, torchTensor{length, []int64{int64(len(lens))}, appendIntegers(nil, length, lens)})
	}
	return errors.Join(
		w.tensor("ivf", torchTensor{entry, []int64{n}, all}),
		w.tensor("ivf_lengths", torchTensor{length, []int64{int64(len(lens))}, appendIntegers(nil, length, lens)}),
	)
}

// metadata writes metadata.json and plan.json, with what the options' metadata
// says beside.
func (w *Writer) metadata() error {
	m := map[string]any{}
	if len(w.o.Metadata) > 0 {
		if err := json.Unmarshal(w.o.Metadata, &m); err != nil {
			return fmt.Errorf("colbertdb: metadata: %w", err)
		}
	}
	m["num_chunks"], m["num_partitions"], m["num_embeddings"] = w.chunks, w.p.NumCentroids(), w.tokens
	m["avg_doclen"] = float64(w.tokens) / float64(max(1, w.documents))
	plan := map[string]any{"num_chunks": w.chunks}
	if w.form.torch() {
		config, _ := m["config"].(map[string]any)
		if config == nil {
			config = map[string]any{}
		}
		config["dim"], config["nbits"] = w.p.Dim, w.p.Bits
		m["config"] = config
		plan["config"], plan["num_partitions"] = config, w.p.NumCentroids()
		plan["num_embeddings_est"], plan["avg_doclen_est"] = float64(w.tokens), m["avg_doclen"]
	} else {
		m["nbits"], m["num_documents"] = w.p.Bits, w.documents
		plan["nbits"] = w.p.Bits
		if w.form == NextPlaid {
			m["embedding_dim"], m["next_plaid_compatible"], m["binary"] = w.p.Dim, true, false
		}
	}
	return errors.Join(w.json("metadata.json", m), w.json("plan.json", plan))
}

// pickles writes PyLate's two dictionaries.
func (w *Writer) pickles() error {
	if !w.form.ids() {
		return nil
	}
	ids, numbers := []byte{0x80, 2, '}'}, []byte{0x80, 2, '}'}
	text := func(b []byte, s string) []byte {
		return append(binary.LittleEndian.AppendUint32(append(b, 'X'), uint32(len(s))), s...)
	}
	integer := func(b []byte, n int) []byte { return binary.LittleEndian.AppendUint32(append(b, 'J'), uint32(n)) }
	for n, id := range w.ids {
		ids = append(text(integer(ids, n), id), 's')
		numbers = append(integer(text(numbers, id), n), 's')
	}
	return errors.Join(
		os.WriteFile(filepath.Join(w.tmp, idsFile), append(ids, '.'), 0o644),
		os.WriteFile(filepath.Join(w.tmp, numbersFile), append(numbers, '.'), 0o644),
	)
}
