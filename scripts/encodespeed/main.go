// Command encodespeed encodes texts with a model folder through ONNX Runtime as often as
// it is told to, for compare.py, which drives the same graph from Python in alternation.
//
//	encodespeed [-devices LIST] [-batch TOKENS] MODEL TEXTS.jsonl
//
// TEXTS.jsonl has an object with a text a line. The first line of the output is JSON: what
// Python must know of the model. Then, for each line of standard input, a line with the
// seconds that all the texts took and the number of their vectors.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/onnx"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "encodespeed:", err)
		os.Exit(1)
	}
}

// model is what Python must know.
type model struct {
	Graph  string   `json:"graph"`
	Marker *int     `json:"marker"` // of documents
	Before []int    `json:"before"`
	After  []int    `json:"after"`
	Pad    int      `json:"pad"`
	Length int      `json:"length"`
	Skip   []string `json:"skip"`
}

func run() (err error) {
	devices := flag.String("devices", "", "")
	batch := flag.Int("batch", 0, "")
	flag.Parse()
	if flag.NArg() != 2 {
		return errors.New("want MODEL TEXTS.jsonl")
	}
	dir := flag.Arg(0)
	texts, err := read(flag.Arg(1))
	if err != nil {
		return err
	}
	f, err := encoder.ReadFolder(os.DirFS(dir), dir, nil)
	if err != nil {
		return err
	}
	c := f.Config
	if g, err := encoder.ReadGraph(f.Graph); err != nil {
		return err
	} else if fit, err := f.Fit(g); err != nil {
		return err
	} else if c.Pooled != nil || fit.Projects {
		return errors.New("compare.py knows neither pooled vectors nor layers after the graph")
	}
	on, err := onnx.ParseDevices(*devices)
	if err != nil {
		return err
	}
	enc, err := onnx.OpenDir(dir, onnx.Options{Devices: on, Tuning: encoder.Tuning{BatchTokens: *batch}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, enc.Close()) }()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(model{f.GraphName, c.DocumentMarker, c.Before, c.After, c.PadID, c.DocumentLength, c.Skip}); err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		start := time.Now()
		docs, err := enc.EncodeDocuments(context.Background(), texts)
		if err != nil {
			return err
		}
		took, n := time.Since(start).Seconds(), 0
		for _, d := range docs {
			n += d.Vectors.Len()
		}
		fmt.Println(took, n)
	}
	return nil
}

func read(path string) (texts []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var line struct{ Text string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, err
		}
		texts = append(texts, line.Text)
	}
	return texts, lines.Err()
}
