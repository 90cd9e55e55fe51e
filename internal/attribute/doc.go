// Package attribute reads values out of documents' attributes, JSON objects as
// they are stored, without unmarshalling them; and says which values meet a
// test. Filters evaluate documents by it and segments build their attribute
// indexes by it, so that both agree.
//
// # What a path leads to
//
// A path is names joined by dots. a.b leads to the value of b in the object that
// is the value of a, and also to the value of a key "a.b". Arrays are passed
// through: a.b leads to the b of every object in an array a, and to every element
// of an array b. Of a key that occurs twice in an object, the last counts.
//
// # Values
//
// null, true and false, numbers as float64, strings as Unicode, compared bytewise;
// objects, which are there and equal nothing. Values of different kinds are not
// equal and have no order. A number beyond the range of float64 counts as
// infinite; integers beyond 2⁵³ are rounded, as float64 is.
//
// Open path.go for the walk, value.go for kinds and tests.
package attribute
