package vectorfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"github.com/colbertdb-go/colbertdb/engine"
)

// parquetRow is a document as it is written.
type parquetRow struct {
	ID         string      `parquet:"id"`
	Text       *string     `parquet:"text,optional"`
	Attributes *string     `parquet:"attributes,optional"`
	Vectors    [][]float32 `parquet:"vectors,list"`
}

type parquetWriter struct {
	f *os.File
	w *parquet.GenericWriter[parquetRow]
	n int64 // numbers in the row group in hand
}

// groupNumbers is how many numbers a row group has: 64 MB.
const groupNumbers = 16 << 20

func createParquet(path string) (*parquetWriter, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &parquetWriter{f: f, w: parquet.NewGenericWriter[parquetRow](f, parquet.Compression(&parquet.Zstd))}, nil
}

func (w *parquetWriter) Add(d Document) error {
	row := parquetRow{ID: d.ID}
	if !utf8.ValidString(d.ID) {
		return fmt.Errorf("the id %q is not UTF-8, which a Parquet string must be", d.ID)
	}
	if d.Text != "" {
		row.Text = &d.Text
	}
	if len(d.Attributes) > 0 {
		a := string(d.Attributes)
		row.Attributes = &a
	}
	for i := range d.Vectors.Len() {
		row.Vectors = append(row.Vectors, d.Vectors.Row(i))
	}
	if _, err := w.w.Write([]parquetRow{row}); err != nil {
		return err
	}
	if w.n += int64(len(d.Vectors.Data)); w.n >= groupNumbers {
		w.n = 0
		return w.w.Flush()
	}
	return nil
}

func (w *parquetWriter) Close() error { return errors.Join(w.w.Close(), w.f.Close()) }

// parquetColumns are the leaf columns that make up a document.
type parquetColumns struct {
	id, text, attributes, vectors int
	others                        map[int]string // attributes of their own, by leaf
}

// readParquet reads a file row by row.
func readParquet(path string, f func(Document) bool) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	defer func() { // of the library, by a damaged file
		if r := recover(); r != nil {
			err = fmt.Errorf("damaged: %v", r)
		}
	}()
	p, err := parquet.OpenFile(file, info.Size())
	if err != nil {
		return err
	}
	columns, err := findColumns(p.Schema())
	if err != nil {
		return err
	}
	number := 0
	for _, group := range p.RowGroups() {
		rows := group.Rows()
		stop, err := columns.each(rows, &number, f)
		if err = errors.Join(err, rows.Close()); err != nil || stop {
			return err
		}
	}
	return nil
}

// findColumns tells which columns hold what.
func findColumns(s *parquet.Schema) (*parquetColumns, error) {
	c := &parquetColumns{id: -1, text: -1, attributes: -1, vectors: -1, others: map[int]string{}}
	for _, path := range s.Columns() {
		leaf, _ := s.Lookup(path...)
		kind := leaf.Node.Type().Kind()
		switch name := path[0]; {
		case slices.Contains([]string{"vectors", "embeddings"}, name):
			if kind != parquet.Float && kind != parquet.Double {
				return nil, fmt.Errorf("column %s: want lists of lists of float or double, have %s", name, leaf.Node.Type())
			}
			if leaf.MaxRepetitionLevel != 2 {
				return nil, fmt.Errorf("column %s: want a list of vectors, each a list of numbers", name)
			}
			c.vectors = leaf.ColumnIndex
		case leaf.MaxRepetitionLevel > 0 || len(path) > 1: // what no attribute is made of
		case slices.Contains([]string{"id", "_id"}, name):
			c.id = leaf.ColumnIndex
		case name == "text":
			c.text = leaf.ColumnIndex
		case name == "attributes" || name == "metadata":
			c.attributes = leaf.ColumnIndex
		default:
			c.others[leaf.ColumnIndex] = name
		}
	}
	if c.vectors < 0 {
		return nil, errors.New("there is no column vectors (or embeddings)")
	}
	return c, nil
}

// each reads the rows of a group.
func (c *parquetColumns) each(rows parquet.Rows, number *int, f func(Document) bool) (stop bool, err error) {
	buf := make([]parquet.Row, 16)
	for {
		n, err := rows.ReadRows(buf)
		for _, row := range buf[:n] {
			d, bad := c.document(row, *number)
			if bad != nil {
				return true, fmt.Errorf("row %d: %w", *number, bad)
			}
			*number++
			if !f(d) {
				return true, nil
			}
		}
		if errors.Is(err, io.EOF) || err == nil && n == 0 {
			return false, nil
		}
		if err != nil {
			return true, err
		}
	}
}

func (c *parquetColumns) document(row parquet.Row, number int) (Document, error) {
	d := Document{ID: strconv.Itoa(number)}
	attributes := map[string]json.RawMessage{}
	width := 0 // of the vector in hand
	var err error
	row.Range(func(column int, values []parquet.Value) bool {
		if len(values) == 0 || column != c.vectors && values[0].IsNull() {
			return true
		}
		switch v := values[0]; column {
		case c.id:
			d.ID = v.String()
		case c.text:
			d.Text = v.String()
		case c.attributes:
			if json.Unmarshal(v.ByteArray(), &attributes) != nil {
				err = errors.New("attributes is no JSON object")
			}
		case c.vectors:
			err = vectorsOf(values, &d.Vectors, &width)
		default:
			if name, ok := c.others[column]; ok {
				attributes[name] = jsonOf(v)
			}
		}
		return err == nil
	})
	if err == nil && len(attributes) > 0 {
		d.Attributes, err = json.Marshal(attributes)
	}
	return d, err
}

// vectorsOf joins the numbers of one row, whose repetition levels say where a
// vector begins.
func vectorsOf(values []parquet.Value, m *engine.Matrix, width *int) error {
	for _, v := range values {
		if v.IsNull() {
			continue
		}
		if v.RepetitionLevel() < 2 && len(m.Data) > 0 {
			if m.Dim == 0 {
				m.Dim = *width
			}
			if *width != m.Dim {
				return fmt.Errorf("a vector of %d numbers, the first has %d", *width, m.Dim)
			}
			*width = 0
		}
		if v.Kind() == parquet.Double {
			m.Data = append(m.Data, float32(v.Double()))
		} else {
			m.Data = append(m.Data, v.Float())
		}
		*width++
	}
	if m.Dim == 0 {
		m.Dim = *width
	}
	if *width != m.Dim {
		return fmt.Errorf("a vector of %d numbers, the first has %d", *width, m.Dim)
	}
	return nil
}

// jsonOf is a value as an attribute.
func jsonOf(v parquet.Value) json.RawMessage {
	var x any
	switch v.Kind() {
	case parquet.Boolean:
		x = v.Boolean()
	case parquet.Int32:
		x = v.Int32()
	case parquet.Int64:
		x = v.Int64()
	case parquet.Float, parquet.Double:
		f := v.Double()
		if v.Kind() == parquet.Float {
			f = float64(v.Float())
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return json.RawMessage("null")
		}
		x = f
	default:
		x = string(v.ByteArray())
	}
	b, err := json.Marshal(x)
	if err != nil {
		return json.RawMessage("null")
	}
	return b
}
