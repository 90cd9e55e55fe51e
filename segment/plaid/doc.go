// Package plaid reads and writes the index folders of other late-interaction
// programs: Stanford ColBERT (PLAID), PyLate, fast-plaid and next-plaid.
//
// All of them store one thing in two file formats: centroids of full dimension,
// bucket weights, and for every token vector the number of its centroid and its
// residual, 1 to 8 bits a dimension; the documents in chunks, with their numbers of
// tokens as JSON. Stanford's are PyTorch files (.pt), the others' NumPy's (.npy);
// PyLate wraps either and adds the documents' ids.
//
//	x, err := plaid.Open("index/")
//	for d, err := range x.Each(ctx) { ... }
//
// # Invariants
//
//   - Opening and reading any bytes neither panics nor executes anything: a .pt
//     file's pickle goes through an unpickler that knows numbers, strings,
//     containers and tensors and nothing else (pickle.go).
//   - Memory is bounded by the codebook, the ids and a chunk's list of document
//     lengths, each of which is checked against the size of its file before it is
//     allocated. Codes and residuals are streamed.
//   - What Writer writes of what Open read is the same tensors, bit by bit, in the
//     same types and shapes.
//
// Start reading at index.go; files are the types of a folder's files, pickle.go,
// torch.go and array.go, and writer.go writes folders.
package plaid
