package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/engine"
)

// openAPI is the document as far as the tests look at it.
type openAPI struct {
	OpenAPI     string
	Walkthrough []string `json:"x-walkthrough"` // operations in an order in which their examples work
	Paths       map[string]map[string]*operation
	Components  struct {
		Parameters map[string]parameter
		Schemas    map[string]any
	}
}

type operation struct {
	OperationID string `json:"operationId"`
	Summary     string
	Parameters  []parameter
	RequestBody *struct {
		Content map[string]struct {
			Schema   any
			Examples map[string]struct{ Value json.RawMessage }
		}
	} `json:"requestBody"`
	Responses map[string]struct {
		Content map[string]struct{ Schema any }
	}
	method, path string
}

type parameter struct {
	Ref     string `json:"$ref"`
	Name    string
	In      string
	Example any
}

func readOpenAPI(t *testing.T, i *instance) *openAPI {
	t.Helper()
	var doc openAPI
	i.do(200, "GET", "/openapi.json", nil, &doc)
	return &doc
}

// The document has every route and no other.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	i := start(t, server.Options{})
	doc := readOpenAPI(t, i)
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("version %q", doc.OpenAPI)
	}
	var have []string
	for path, ops := range doc.Paths {
		for method, op := range ops {
			have = append(have, strings.ToUpper(method)+" "+path)
			if op.OperationID == "" || op.Summary == "" || !slices.Contains(doc.Walkthrough, op.OperationID) {
				t.Errorf("%s %s is not described, or not walked through", method, path)
			}
		}
	}
	want := slices.Clone(i.s.Patterns())
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		t.Errorf("routes of the server\n%s\nof the document\n%s", strings.Join(want, "\n"), strings.Join(have, "\n"))
	}
}

// Every example of the document works against a server, and what the server answers
// has the form that the document says, no field more and none of the required less.
func TestOpenAPIExamples(t *testing.T) {
	dir := t.TempDir()
	db, err := engine.Open(ctx, filepath.Join(dir, "db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	i := startOn(t, db, server.Options{Snapshots: filepath.Join(dir, "snapshots")})
	doc := readOpenAPI(t, i)
	byID := map[string]*operation{}
	for path, ops := range doc.Paths {
		for method, op := range ops {
			op.method, op.path = strings.ToUpper(method), path
			byID[op.OperationID] = op
		}
	}
	sent := 0
	for _, id := range doc.Walkthrough {
		op := byID[id]
		path := op.path
		sep := "?"
		for _, p := range op.Parameters {
			if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
				p = doc.Components.Parameters[name]
			}
			switch {
			case p.In == "path":
				path = strings.Replace(path, "{"+p.Name+"}", escape(model(fmt.Sprint(p.Example))), 1)
			case p.In == "query" && p.Example != nil:
				path += sep + p.Name + "=" + strings.NewReplacer(" ", "%20", "=", "%3D", ">", "%3E").Replace(fmt.Sprint(p.Example))
				sep = "&"
			}
		}
		if op.RequestBody == nil {
			sent++
			i.example(doc, op, path, "", nil)
			continue
		}
		for _, contentType := range slices.Sorted(maps.Keys(op.RequestBody.Content)) {
			content := op.RequestBody.Content[contentType]
			for _, name := range slices.Sorted(maps.Keys(content.Examples)) {
				body := []byte(model(string(content.Examples[name].Value)))
				if contentType == "application/json" {
					if err := doc.check(content.Schema, body); err != nil {
						t.Errorf("%s: the example %q is not of its own schema: %v", id, name, err)
					}
				} else {
					var text string
					if err := json.Unmarshal(body, &text); err != nil {
						t.Fatal(err)
					}
					body = []byte(text)
				}
				sent++
				i.example(doc, op, path, contentType, body)
			}
		}
	}
	if sent < 45 {
		t.Errorf("%d examples only", sent)
	}
}

// model puts the name of the server's model into an example.
func model(s string) string { return strings.ReplaceAll(s, "${model}", "fake-64") }

func (i *instance) example(doc *openAPI, op *operation, path, contentType string, body []byte) {
	i.t.Helper()
	resp, answer := i.send(op.method, path, contentType, body)
	declared, ok := op.Responses[strconv.Itoa(resp.StatusCode)]
	if !ok || resp.StatusCode >= 300 {
		i.t.Errorf("%s %s: status %d, which is none of the document: %s", op.method, path, resp.StatusCode, answer)
		return
	}
	got, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	content, ok := declared.Content[got]
	if !ok {
		if len(declared.Content) > 0 || len(answer) > 0 {
			i.t.Errorf("%s %s: Content-Type %q is none of the document", op.method, path, got)
		}
		return
	}
	switch got {
	case "application/json":
		if err := doc.check(content.Schema, answer); err != nil {
			i.t.Errorf("%s %s: the answer is not of its schema: %v\n%s", op.method, path, err, answer)
		}
	case "application/x-ndjson":
		for line := range strings.Lines(string(answer)) {
			if err := doc.check(content.Schema, []byte(line)); err != nil {
				i.t.Errorf("%s %s: a line is not of its schema: %v\n%s", op.method, path, err, line)
			}
		}
	}
}

// check reports what of a JSON value is not of a schema.
func (doc *openAPI) check(schema any, b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	return doc.valid(schema, v, "$")
}

// valid checks the part of JSON Schema that the document uses.
func (doc *openAPI) valid(schema, v any, at string) error {
	s, _ := schema.(map[string]any)
	if ref, ok := s["$ref"].(string); ok {
		target, ok := doc.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")]
		if !ok {
			return fmt.Errorf("%s: %s leads nowhere", at, ref)
		}
		return doc.valid(target, v, at)
	}
	if choices, ok := s["oneOf"].([]any); ok {
		var errs []string
		for _, c := range choices {
			err := doc.valid(c, v, at)
			if err == nil {
				return nil
			}
			errs = append(errs, err.Error())
		}
		return fmt.Errorf("%s: none of the choices: %s", at, strings.Join(errs, "; "))
	}
	if values, ok := s["enum"].([]any); ok && !slices.Contains(values, v) {
		return fmt.Errorf("%s: %v is none of %v", at, v, values)
	}
	kind, _ := s["type"].(string)
	switch v := v.(type) {
	case map[string]any:
		if kind != "object" && kind != "" {
			return fmt.Errorf("%s: an object, want %s", at, kind)
		}
		props, _ := s["properties"].(map[string]any)
		required, _ := s["required"].([]any)
		for _, name := range required {
			if _, ok := v[name.(string)]; !ok {
				return fmt.Errorf("%s: %v is missing", at, name)
			}
		}
		for name, value := range v {
			sub, ok := props[name]
			if !ok {
				if s["additionalProperties"] == false {
					return fmt.Errorf("%s: %q is not in the schema", at, name)
				}
				continue
			}
			if err := doc.valid(sub, value, at+"."+name); err != nil {
				return err
			}
		}
	case []any:
		if kind != "array" && kind != "" {
			return fmt.Errorf("%s: a list, want %s", at, kind)
		}
		for n, value := range v {
			if err := doc.valid(s["items"], value, fmt.Sprintf("%s[%d]", at, n)); err != nil {
				return err
			}
		}
	case string:
		if kind != "string" && kind != "" {
			return fmt.Errorf("%s: a string, want %s", at, kind)
		}
	case float64:
		if kind != "number" && kind != "integer" && kind != "" || kind == "integer" && v != float64(int64(v)) {
			return fmt.Errorf("%s: the number %v, want %s", at, v, kind)
		}
	case bool:
		if kind != "boolean" && kind != "" {
			return fmt.Errorf("%s: a boolean, want %s", at, kind)
		}
	case nil:
		if kind != "" && kind != "null" {
			return fmt.Errorf("%s: null, want %s", at, kind)
		}
	}
	return nil
}

// The check above finds what it should.
func TestSchemaCheckHasPower(t *testing.T) {
	i := start(t, server.Options{})
	doc := readOpenAPI(t, i)
	ref := map[string]any{"$ref": "#/components/schemas/DeleteResult"}
	if err := doc.check(ref, []byte(`{"deleted":1,"seq":2}`)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{`{"deleted":1}`, `{"deleted":1,"seq":"2"}`, `{"deleted":1,"seq":2,"more":3}`, `[]`, `{"deleted":1.5,"seq":2}`, `{"deleted":null,"seq":2}`} {
		if doc.check(ref, []byte(bad)) == nil {
			t.Errorf("%s passes", bad)
		}
	}
}
