// Package tokenizer cuts text into the pieces of a model's vocabulary, exactly as
// the Hugging Face tokenizers library does, and says which bytes of the original
// text each piece stands for.
//
// A tokenizer is read from tokenizer.json ([Load]) or from BERT's vocab.txt
// ([LoadVocab]). It works in five steps:
//
//	added tokens     are split off                             added.go
//	normalizer       rewrites the text between them            normalize.go, compose.go, charsmap.go
//	pre_tokenizer    cuts it into words                        pretokenize.go, bytelevel.go
//	model            cuts words into pieces                    wordpiece.go, bpe.go, unigram.go
//	post_processor   trims offsets; names the special tokens   postprocess.go
//
// which are those of BERT (WordPiece), of ModernBERT (byte-level BPE) and of
// XLM-RoBERTa (Unigram), and what is near to them. A component of another type,
// or a setting that is not known, is refused by name, never approximated.
//
// Invariants:
//
//   - ids and offsets are the library's: scripts/tokenizer_diff.py compares them
//     on hostile strings, and testdata has golden files. tables.go has its own
//     Unicode tables, which are of several versions;
//   - a text takes time linear in its length; a BPE word of n characters n log n.
//
// The package adds no special tokens, and it neither truncates nor pads:
// package encoder does.
//
// Open tokenizer.go first.
package tokenizer
