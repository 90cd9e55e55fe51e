package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/segment"
)

// An alias is a name that leads to a collection. Names of aliases and
// collections are one space: no name is both. What a name leads to changes in
// one synced batch; handles keep the collection that they were opened with.
// docs/rfcs/0002-reindex-and-aliases.md tells why.

// Alias is a name that leads to a collection.
type Alias struct {
	Name       string
	Collection string
	Previous   string // what it led to before; "" when that is gone, or never was
}

// aliasRecord is an alias as stored, by ids of collections: a rename leaves it.
type aliasRecord struct {
	Collection uint32 `json:"collection"`
	Previous   uint32 `json:"previous,omitempty"` // 0: none
}

const aliasMagic = "CDBA"

func (r *aliasRecord) encode() []byte { return encodeJSON(aliasMagic, r) }

func decodeAlias(b []byte) (r aliasRecord, err error) {
	err = decodeJSON(aliasMagic, "alias", b, &r)
	return r, err
}

// alias is an alias in memory. A collection that was dropped is nil.
type alias struct{ target, previous *collection }

func (a *alias) record() aliasRecord {
	r := aliasRecord{Collection: a.target.id}
	if a.previous != nil {
		r.Previous = a.previous.id
	}
	return r
}

// resolve returns the collection that a name leads to, nil without one. The
// caller holds Engine.mu.
func (e *Engine) resolve(name string) *collection {
	if c := e.byName[name]; c != nil {
		return c
	}
	if a := e.aliases[name]; a != nil {
		return a.target
	}
	return nil
}

// aliasOf returns the first alias that leads to a collection, "" without one.
// The caller holds Engine.mu.
func (e *Engine) aliasOf(c *collection) string {
	var names []string
	for name, a := range e.aliases {
		if a.target == c {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return slices.Min(names)
}

// Aliases returns every alias, by name.
func (e *Engine) Aliases() []Alias {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Alias
	for name, a := range e.aliases {
		v := Alias{Name: name, Collection: a.target.title()}
		if a.previous != nil {
			v.Previous = a.previous.title()
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b Alias) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// SetAlias makes name lead to a collection: a new alias, or one that led
// elsewhere, which is remembered as Alias.Previous. The name must not be that of
// a collection, and the collection be named by its own name. It is atomic and
// durable. Handles opened by the alias go on reading what they had; their writes
// return ErrMoved.
func (e *Engine) SetAlias(ctx context.Context, name, to string) error {
	if err := validName(name); err != nil {
		return err
	}
	return e.publishing(ctx, func(context.Context) error {
		a, err := e.newAlias(name, to)
		if err != nil || a == nil {
			return err
		}
		r := a.record()
		if err := e.guard.write(func() error { return e.db.Set(segment.AliasKey(name), r.encode(), pebble.Sync) }); err != nil {
			return err
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.aliases[name] = a
		return nil
	})
}

// newAlias is the alias that SetAlias makes, nil where it is so already. The caller
// holds Engine.pub, under which alone names change.
func (e *Engine) newAlias(name, to string) (*alias, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	target := e.byName[to]
	switch {
	case e.byName[name] != nil:
		return nil, fmt.Errorf("%w: %q is a collection; an alias needs a name of its own", ErrInvalid, name)
	case target == nil && e.aliases[to] != nil:
		return nil, fmt.Errorf("%w: %q is an alias of %q; an alias leads to a collection", ErrInvalid, to, e.aliases[to].target.title())
	case target == nil:
		return nil, fmt.Errorf("%w: %q", ErrCollectionNotFound, to)
	case e.reindexes[target.id] != nil:
		return nil, fmt.Errorf("%w: %q is not complete yet; reindex makes the alias", ErrInvalid, to)
	}
	a := &alias{target: target}
	if old := e.aliases[name]; old != nil {
		if old.target == target {
			return nil, nil
		}
		a.previous = old.target
	}
	return a, nil
}

// DropAlias removes an alias; the collection stays.
func (e *Engine) DropAlias(ctx context.Context, name string) error {
	return e.publishing(ctx, func(context.Context) error {
		e.mu.Lock()
		there := e.aliases[name] != nil
		e.mu.Unlock()
		if !there {
			return fmt.Errorf("%w: no alias %q", ErrCollectionNotFound, name)
		}
		if err := e.guard.write(func() error { return e.db.Delete(segment.AliasKey(name), pebble.Sync) }); err != nil {
			return err
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.aliases, name)
		return nil
	})
}

// mayWrite reports why a write through a handle must not be made. The caller
// holds Engine.mu.
func (h *Collection) mayWrite() error {
	e := h.c.engine
	if h.reindex {
		return nil
	}
	if now := e.resolve(h.via); now != h.c {
		leads := "nowhere"
		if now != nil {
			leads = fmt.Sprintf("to collection %q", now.title())
		}
		return fmt.Errorf("%w: %q was collection %q and leads %s now; open it again", ErrMoved, h.via, h.c.title(), leads)
	}
	if e.reindexes[h.c.id] != nil {
		return fmt.Errorf("%w: collection %q is not complete; finish the reindex, or drop it", ErrInvalid, h.c.title())
	}
	return nil
}

// mayDrop reports why a collection must stay. The caller holds Engine.mu.
func (e *Engine) mayDrop(name string) error {
	if a := e.aliases[name]; a != nil {
		return fmt.Errorf("%w: %q is an alias of collection %q; drop the alias, or the collection by its own name", ErrInvalid, name, a.target.title())
	}
	c := e.byName[name]
	if c == nil {
		return nil // the caller says so
	}
	if by := e.aliasOf(c); by != "" {
		return fmt.Errorf("%w: alias %q leads to collection %q; switch or drop the alias first", ErrInUse, by, name)
	}
	if c.notes != nil {
		return fmt.Errorf("%w: collection %q is being re-encoded", ErrInUse, name)
	}
	return nil
}

// forget removes a dropped collection from what names it. The caller holds
// Engine.mu.
func (e *Engine) forget(c *collection) {
	for _, a := range e.aliases {
		if a.previous == c {
			a.previous = nil // in the store its id stays, and leads to nothing
		}
	}
	delete(e.reindexes, c.id)
}

// loadAliases reads the aliases, after the collections.
func (e *Engine) loadAliases() error {
	byID := map[uint32]*collection{}
	for _, c := range e.byName {
		byID[c.id] = c
	}
	return eachGoodKey(e.db, segment.AliasKeys(), func(key, value []byte) error {
		name := segment.AliasName(key)
		r, err := decodeAlias(value)
		if err != nil {
			return fmt.Errorf("alias %q: %w", name, err)
		}
		target := byID[r.Collection]
		if target == nil || e.byName[name] != nil {
			return &segment.CorruptionError{Where: fmt.Sprintf("alias %q", name), Err: fmt.Errorf("leads to collection %d, which is not there", r.Collection)}
		}
		e.aliases[name] = &alias{target: target, previous: byID[r.Previous]}
		return nil
	})
}

// title is the name of the collection as of now.
func (c *collection) title() string {
	if n := c.renamed.Load(); n != nil {
		return *n
	}
	return c.name
}

// freeName returns the first of base-from, base-(from+1), … that is neither a
// collection nor an alias. The caller holds Engine.mu.
func (e *Engine) freeName(base string, from int) string {
	for n := from; ; n++ {
		suffix := fmt.Sprintf("-%d", n)
		name := base[:min(len(base), maxNameBytes-len(suffix))] + suffix
		if e.byName[name] == nil && e.aliases[name] == nil {
			return name
		}
	}
}

// maxNameBytes is the length of the longest name of a collection.
const maxNameBytes = 63
