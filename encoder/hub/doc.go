// Package hub fetches model folders from a server that speaks the protocol of the
// Hugging Face hub, and keeps them in a cache folder:
//
//	CACHE/owner/name/COMMIT/…             a complete folder, with its manifest
//	CACHE/owner/name/COMMIT.partial/…     one that is being fetched
//
// Invariants:
//
//   - a folder appears under its name when all of its files are there and have
//     the sizes and checksums that the hub says (SHA-256 for large files, git's
//     SHA-1 for the others), never before;
//   - what was fetched of a file is kept when a pull fails or is stopped, and the
//     next one goes on from there;
//   - a name that a hub sends never leads out of the cache folder.
//
// Open pull.go first; cache.go lists, finds and removes.
package hub
