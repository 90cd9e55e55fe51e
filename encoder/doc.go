// Package encoder turns text into token vectors, one for each token, the way
// late-interaction models of the ColBERT family do.
//
// [Encoder] is what the engine and the command line know. [ColBERT] implements
// it: it puts the markers, masks and special tokens around a text's tokens,
// runs a [Session] over length-bucketed batches, drops what the model's skip
// list names and normalises the rest. [ReadFolder] reads a model folder in any of
// three forms, [Inspect] says what it understood, [Overrides] change it.
//
// Invariants:
//
//   - every vector that leaves the package has unit length;
//   - a document's vectors and spans correspond one to one, and
//     DocumentSpans(text) equals the spans that EncodeDocuments gives;
//   - every range that Windows returns fits the model's document length;
//   - what a text is encoded to does not depend on the other texts of the call,
//     beyond the rounding of a graph that treats padded batches differently;
//   - parameters that contradict one another are an error when a model is
//     opened, never a guess.
//
// The package knows no inference runtime: package encoder/onnx has one for any
// model, package encoder/bert one in Go for the small model of package
// encoder/bundled, package encoder/fake an encoder for tests, and package
// encoder/tokenizer the tokenizer. It does not train or convert models.
//
// Open encoder.go first, then colbert.go.
package encoder
