package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/alecthomas/kong"
	"go.opentelemetry.io/otel/trace"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
)

type serveCmd struct {
	serveFlags `embed:""`
}

// serveFlags configure the server: as flags, as environment variables, or by the
// flags' names in a JSON file.
type serveFlags struct {
	Config       kong.ConfigFlag `placeholder:"FILE" help:"JSON object of these flags by their names. Flags and environment variables go before it."`
	Listen       string          `env:"COLBERTDB_LISTEN" default:"127.0.0.1:8080" placeholder:"ADDRESS" help:"Address to listen on. Without --keys on loopback only. Default: ${default}."`
	Keys         string          `env:"COLBERTDB_KEYS" placeholder:"FILE" help:"Keys of clients, made by colbertdb key; read again when it changes."`
	TLSCert      string          `name:"tls-cert" env:"COLBERTDB_TLS_CERT" placeholder:"FILE" help:"Certificate in PEM; read again when it changes."`
	TLSKey       string          `name:"tls-key" env:"COLBERTDB_TLS_KEY" placeholder:"FILE" help:"Its private key in PEM."`
	Models       []string        `env:"COLBERTDB_MODELS" placeholder:"DIR" help:"Further model folders that collections may name, loaded when they are used; --model is the default one."`
	ModelIdle    time.Duration   `env:"COLBERTDB_MODEL_IDLE" default:"15m" placeholder:"TIME" help:"Close a model that is not the default one after so long without use. Default: ${default}."`
	Snapshots    string          `env:"COLBERTDB_SNAPSHOTS" placeholder:"DIR" help:"Folder for snapshots, on the store's file system. Default: the store's name with -snapshots."`
	AuditLog     string          `env:"COLBERTDB_AUDIT_LOG" placeholder:"FILE" help:"Append a JSON line for each write, and for each request whose key was refused. Default: none."`
	RecallSample float64         `env:"COLBERTDB_RECALL_SAMPLE" default:"0.01" placeholder:"SHARE" help:"Share of searches that are made again exactly in quiet moments, to measure their recall; 0: none. Default: ${default}."`
	SlowQuery    time.Duration   `env:"COLBERTDB_SLOW_QUERY" default:"1s" placeholder:"TIME" help:"Log searches that take so long, with their stages. Default: ${default}."`
	LogFormat    string          `env:"COLBERTDB_LOG_FORMAT" enum:"text,json" default:"text" help:"text or json."`
	PprofListen  string          `env:"COLBERTDB_PPROF_LISTEN" placeholder:"ADDRESS" help:"Serve Go's profiles there, on loopback only. Default: not at all."`
	Memory       server.Bytes    `env:"COLBERTDB_MEMORY" placeholder:"SIZE" help:"Memory for what is kept of segments. Default: a quarter of the machine's."`
	Limits       server.Limits   `embed:"" prefix:"limit-" envprefix:"COLBERTDB_LIMIT_"`
}

// Run serves the store until the process is told to end, then lets the requests
// that run end.
func (c *serveCmd) Run(a *app) (err error) {
	log := a.serverLogger(c.LogFormat)
	load := func(location string) (encoder.Encoder, error) {
		enc, err := loadModel(a.ctx, location, a.modelRun)
		if err == nil {
			log.Info("model loaded", "model", enc.Info().Name, "runtime", runtimeOf(enc))
		}
		return enc, err
	}
	standard, err := load(cmp.Or(a.Model, modelBundled))
	if err != nil {
		return err
	}
	defer closing(&err, standard)
	var further []server.Model
	for _, dir := range c.Models {
		info, err := modelInfo(a.ctx, dir)
		if err != nil {
			return err
		}
		further = append(further, server.Model{Info: info, Load: func() (encoder.Encoder, error) { return load(dir) }})
	}
	audit, file, err := openAudit(c.AuditLog)
	if err != nil {
		return err
	}
	defer closing(&err, file)
	dir := cmp.Or(a.DB, defaultDB)
	db, err := engine.Open(a.ctx, dir, &engine.Options{
		Logger: log, KeepLogAge: a.KeepLogs, MemoryBudget: int64(c.Memory), EventListener: engine.LoggingEventListener(log),
	})
	if err != nil {
		return err
	}
	defer closing(&err, db)
	tracing, err := startTracing(a.ctx)
	if err != nil {
		return err
	}
	var provider trace.TracerProvider
	if tracing != nil {
		provider = tracing
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), 5*time.Second)
			defer cancel()
			if err := tracing.Shutdown(ctx); err != nil { // the collector is not there
				log.Warn("the last spans were not sent", "error", err)
			}
		}()
	}
	limits := c.Limits.WithDefaults() // as many searches as there are processors
	restore := leaveRoom()
	defer restore()
	s, err := server.New(db, server.Options{
		Limits: limits, Model: standard, Models: further, ModelIdle: c.ModelIdle, LoadModel: load, Keys: c.Keys, Certificate: c.TLSCert, PrivateKey: c.TLSKey,
		Snapshots: cmp.Or(c.Snapshots, filepath.Clean(dir)+"-snapshots"), RecallSample: c.RecallSample, Tracing: provider, SlowQuery: c.SlowQuery, Version: version, Log: log, Audit: audit,
	})
	if err != nil {
		return err
	}
	defer closing(&err, s)
	l, err := s.Listen(a.ctx, c.Listen)
	if err != nil {
		return err
	}
	stop, err := servePprof(c.PprofListen)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer stop()
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
	}
	a.printf("colbertdb: %s on %s://%s\n", dir, scheme, l.Addr())
	return s.Serve(a.ctx, l)
}

// leaveRoom gives Go's scheduler one processor more than searches and models take up:
// it looks at connections when one of its processors has nothing to run, and otherwise
// only every 10 ms, which is several times what a search takes. It returns what undoes
// that.
func leaveRoom() (restore func()) {
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(before + 1)
	return func() { runtime.GOMAXPROCS(before) }
}

// serverLogger logs what a server does to standard error.
func (a *app) serverLogger(format string) *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	switch {
	case a.Verbose:
		o.Level = slog.LevelDebug
	case a.Quiet:
		o.Level = slog.LevelWarn
	}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, o))
	}
	return slog.New(slog.NewTextHandler(a.stderr, o))
}

// openAudit opens the audit log to append, nil where there is none.
func openAudit(path string) (*slog.Logger, io.Closer, error) {
	if path == "" {
		return nil, io.NopCloser(nil), nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return slog.New(slog.NewJSONHandler(f, nil)), f, nil
}

// servePprof serves profiles on a listener of their own.
func servePprof(address string) (stop func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	if !server.IsLoopback(address) {
		return nil, usagef("--pprof-listen %s: profiles are served on loopback only", address)
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	hs := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = hs.Serve(l)
	}()
	return func() {
		_ = hs.Close()
		<-done
	}, nil
}

type keyCmd struct {
	Name        string   `arg:"" help:"Name of the key, for logs."`
	Scope       string   `enum:"rw,ro,metrics" default:"ro" help:"rw: all; ro: search and read; metrics: /metrics alone."`
	Collections []string `placeholder:"NAME" help:"The only collections that it is for. Default: all."`
}

// keyOutput is the JSON of key.
type keyOutput struct {
	Key  string `json:"key"`
	Line string `json:"line"`
}

// Run makes a random key. The key is printed to standard output, and the line that
// goes into the key file, which holds its hash alone, with it.
func (c *keyCmd) Run(a *app) error {
	secret, line, err := server.NewKey(c.Name, c.Scope, c.Collections)
	if err != nil {
		return usageError{err}
	}
	if a.JSON {
		return a.printJSON(keyOutput{secret, line})
	}
	a.note("The key, which is shown this once, and the line for the file of serve --keys:")
	a.printf("%s\n%s\n", secret, line)
	return nil
}

type configCmd struct {
	serveFlags `embed:""`
}

// Run prints what serve with the same flags, environment and file would run with,
// as a file for --config. Nothing in it is secret: keys are named by their files.
func (c *configCmd) Run(a *app, k *kong.Context) error {
	c.Limits = c.Limits.WithDefaults()
	out := map[string]any{}
	for _, f := range k.Flags() {
		switch f.Name {
		case "help", "config", "json", "quiet", "verbose", "color", "width", "collection":
			continue
		}
		v := f.Target.Interface()
		switch x := v.(type) {
		case time.Duration:
			v = x.String()
		case []string:
			v = append([]string{}, x...)
		}
		out[f.Name] = v
	}
	out["db"] = cmp.Or(a.DB, defaultDB)
	out["model"] = cmp.Or(a.Model, modelBundled)
	out["snapshots"] = cmp.Or(c.Snapshots, filepath.Clean(cmp.Or(a.DB, defaultDB))+"-snapshots")
	return a.printJSON(out)
}
