// Package tokenizer cuts text into the word pieces of BERT-family models,
// exactly as the Hugging Face tokenizers library does, and says which bytes of
// the original text each piece stands for.
//
// A tokenizer is read from tokenizer.json ([Load]) or from vocab.txt
// ([LoadVocab]). Added tokens are split off first, then the BertNormalizer, the
// BertPreTokenizer and the WordPiece model run, in time linear in the text. A
// component of another type is refused by name, never approximated.
//
// The package adds no special tokens, and it neither truncates nor pads:
// package encoder does.
//
// Open tokenizer.go first.
package tokenizer
