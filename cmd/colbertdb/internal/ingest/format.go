package ingest

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/vectorfile"
)

// Format says how bytes become passages.
type Format string

// The formats.
const (
	Auto     Format = "auto"     // by file name
	Text     Format = "text"     // one passage a file
	Markdown Format = "markdown" // one a heading
	HTML     Format = "html"     // one a heading
	Code     Format = "code"     // one a declaration
	JSONL    Format = "jsonl"    // one a line: id, title, text, vectors, attributes
	TSV      Format = "tsv"      // one a line: id<TAB>text
	BEIR     Format = "beir"     // a folder's corpus.jsonl
	GoDoc    Format = "go-doc"   // the documentation of a tree of Go packages

	// Documents with their vectors: package vectorfile.
	NPY         Format = Format(vectorfile.NPY)
	NPZ         Format = Format(vectorfile.NPZ)
	Safetensors Format = Format(vectorfile.Safetensors)
	Parquet     Format = Format(vectorfile.Parquet)
)

// Formats lists them all, for a usage message.
var Formats = []Format{Auto, Text, Markdown, HTML, Code, JSONL, TSV, BEIR, GoDoc, NPY, NPZ, Safetensors, Parquet}

// ParseFormat reads a format's name; "" is Auto.
func ParseFormat(s string) (Format, error) {
	if s == "" {
		return Auto, nil
	}
	for _, f := range Formats {
		if string(f) == s {
			return f, nil
		}
	}
	return Auto, fmt.Errorf("unknown format %q: use one of %v", s, Formats)
}

// byExtension lists what a folder's files are read as. What is not here is
// skipped in a folder: data, images, generated files.
var byExtension = func() map[string]Format {
	m := map[string]Format{}
	for form, exts := range map[Format]string{
		Text:     ".txt .text .rst .adoc .asciidoc .org .tex .log",
		Markdown: ".md .markdown .mdown .mkd .mdx",
		HTML:     ".html .htm .xhtml",
		JSONL:    ".jsonl .ndjson",
		TSV:      ".tsv",
		Code: ".go .py .pyi .js .mjs .cjs .jsx .ts .tsx .java .kt .kts .scala .c .h .cc .cpp .cxx .hpp .hh .cs .rs .rb .php .swift " +
			".lua .pl .pm .r .jl .hs .ml .mli .ex .exs .erl .clj .el .dart .zig .nim .sh .bash .zsh .ps1 .sql .proto .s .asm " +
			".vue .svelte .css .scss .tf .yaml .yml .toml .ini .cfg .cmake .gradle .bzl",
	} {
		for _, e := range strings.Fields(exts) {
			m[e] = form
		}
	}
	return m
}()

var byName = map[string]Format{
	"readme": Text, "license": Text, "licence": Text, "copying": Text, "authors": Text, "notice": Text,
	"changelog": Text, "contributing": Text, "news": Text, "todo": Text, "install": Text,
	"makefile": Code, "dockerfile": Code, "go.mod": Code, "cmakelists.txt": Code, "rakefile": Code, "gemfile": Code,
}

// FormatOf is the format that a file's name stands for, Auto where none.
func FormatOf(name string) Format {
	base := strings.ToLower(path.Base(name))
	if f, ok := byName[base]; ok {
		return f
	}
	if strings.HasSuffix(base, ".min.js") || strings.HasSuffix(base, ".min.css") {
		return Auto
	}
	if f, ok := byExtension[path.Ext(base)]; ok {
		return f
	}
	return Auto
}

// hasVectors reports whether a format is read by package vectorfile.
func (f Format) hasVectors() bool {
	return slices.Contains([]Format{NPY, NPZ, Safetensors, Parquet}, f)
}

// lines returns the reader of a line-based format, nil for the others.
func (f Format) lines() func(*lineReader, yieldFunc) bool {
	switch f {
	case JSONL:
		return readJSONL
	case TSV:
		return readTSV
	}
	return nil
}

// whole returns the reader of a format that is read a file at a time.
func (f Format) whole() func(name, text string) []Passage {
	switch f {
	case Markdown:
		return readMarkdown
	case HTML:
		return readHTML
	case Code:
		return readCode
	}
	return readText
}
