package plaid

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"

	"github.com/colbertdb-go/colbertdb/codec"
)

// Form is the program that an index folder belongs to.
type Form string

// The forms.
const (
	Stanford       Form = "stanford"        // ColBERT: PyTorch files
	PyLateStanford Form = "pylate-stanford" // the same, with PyLate's ids
	FastPlaid      Form = "fast-plaid"      // NumPy files
	PyLate         Form = "pylate"          // the same in a folder of their own, with PyLate's ids
	NextPlaid      Form = "next-plaid"      // NumPy files
)

// Forms lists them all.
var Forms = []Form{Stanford, PyLateStanford, FastPlaid, PyLate, NextPlaid}

// ParseForm reads a form's name.
func ParseForm(s string) (Form, error) {
	for _, f := range Forms {
		if string(f) == s {
			return f, nil
		}
	}
	return "", fmt.Errorf("unknown form %q: use one of %v", s, Forms)
}

// torch reports whether the form's files are PyTorch's.
func (f Form) torch() bool { return f == Stanford || f == PyLateStanford }

// ids reports whether the form has external ids.
func (f Form) ids() bool { return f == PyLateStanford || f == PyLate }

// ErrFormat is wrapped by every error about what a folder holds.
var ErrFormat = errors.New("colbertdb: not a readable PLAID index")

// Index is an index folder whose documents have not been read yet.
type Index struct {
	Form      Form
	Codebook  *codec.PLAID // initialised
	Documents int
	Tokens    int64
	Empty     int             // of Documents, without a token vector
	Metadata  json.RawMessage // metadata.json, as it is

	dir      string // of the index files
	chunks   []chunk
	ids      []string // by document number, nil where the folder has none
	mergedAt []int64  // first rows of chunks in merged_*.npy, nil: chunks have files
}

// chunk is a part of the documents, in files of their own.
type chunk struct {
	documents int
	tokens    int64
}

// Document is one document of an index.
type Document struct {
	Number int // its place, which is its id to programs that give none
	// ID is the external id: the number in decimal where the folder has none, empty
	// where only this document, removed and without tokens, has none.
	ID     string
	Tokens int
	// Records are the tokens as codec.PLAID takes them, [Tokens][RecordBytes]:
	// centroid as uint32, then the residual bits as they were stored. They are
	// valid until the next document.
	Records []byte
}

// Limits of what is read whole.
const (
	maxJSON = 256 << 20
	maxIDs  = 4 << 30
)

// metadata is what is used of metadata.json, in all forms.
type metadata struct {
	NumChunks    *int   `json:"num_chunks"`
	Bits         int    `json:"nbits"`
	Dim          int    `json:"embedding_dim"`
	Binary       bool   `json:"binary"`
	NextPlaid    *bool  `json:"next_plaid_compatible"`
	NumDocuments int64  `json:"num_documents"`
	NumTokens    *int64 `json:"num_embeddings"`
	Config       struct {
		Dim  int `json:"dim"`
		Bits int `json:"nbits"`
	} `json:"config"`
}

// Open reads what an index folder says of itself, the codebook and the lengths of
// the documents, and checks that they fit each other and the sizes of the other
// files. The folder must not change while the index is in use.
func Open(dir string) (*Index, error) {
	x, err := open(dir)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w: %s: %w", ErrFormat, dir, err)
	}
	return x, err
}

func open(dir string) (*Index, error) {
	x := &Index{dir: dir}
	outer := dir
	if _, err := os.Stat(filepath.Join(dir, "metadata.json")); errors.Is(err, fs.ErrNotExist) {
		x.dir = filepath.Join(dir, "fast_plaid_index") // PyLate's
		if _, err := os.Stat(filepath.Join(x.dir, "metadata.json")); err != nil {
			return nil, errors.New("there is no metadata.json; the index's own folder is wanted")
		}
	}
	var m metadata
	raw, err := x.readJSON("metadata.json", &m)
	if err != nil {
		return nil, err
	}
	x.Metadata = raw
	if x.Form, err = x.detect(&m); err != nil {
		return nil, err
	}
	ids, err := readIDs(outer)
	if err != nil {
		return nil, err
	}
	if ids != nil {
		switch x.Form {
		case Stanford:
			x.Form = PyLateStanford
		case FastPlaid:
			x.Form = PyLate
		}
	}
	if err := x.readCodebook(&m); err != nil {
		return nil, err
	}
	if err := x.readChunks(&m); err != nil {
		return nil, err
	}
	if ids != nil {
		x.ids, err = byNumber(ids, x.Documents)
	}
	return x, err
}

// detect tells the forms apart by their files.
func (x *Index) detect(m *metadata) (Form, error) {
	if m.Binary {
		return "", errors.New("it stores signs (binary), which has no centroids and residuals to import")
	}
	if _, err := os.Stat(filepath.Join(x.dir, "centroids.pt")); err == nil {
		return Stanford, nil
	}
	if _, err := os.Stat(filepath.Join(x.dir, "centroids.npy")); err != nil {
		return "", errors.New("there is neither centroids.pt nor centroids.npy")
	}
	if m.NextPlaid != nil {
		return NextPlaid, nil
	}
	return FastPlaid, nil
}

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s: more than %d bytes", filepath.Base(path), limit)
	}
	return b, err
}

func (x *Index) readJSON(name string, v any) (json.RawMessage, error) {
	b, err := readFile(filepath.Join(x.dir, name), maxJSON)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// tensors opens a file of the index by its name without extension and passes on
// its tensors.
func (x *Index) tensors(name string, want int, f func([]*array) error) error {
	if x.Form.torch() {
		name += ".pt"
	} else {
		name += ".npy"
	}
	file, err := os.Open(filepath.Join(x.dir, name))
	if err != nil {
		return err
	}
	defer file.Close()
	var all []*array
	if x.Form.torch() {
		all, err = openTorch(file, name)
	} else {
		var a *array
		a, err = openNPY(file, name)
		all = []*array{a}
	}
	if err != nil {
		return err
	}
	if len(all) != want {
		return fmt.Errorf("%s: %d tensors, want %d", name, len(all), want)
	}
	return f(all)
}

// readFloats reads one whole tensor of floats.
func (x *Index) readFloats(name string, limit int64) (out codec.Floats, shape []int64, err error) {
	err = x.tensors(name, 1, func(a []*array) (err error) {
		shape = a[0].shape
		out, err = a[0].floats(limit)
		return err
	})
	return out, shape, err
}

func (x *Index) readCodebook(m *metadata) (err error) {
	p := &codec.PLAID{Bits: m.Bits}
	if x.Form.torch() {
		p.Bits = m.Config.Bits
	}
	var shape []int64
	if p.Centroids, shape, err = x.readFloats("centroids", codec.MaxPLAIDCentroids*codec.MaxDim); err != nil {
		return err
	}
	if len(shape) != 2 || shape[1] < 1 || shape[1] > codec.MaxDim {
		return fmt.Errorf("the centroids have shape %v, want centroids and up to %d dimensions", shape, codec.MaxDim)
	}
	p.Dim = int(shape[1])
	for _, said := range []int{m.Dim, m.Config.Dim} {
		if said != 0 && said != p.Dim {
			return fmt.Errorf("the centroids have %d dimensions, metadata.json says %d", p.Dim, said)
		}
	}
	if p.Average, _, err = x.readFloats("avg_residual", codec.MaxDim); err != nil {
		return err
	}
	if x.Form.torch() {
		err = x.tensors("buckets", 2, func(a []*array) (err error) {
			if p.Cutoffs, err = a[0].floats(256); err == nil {
				p.Weights, err = a[1].floats(256)
			}
			return err
		})
	} else {
		if p.Cutoffs, _, err = x.readFloats("bucket_cutoffs", 256); err == nil {
			p.Weights, _, err = x.readFloats("bucket_weights", 256)
		}
		if err == nil {
			p.Threshold, _, err = x.readFloats("cluster_threshold", 1)
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		}
	}
	if err != nil {
		return err
	}
	x.Codebook = p
	return p.Init()
}

// readChunks reads the lengths of the documents, chunk by chunk.
func (x *Index) readChunks(m *metadata) error {
	if m.NumChunks == nil || *m.NumChunks < 0 || *m.NumChunks > 1<<24 {
		return errors.New("metadata.json does not say the number of chunks (num_chunks)")
	}
	at := int64(0)
	for i := range *m.NumChunks {
		lens, err := x.docLens(i)
		if err != nil {
			return err
		}
		c := chunk{documents: len(lens)}
		for _, n := range lens {
			c.tokens += n
			if n == 0 {
				x.Empty++
			}
		}
		if !x.Form.torch() && x.mergedAt == nil {
			// fast-plaid moves the rows of chunks into one file as it loads an index.
			if _, err := os.Stat(filepath.Join(x.dir, fmt.Sprintf("%d.codes.npy", i))); errors.Is(err, fs.ErrNotExist) && i == 0 && c.tokens > 0 {
				x.mergedAt = []int64{}
			}
		}
		if x.mergedAt != nil {
			x.mergedAt = append(x.mergedAt, at)
		}
		at += c.tokens
		x.chunks = append(x.chunks, c)
		x.Documents += c.documents
		x.Tokens += c.tokens
		if err := x.openChunk(i, func(_, _ *array) error { return nil }); err != nil {
			return err
		}
	}
	if m.NumTokens != nil && *m.NumTokens != x.Tokens {
		return fmt.Errorf("the documents have %d token vectors, metadata.json says %d", x.Tokens, *m.NumTokens)
	}
	if m.NumDocuments != 0 && m.NumDocuments != int64(x.Documents) {
		return fmt.Errorf("there are %d documents, metadata.json says %d", x.Documents, m.NumDocuments)
	}
	return nil
}

// docLens returns the numbers of tokens of a chunk's documents.
func (x *Index) docLens(i int) ([]int64, error) {
	name := fmt.Sprintf("doclens.%d.json", i)
	var lens []int64
	if _, err := x.readJSON(name, &lens); err != nil {
		return nil, err
	}
	for d, n := range lens {
		if n < 0 || n > 1<<31-1 {
			return nil, fmt.Errorf("%s: document %d has %d token vectors", name, d, n)
		}
	}
	return lens, nil
}

// openChunk passes on the codes and the residuals of a chunk, whose sizes fit.
func (x *Index) openChunk(i int, f func(codes, residuals *array) error) error {
	c := x.chunks[i]
	names := [2]string{fmt.Sprintf("%d.codes", i), fmt.Sprintf("%d.residuals", i)}
	if x.mergedAt != nil {
		names = [2]string{"merged_codes", "merged_residuals"}
	}
	part := func(a *array) (*array, error) {
		if x.mergedAt != nil {
			return a.slice(x.mergedAt[i], c.tokens)
		}
		if a.rows() != c.tokens {
			return nil, fmt.Errorf("%s: %d rows for the %d token vectors of doclens.%d.json", a.name, a.rows(), c.tokens, i)
		}
		return a, nil
	}
	return x.tensors(names[0], 1, func(a []*array) error {
		codes, err := part(a[0])
		if err != nil {
			return err
		}
		if len(codes.shape) != 1 || codes.dtype.kind == 'f' {
			return fmt.Errorf("%s: want integers of one dimension, have %s of shape %v", codes.name, codes.dtype, codes.shape)
		}
		return x.tensors(names[1], 1, func(a []*array) error {
			residuals, err := part(a[0])
			if err != nil {
				return err
			}
			if width := int64(x.Codebook.ResidualBytes()); len(residuals.shape) != 2 || residuals.dtype != uint8s || residuals.shape[1] != width {
				return fmt.Errorf("%s: want %d bytes a token vector, have %s of shape %v", residuals.name, width, residuals.dtype, residuals.shape)
			}
			return f(codes, residuals)
		})
	})
}

// Each yields the documents in order, those without a token vector too.
func (x *Index) Each(ctx context.Context) iter.Seq2[Document, error] {
	return x.From(ctx, 0)
}

// From is Each from a document number on.
func (x *Index) From(ctx context.Context, first int) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		number := 0
		for i, c := range x.chunks {
			if number+c.documents <= first {
				number += c.documents
				continue
			}
			stopped := false
			err := x.eachOf(ctx, i, number, first, func(d Document) bool {
				stopped = !yield(d, nil)
				return !stopped
			})
			if stopped {
				return
			}
			if err != nil {
				if ctx.Err() == nil {
					err = fmt.Errorf("%w: %s: %w", ErrFormat, x.dir, err)
				}
				yield(Document{}, err)
				return
			}
			number += c.documents
		}
	}
}

// eachOf reads the documents of a chunk that begins with a document number.
func (x *Index) eachOf(ctx context.Context, i, number, first int, f func(Document) bool) error {
	lens, err := x.docLens(i)
	if err != nil {
		return err
	}
	if len(lens) != x.chunks[i].documents {
		return fmt.Errorf("doclens.%d.json has changed", i)
	}
	return x.openChunk(i, func(codes, residuals *array) error {
		skip := int64(0)
		for d := 0; d < len(lens) && number+d < first; d++ {
			skip += lens[d]
		}
		left := x.chunks[i].tokens - skip
		codes, err1 := codes.slice(skip, left)
		residuals, err2 := residuals.slice(skip, left)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		numbers, err := codes.integers()
		if err != nil {
			return err
		}
		bytes := bufio.NewReaderSize(residuals.data, 256<<10)
		var records []byte
		for d, n := range lens {
			if number+d < first {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if left -= n; left < 0 { // doclens has changed since it was added up
				return fmt.Errorf("doclens.%d.json has changed", i)
			}
			if n > 0 && x.id(number+d) == "" {
				return fmt.Errorf("%s: document %d has no id", idsFile, number+d)
			}
			if records, err = x.records(records[:0], int(n), numbers, bytes); err != nil {
				return fmt.Errorf("document %d: %w", number+d, err)
			}
			if !f(Document{Number: number + d, ID: x.id(number + d), Tokens: int(n), Records: records}) {
				return nil
			}
		}
		return nil
	})
}

// records reads n tokens.
func (x *Index) records(dst []byte, n int, codes *integerReader, residuals *bufio.Reader) ([]byte, error) {
	width := x.Codebook.ResidualBytes()
	for range n {
		code, err := codes.next()
		if err != nil {
			return nil, err
		}
		if code < 0 || code >= int64(x.Codebook.NumCentroids()) {
			return nil, fmt.Errorf("%s: centroid %d of %d", codes.name, code, x.Codebook.NumCentroids())
		}
		dst = binary.LittleEndian.AppendUint32(dst, uint32(code))
		at := len(dst)
		dst = append(dst, make([]byte, width)...)
		if _, err := io.ReadFull(residuals, dst[at:]); err != nil {
			return nil, fmt.Errorf("residuals: %w", noEOF(err))
		}
	}
	return dst, nil
}

func (x *Index) id(number int) string {
	if x.ids == nil {
		return strconv.Itoa(number)
	}
	return x.ids[number]
}

// idsFile is PyLate's pickle of a dictionary from document numbers to ids;
// numbersFile is its reverse.
const (
	idsFile     = "plaid_ids_to_documents_ids.pkl"
	numbersFile = "documents_ids_to_plaid_ids.pkl"
)

// readIDs reads PyLate's ids, nil where there are none.
func readIDs(dir string) (*dict, error) {
	b, err := readFile(filepath.Join(dir, idsFile), maxIDs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v, err := unpickle(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", idsFile, err)
	}
	d, ok := v.(*dict)
	if !ok {
		return nil, fmt.Errorf("%s: want a dictionary", idsFile)
	}
	return d, nil
}

// byNumber orders ids by document number; documents that were removed have none.
func byNumber(d *dict, documents int) ([]string, error) {
	ids := make([]string, documents)
	seen := make(map[string]int64, len(d.items))
	for _, pair := range d.items {
		number, ok := pair[0].(int64)
		var id string
		switch v := pair[1].(type) {
		case string:
			id = v
		case int64:
			id = strconv.FormatInt(v, 10)
		}
		if !ok || id == "" || number < 0 || number >= int64(documents) {
			return nil, fmt.Errorf("%s: document %v has the id %.40q; want the numbers 0 to %d with a string or an integer each", idsFile, pair[0], id, documents-1)
		}
		if other, twice := seen[id]; twice && other != number {
			return nil, fmt.Errorf("%s: documents %d and %d have the id %.40q; ids must differ", idsFile, other, number, id)
		}
		if ids[number] != "" && ids[number] != id {
			return nil, fmt.Errorf("%s: document %d has two ids", idsFile, number)
		}
		ids[number], seen[id] = id, number
	}
	return ids, nil
}
