package reliability

import (
	"fmt"
	"maps"
	"slices"

	"github.com/colbertdb-go/colbertdb/engine"
)

// State is the model of a store: what its collections must hold. The documents
// in it are never changed, so copies share them.
type State map[string]*CollectionState

// CollectionState is the model of one collection.
type CollectionState struct {
	Config engine.CollectionConfig
	Docs   map[string]*engine.Document
}

// Clone returns a copy.
func (s State) Clone() State {
	out := State{}
	for name, c := range s {
		out[name] = &CollectionState{Config: c.Config, Docs: maps.Clone(c.Docs)}
	}
	return out
}

// Documents is the number of documents in all collections.
func (s State) Documents() (n int) {
	for _, c := range s {
		n += len(c.Docs)
	}
	return n
}

// Names lists the collections in order.
func (s State) Names() []string { return slices.Sorted(maps.Keys(s)) }

// Apply changes the model as a successful op changes a store.
func (s State) Apply(op Op) {
	switch op.Kind {
	case Create:
		if s[op.Collection] == nil {
			s[op.Collection] = &CollectionState{Config: op.Config, Docs: map[string]*engine.Document{}}
		}
	case Drop:
		delete(s, op.Collection)
	case Upsert:
		for i := range op.Docs {
			s[op.Collection].Docs[op.Docs[i].ID] = &op.Docs[i]
		}
	case Delete:
		for _, id := range op.IDs {
			delete(s[op.Collection].Docs, id)
		}
	}
}

// After returns the state that an op leads to.
func (s State) After(op Op) State {
	out := s.Clone()
	out.Apply(op)
	return out
}

// diff tells how a collection's documents differ from the model, "" where they
// do not. Texts are unique to each version of a document.
func (c *CollectionState) diff(got map[string]*engine.Document) string {
	for id, want := range c.Docs {
		d := got[id]
		switch {
		case d == nil:
			return fmt.Sprintf("document %q is missing", id)
		case d.Text != want.Text:
			return fmt.Sprintf("document %q has text %.60q, want %.60q", id, d.Text, want.Text)
		case string(d.Attributes) != string(want.Attributes):
			return fmt.Sprintf("document %q has attributes %s, want %s", id, d.Attributes, want.Attributes)
		}
	}
	for id, d := range got {
		if c.Docs[id] == nil {
			return fmt.Sprintf("document %q (%.60q) should not be there", id, d.Text)
		}
	}
	return ""
}
