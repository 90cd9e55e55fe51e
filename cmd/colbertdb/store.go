package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
)

// defaultDB is the store where neither --db nor COLBERTDB_DB names one.
const defaultDB = "colbertdb.db"

// errNoStore is openStore's answer where there is nothing to open.
var errNoStore = errors.New("no store")

// openStore opens the store: to write or to read. Only index creates one.
func (a *app) openStore(o engine.Options) (*engine.Engine, error) {
	dir := cmp.Or(a.DB, defaultDB)
	o.Logger = a.logger()
	o.KeepLogAge = a.KeepLogs
	db, err := engine.Open(a.ctx, dir, &o)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w at %s: name another with --db, or make one with colbertdb index", errNoStore, dir)
	}
	return db, err
}

// readStore opens the store to read a collection of it.
func (a *app) readStore() (*engine.Engine, error) {
	return a.openStore(engine.Options{ReadOnly: true, MustExist: true})
}

// modelFor loads a collection's encoder: the one that --model names, else the
// one of its record. The engine checks that --model names the same.
func (a *app) modelFor(recorded *engine.Model) (encoder.Encoder, error) {
	switch {
	case a.Model != "":
		return a.loadModel(a.Model)
	case recorded == nil:
		return nil, fmt.Errorf("%w: collection %q was made from vectors and names no model; give --model, or --vectors", engine.ErrNoEncoder, a.Collection)
	}
	enc, err := a.loadModel(recorded.Location)
	if err != nil {
		return nil, fmt.Errorf("the model of collection %q, %s from %s: %w; --model names another place", a.Collection, recorded.Name, recorded.Location, err)
	}
	return enc, nil
}

// withModel attaches a collection's model to a handle. The caller closes it.
func (a *app) withModel(db *engine.Engine, name string) (*engine.Collection, encoder.Encoder, error) {
	col, err := db.Collection(name)
	if err != nil {
		return nil, nil, err
	}
	enc, err := a.modelFor(col.Info().Model)
	if err != nil {
		return nil, nil, err
	}
	recorded := col.Info().Model
	col, err = db.Collection(name, engine.WithEncoder(enc))
	if errors.Is(err, engine.ErrModelMismatch) && a.Model == "" {
		err = otherModel(name, recorded, err)
	}
	if err != nil {
		return nil, nil, errors.Join(err, enc.Close())
	}
	return col, enc, nil
}

// closing adds the error of a Close to that of a function.
func closing(err *error, c interface{ Close() error }) { *err = errors.Join(*err, c.Close()) }
