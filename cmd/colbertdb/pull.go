package main

import (
	"cmp"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/hub"
)

type modelPullCmd struct {
	Name     string `arg:"" placeholder:"OWNER/NAME[@REVISION]" help:"Model and branch, tag or commit. Default: main."`
	Graph    string `placeholder:"FILE" help:"Graph to fetch, such as onnx/model_fp16.onnx. Default: the first that is looked for in a folder."`
	All      bool   `help:"Fetch every file."`
	Endpoint string `env:"HF_ENDPOINT" default:"https://huggingface.co" placeholder:"URL" help:"Address of the hub."`
	Cache    string `env:"COLBERTDB_MODELS" placeholder:"DIR" help:"Folder that models are kept in. Default: colbertdb/models in the user's cache folder."`
}

// pulledModel is pull's result for scripts, and a line of list's.
type pulledModel struct {
	Name     string `json:"name"`
	Revision string `json:"revision,omitempty"`
	Commit   string `json:"commit"`
	License  string `json:"license,omitempty"`
	Folder   string `json:"folder"`
	Bytes    int64  `json:"bytes"`
	Partial  bool   `json:"partial,omitempty"`
}

// Run fetches a model and prints its folder. The token is read from HF_TOKEN.
func (c *modelPullCmd) Run(a *app) error {
	ref, err := hub.ParseRef(c.Name)
	if err != nil {
		return usageError{err}
	}
	cache, err := modelCache(c.Cache)
	if err != nil {
		return err
	}
	client := &hub.Client{
		Endpoint: c.Endpoint, Token: cmp.Or(os.Getenv("HF_TOKEN"), os.Getenv("HUGGING_FACE_HUB_TOKEN")), Cache: cache,
		HTTP: &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: time.Minute, TLSHandshakeTimeout: time.Minute}},
	}
	defer client.HTTP.CloseIdleConnections()
	remote, err := client.Look(a.ctx, ref)
	if err != nil {
		return err
	}
	graphs := encoder.GraphNames()
	if c.Graph != "" {
		graphs = []string{c.Graph}
	}
	files, err := remote.Folder(graphs)
	if err != nil {
		return err
	}
	if c.All {
		files = remote.Files
	}
	a.note("%s at %.12s, licence: %s", ref, remote.Commit, licenceNote(remote.License))
	report, end := a.bytesDone()
	dir, err := client.Pull(a.ctx, remote, files, report)
	end()
	if err != nil {
		return err
	}
	var size int64
	for _, f := range files {
		size += f.Size
	}
	if a.JSON {
		return a.printJSON(pulledModel{ref.Name, ref.Revision, remote.Commit, remote.License, dir, size, false})
	}
	a.printf("%s\n", dir)
	a.note("%d files, %s. Use it as --model %s", len(files), render.Bytes(size), c.Name)
	return nil
}

type modelListCmd struct {
	Cache string `env:"COLBERTDB_MODELS" placeholder:"DIR" help:"Folder that models are kept in. Default: colbertdb/models in the user's cache folder."`
}

// Run prints a line a model.
func (c *modelListCmd) Run(a *app) error {
	cache, err := modelCache(c.Cache)
	if err != nil {
		return err
	}
	entries, err := hub.List(cache)
	if err != nil {
		return err
	}
	if a.JSON {
		out := []pulledModel{}
		for _, e := range entries {
			out = append(out, pulledModel{e.Name, e.Revision, e.Commit, e.License, e.Dir, e.Bytes, e.Partial})
		}
		return a.printJSON(out)
	}
	for _, e := range entries {
		state := licenceNote(e.License)
		if e.Partial {
			state = "not complete; pull it again"
		}
		a.printf("%-40s %.12s  %9s  %s\n", e.Name+"@"+e.Revision, e.Commit, render.Bytes(e.Bytes), state)
	}
	if len(entries) == 0 {
		a.note("no models in %s; colbertdb model pull OWNER/NAME fetches one", cache)
	}
	return nil
}

type modelRmCmd struct {
	Names []string `arg:"" name:"name" placeholder:"OWNER/NAME[@REVISION]" help:"Models to remove; without a revision, all revisions of it."`
	Cache string   `env:"COLBERTDB_MODELS" placeholder:"DIR" help:"Folder that models are kept in. Default: colbertdb/models in the user's cache folder."`
}

// Run removes models. Collections that were made with them keep their vectors, and
// need the model again for new texts.
func (c *modelRmCmd) Run(a *app) error {
	cache, err := modelCache(c.Cache)
	if err != nil {
		return err
	}
	for _, name := range c.Names {
		if _, err := hub.ParseRef(name); err != nil {
			return usageError{err}
		}
	}
	for _, name := range slices.Compact(slices.Clone(c.Names)) {
		name, revision, _ := strings.Cut(name, "@")
		gone, err := hub.Remove(cache, name, revision)
		if err != nil {
			return err
		}
		for _, e := range gone {
			a.note("removed %s at %.12s, %s", e.Name, e.Commit, render.Bytes(e.Bytes))
		}
	}
	return nil
}
