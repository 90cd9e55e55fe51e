package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/alecthomas/kong"
)

// config is the file of --config: values of flags by their names.
type config map[string]any

// readConfig is kong's loader.
func readConfig(r io.Reader) (kong.Resolver, error) {
	c := config{}
	d := json.NewDecoder(r)
	d.UseNumber()
	if err := d.Decode(&c); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("something follows the JSON object")
	}
	return c, nil
}

// Validate refuses names that are no flags of the verb.
func (c config) Validate(app *kong.Application) error {
	known := map[string]bool{}
	for _, node := range app.Leaves(false) {
		if node.Name != "serve" {
			continue
		}
		for _, group := range node.AllFlags(false) {
			for _, f := range group {
				known[f.Name] = true
			}
		}
	}
	for name := range c {
		if !known[name] {
			return fmt.Errorf("the file of --config: %q is no flag of serve", name)
		}
	}
	return nil
}

// Resolve gives a flag its value, unless the environment does.
func (c config) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if slices.ContainsFunc(flag.Envs, func(name string) bool { _, set := os.LookupEnv(name); return set }) {
		return nil, nil
	}
	switch v := c[flag.Name].(type) {
	case nil:
		return nil, nil
	case json.Number:
		return v.String(), nil
	default:
		return v, nil
	}
}
