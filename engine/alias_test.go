package engine_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
)

// mustCreate makes a collection with n documents whose ids start with its name.
func mustCreate(t *testing.T, db *engine.Engine, name string, n int) *engine.Collection {
	t.Helper()
	col, err := db.CreateCollection(ctx, name, engine.CollectionConfig{Dim: dim})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(51, uint64(len(name))))
	for i := range n {
		d := document(r, i)
		d.ID = name + "/" + d.ID
		if _, err := col.Upsert(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	return col
}

// An alias leads where it was switched to last, also after a loss of power right
// after the switch; handles keep what they had; names are one space.
func TestAliases(t *testing.T) {
	fs := crashmem.New()
	db := mustOpen(t, fs, small())
	mustCreate(t, db, "one", 3)
	mustCreate(t, db, "two", 4)
	set := func(name, to string) {
		t.Helper()
		if err := db.SetAlias(ctx, name, to); err != nil {
			t.Fatal(err)
		}
	}
	reopen := func() {
		t.Helper()
		crashed := fs.CrashClone(vfs.CrashCloneCfg{})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		fs = crashmem.Wrap(crashed)
		db = mustOpen(t, fs, small())
	}
	leads := func(want ...engine.Alias) {
		t.Helper()
		if diff := cmp.Diff(want, db.Aliases()); diff != "" {
			t.Error(diff)
		}
		for _, a := range want {
			if col, err := db.Collection(a.Name); err != nil || col.Name() != a.Collection {
				t.Errorf("%s: %v, %v", a.Name, col, err)
			}
		}
	}
	set("live", "one")
	old, err := db.Collection("live")
	if err != nil {
		t.Fatal(err)
	}
	leads(engine.Alias{Name: "live", Collection: "one"})
	set("live", "two")
	leads(engine.Alias{Name: "live", Collection: "two", Previous: "one"})

	// The handle from before the switch reads the old collection and writes nothing.
	if info := old.Info(); info.Name != "one" || info.Documents != 3 {
		t.Errorf("%+v", info)
	}
	r := rand.New(rand.NewPCG(52, 1))
	if _, err := old.Upsert(ctx, document(r, 1)); !errors.Is(err, engine.ErrMoved) || !strings.Contains(err.Error(), `leads to collection "two" now`) {
		t.Errorf("write through a handle whose name was switched: %v", err)
	}
	if _, err := old.Delete(ctx, "x"); !errors.Is(err, engine.ErrMoved) {
		t.Errorf("delete: %v", err)
	}
	if res, err := old.Search(ctx, engine.SearchRequest{Vectors: vectors(r, 3)}); err != nil || res.Documents != 3 {
		t.Errorf("search: %+v, %v", res, err)
	}
	direct, err := db.Collection("one")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := direct.Upsert(ctx, document(r, 1)); err != nil {
		t.Errorf("write by the collection's own name: %v", err)
	}

	reopen()
	leads(engine.Alias{Name: "live", Collection: "two", Previous: "one"})
	set("live", "one") // back
	set("spare", "one")
	leads(engine.Alias{Name: "live", Collection: "one", Previous: "two"}, engine.Alias{Name: "spare", Collection: "one"})

	for name, err := range map[string]error{
		"a collection's name":    db.SetAlias(ctx, "two", "one"),
		"a bad name":             db.SetAlias(ctx, "../x", "one"),
		"to an alias":            db.SetAlias(ctx, "more", "live"),
		"drop through an alias":  db.DropCollection(ctx, "live"),
		"a collection for alias": createWith(db, "live", 8),
	} {
		if !errors.Is(err, engine.ErrInvalid) && !errors.Is(err, engine.ErrCollectionExists) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := db.SetAlias(ctx, "live", "none"); !errors.Is(err, engine.ErrCollectionNotFound) {
		t.Error(err)
	}
	if err := db.DropCollection(ctx, "one"); !errors.Is(err, engine.ErrInUse) {
		t.Error(err)
	}
	if err := db.DropCollection(ctx, "two"); err != nil { // the alias only remembers it
		t.Fatal(err)
	}
	leads(engine.Alias{Name: "live", Collection: "one"}, engine.Alias{Name: "spare", Collection: "one"})
	reopen()
	leads(engine.Alias{Name: "live", Collection: "one"}, engine.Alias{Name: "spare", Collection: "one"})
	for _, name := range []string{"live", "spare"} {
		if err := db.DropAlias(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.DropAlias(ctx, "live"); !errors.Is(err, engine.ErrCollectionNotFound) {
		t.Error(err)
	}
	reopen()
	leads()
	if _, err := db.Collection("live"); !errors.Is(err, engine.ErrCollectionNotFound) {
		t.Error(err)
	}
	if err := db.DropCollection(ctx, "one"); err != nil {
		t.Fatal(err)
	}
	mustClose(t, db)
}

func createWith(db *engine.Engine, name string, dim int) error {
	_, err := db.CreateCollection(ctx, name, engine.CollectionConfig{Dim: dim})
	return err
}
