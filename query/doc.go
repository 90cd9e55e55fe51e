// Package query runs one search over one set of sources: sealed segments and
// memory buffers alike.
//
//	probe      the query's tokens choose cells, then fine centroids
//	postings   the chosen centroids' lists are accumulated into an estimate a document
//	select     the best estimates over all sources become candidates
//	plane_a    candidates are scored on plane A
//	last tier  the best of them on the plane that decides the collection's scores
//
// Without a codebook, with Params.Exact and where a filter leaves few, every
// live document is scored on that plane instead.
//
// # Invariants
//
//   - Results are a function of the sources, the query and the parameters:
//     ties are broken by external id, bytewise, and the order of sources does
//     not matter.
//   - A search returns min(k, matching documents) hits, or an error; never a
//     silent empty answer.
//   - A Source does not change while a search reads it.
//
// Open searcher.go first; candidates.go for probing and accumulation,
// params.go for the budgets, package filter for conditions on attributes.
package query
