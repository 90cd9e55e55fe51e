// Package vectorfile reads and writes documents with their token vectors in the
// forms in which other programs keep them: NumPy (.npy, .npz, or a folder of .npy),
// safetensors, Parquet, and JSON lines.
//
//	for d, err := range vectorfile.Read("vectors.safetensors") { ... }
//
// Of arrays, two layouts are known. Packed: "vectors", [tokens][dim], the documents
// one after the other, with "lengths", [documents], and perhaps "ids". Apart: an array
// [tokens][dim] for each document, under its id. A folder has docs.npy, doclens.npy
// and docids.txt, as `colbertdb bench` keeps vectors; one .npy of two dimensions is
// one document, of three dimensions documents of equal length. Arrays hold no text and
// no attributes: what has these is JSON lines or Parquet, a row a document, with the
// columns id, vectors, text, and attributes; other columns are attributes.
//
// # Invariants
//
//   - Reading any bytes does not panic, and allocates in proportion to the bytes of
//     the file, whatever it says of itself. Documents are streamed.
//   - What Writer writes, Read reads to the same ids and numbers.
//
// What the numbers are worth (finite, of the collection's dimension) is the store's to
// say. arrays.go has the two layouts; every format has a file.
package vectorfile
