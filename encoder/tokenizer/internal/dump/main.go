// Command dump tokenizes the JSON strings on its standard input, one a line,
// and writes [[id, start, end], …] for each: the Go side of
// scripts/tokenizer_diff.py.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/colbertdb-go/colbertdb/encoder/tokenizer"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	tok, err := tokenizer.Load(b)
	if err != nil {
		return err
	}
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	out := bufio.NewWriter(os.Stdout)
	for in.More() {
		var text string
		if err := in.Decode(&text); err != nil {
			return err
		}
		rows := [][3]int{}
		for _, t := range tok.Encode(text) {
			rows = append(rows, [3]int{t.ID, t.Start, t.End})
		}
		line, err := json.Marshal(rows)
		if err != nil {
			return err
		}
		out.Write(line)
		out.WriteByte('\n')
	}
	return out.Flush()
}
