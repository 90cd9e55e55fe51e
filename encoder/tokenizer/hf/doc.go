// Package hf cuts text with the Hugging Face library, in the place of package tokenizer's
// own code: for the same ids and offsets. It is there in builds with the tag
// hf_tokenizers, which link a static library that `make tokenizers` builds of the Rust
// source in the module github.com/daulet/tokenizers; other builds have an error that says
// so.
//
//	make tokenizers
//	CGO_LDFLAGS=-L$PWD/.cache/tokenizers go build -tags hf_tokenizers ./cmd/colbertdb
package hf
