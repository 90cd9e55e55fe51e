package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/colbertdb-go/colbertdb/engine"
)

// readJSONL reads one passage a line: an object with "id" or "_id", "text",
// and optionally "title" (put before the text, as the BEIR collections expect)
// and "vectors" ([tokens][dim] numbers). "metadata" and "attributes" objects
// and every other field become attributes.
func readJSONL(l *lineReader, yield yieldFunc) bool {
	return l.each(yield, func(line []byte) bool {
		p, err := parseJSONLine(line, l.noTitle)
		if err != nil {
			return yield(Passage{}, l.problem(err))
		}
		p.Path, p.Line, p.Record = l.name, l.line, true
		return yield(p, nil)
	})
}

func parseJSONLine(line []byte, noTitle bool) (Passage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return Passage{}, jsonError(line, err)
	}
	if fields == nil {
		return Passage{}, errors.New("not a JSON object")
	}
	var p Passage
	take := func(name string) (json.RawMessage, bool) {
		v, ok := fields[name]
		delete(fields, name)
		return v, ok && string(v) != "null"
	}
	raw, ok := take("_id")
	if !ok {
		raw, ok = take("id")
	}
	if !ok {
		return Passage{}, errors.New(`no "id" or "_id"`)
	}
	var err error
	if p.ID, err = idOf(raw); err != nil {
		return Passage{}, err
	}
	var title string
	if raw, ok := take("title"); ok {
		if err := json.Unmarshal(raw, &title); err != nil {
			return Passage{}, errors.New(`"title" is not a string`)
		}
	}
	if raw, ok := take("text"); ok {
		if err := json.Unmarshal(raw, &p.Text); err != nil {
			return Passage{}, errors.New(`"text" is not a string`)
		}
	}
	if title != "" {
		p.attribute("title", title)
		if !noTitle {
			p.Text = strings.TrimSpace(title + "\n" + p.Text)
		}
	}
	if raw, ok := take("vectors"); ok {
		if p.Vectors, err = parseVectors(raw); err != nil {
			return Passage{}, err
		}
	}
	if strings.TrimSpace(p.Text) == "" && p.Vectors.Dim == 0 {
		return Passage{}, fmt.Errorf("document %q %w", p.ID, ErrEmpty)
	}
	for _, name := range []string{"metadata", "attributes"} {
		raw, ok := take(name)
		if !ok {
			continue
		}
		var object map[string]any
		if json.Unmarshal(raw, &object) != nil {
			p.attribute(name, decodeNumber(raw)) // a plain value: an attribute of that name
		}
		for k, v := range object {
			p.attribute(k, v)
		}
	}
	for k, raw := range fields {
		p.attribute(k, decodeNumber(raw))
	}
	return p, nil
}

func (p *Passage) attribute(name string, v any) {
	if p.Attributes == nil {
		p.Attributes = map[string]any{}
	}
	p.Attributes[name] = v
}

// idOf accepts a string or a number.
func idOf(raw json.RawMessage) (string, error) {
	var id string
	if json.Unmarshal(raw, &id) != nil {
		var n json.Number
		if json.Unmarshal(raw, &n) != nil {
			return "", errors.New("the id is neither a string nor a number")
		}
		id = n.String()
	}
	if id == "" {
		return "", errors.New("the id is empty")
	}
	return id, nil
}

// decodeNumber decodes a value keeping numbers as they were written.
func decodeNumber(raw json.RawMessage) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}

// parseVectors reads [tokens][dim] numbers. What they are worth (finite, of the
// collection's dimension) is the store's to say.
func parseVectors(raw json.RawMessage) (engine.Matrix, error) {
	var rows [][]float32
	if err := json.Unmarshal(raw, &rows); err != nil {
		return engine.Matrix{}, fmt.Errorf(`"vectors" is not a list of rows of float32 numbers: %w`, err)
	}
	return MatrixOf(rows)
}

// MatrixOf joins equally long rows.
func MatrixOf(rows [][]float32) (engine.Matrix, error) {
	if len(rows) == 0 || len(rows[0]) == 0 {
		return engine.Matrix{}, errors.New(`"vectors" is empty`)
	}
	m := engine.Matrix{Dim: len(rows[0]), Data: make([]float32, 0, len(rows)*len(rows[0]))}
	for i, r := range rows {
		if len(r) != m.Dim {
			return engine.Matrix{}, fmt.Errorf(`"vectors": row %d has %d numbers, the first has %d`, i+1, len(r), m.Dim)
		}
		m.Data = append(m.Data, r...)
	}
	return m, nil
}

// jsonError says where in the line the JSON goes wrong, and what stands there.
func jsonError(line []byte, err error) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return errors.New("not a JSON object")
	}
	if strings.HasPrefix(syntax.Error(), "unexpected end") {
		return errors.New("the line ends in the middle of its JSON")
	}
	at := max(syntax.Offset-1, 0)
	near := line[at:min(at+16, int64(len(line)))]
	if word := bytes.ToLower(near); bytes.HasPrefix(word, []byte("nan")) || bytes.HasPrefix(word, []byte("inf")) || bytes.HasPrefix(word, []byte("-inf")) {
		return fmt.Errorf("column %d: %s is not a number in JSON; every vector component must be finite", at+1, near[:3])
	}
	return fmt.Errorf("bad JSON at column %d near %s", at+1, strconv.Quote(string(near)))
}
