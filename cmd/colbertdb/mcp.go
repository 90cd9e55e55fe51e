package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/mcp"
	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
)

type mcpCmd struct {
	Server      string `env:"COLBERTDB_SERVER" placeholder:"URL" help:"Use a collection of this server. Default: of the store of --db, which nobody else can open meanwhile."`
	Key         string `env:"COLBERTDB_KEY" placeholder:"KEY" help:"Key for the server."`
	Listen      string `placeholder:"ADDRESS" help:"Serve streamable HTTP at /mcp on this loopback address. Default: standard input and output."`
	AllowWrites bool   `help:"Let agents store documents. Default: they search and read."`
	About       string `placeholder:"TEXT" help:"What is in the collection, for agents to know."`
}

// Run serves agents until the client goes or the process is told to end.
func (c *mcpCmd) Run(a *app) (err error) {
	if c.Listen != "" && !server.IsLoopback(c.Listen) {
		return usagef("--listen %s: agents are served on loopback only", c.Listen)
	}
	o := mcp.Options{AllowWrites: c.AllowWrites, About: c.About, Version: version}
	if c.Server != "" {
		db, err := remote.Open(a.ctx, c.Server, &remote.Options{Key: c.Key})
		if err != nil {
			return err
		}
		if o.Collection, err = db.Collection(a.ctx, a.Collection); err != nil {
			return err
		}
	} else {
		var db *engine.Engine // err is the result's, which closing adds to
		if db, err = a.openStore(engine.Options{ReadOnly: !c.AllowWrites, MustExist: true}); err != nil {
			return err
		}
		defer closing(&err, db)
		var col *engine.Collection
		var enc encoder.Encoder
		if col, enc, err = a.withModel(db, a.Collection); err != nil {
			return err
		}
		defer closing(&err, enc)
		o.Collection = col
	}
	s := mcp.New(o)
	if c.Listen != "" {
		return serveMCP(a, s, c.Listen)
	}
	err = s.Run(a.ctx, &sdk.IOTransport{Reader: io.NopCloser(a.stdin), Writer: nopWriteCloser{a.stdout}})
	if a.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // told to end
	}
	return err
}

type nopWriteCloser struct{ io.Writer }

func (nopWriteCloser) Close() error { return nil }

// serveMCP serves agents over HTTP.
func serveMCP(a *app, s *mcp.Server, address string) error {
	l, err := new(net.ListenConfig).Listen(a.ctx, "tcp", address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", s.Handler())
	hs := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(l) }()
	a.printf("colbertdb: %s for agents on http://%s/mcp\n", cmp.Or(a.Collection, "default"), l.Addr())
	select {
	case err := <-served:
		return err
	case <-a.ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), 10*time.Second)
	defer cancel()
	err = hs.Shutdown(limit)
	if serr := <-served; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	if err != nil {
		return fmt.Errorf("colbertdb: requests were cut off: %w", err)
	}
	return nil
}
