// Package filter is the language of conditions on documents' attributes: its
// tree, its JSON and text forms, and its evaluation over one source of documents,
// by attribute indexes where there are any.
//
//	JSON   {"and": [{"gte": {"year": 2020}}, {"in": {"lang": ["en", "de"]}}]}
//	text   year >= 2020 and lang in ("en", "de")
//
// # Operators
//
//	eq, ne            =, !=         a string, number, true, false or null
//	in                in (…)        one of a list of them
//	lt, lte, gt, gte  <, <=, >, >=  a number, or a string bytewise
//	prefix            prefix        a string that begins so
//	exists            exists(name)  the attribute is there at all
//	and, or, not      and, or, not, ( )
//
// # What a condition means
//
// An attribute is named by its path: a.b is b in the object a, or a key "a.b";
// arrays on the way are passed through (package internal/attribute has the walk).
// A comparison holds when it holds for one of the values that the path leads to;
// so tags = "go" holds for {"tags": ["go", "db"]}, and an absent attribute meets
// none. Values of different kinds are never equal and have no order: year = "2020"
// does not hold for 2020. ne is the opposite of eq: it holds where the attribute is
// absent, and not where one element of an array is equal. null is a value:
// a = null holds where it is stored as null; not exists(a) where it is absent.
// Numbers are float64. Times are strings: written alike, such as RFC 3339 in UTC,
// they are in the order of time.
//
// An index never changes what matches, only what it costs.
//
// Open filter.go for the tree, json.go and text.go for the forms, select.go for
// the evaluation.
package filter
