package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
)

// Exit status; doc.go says what each means.
const (
	exitOK      = 0
	exitError   = 1
	exitUsage   = 2
	exitPartial = 3
)

// commandLine is all that the command understands.
type commandLine struct {
	globals

	Index      indexCmd      `cmd:"" help:"Index files, folders or streams; again: sync what changed."`
	Watch      watchCmd      `cmd:"" help:"Keep a collection in step with a folder, also of a server."`
	Search     searchCmd     `cmd:"" help:"Search a collection."`
	Rerank     rerankCmd     `cmd:"" help:"Rank given documents for a query."`
	Encode     encodeCmd     `cmd:"" help:"Print token vectors of texts."`
	Get        getCmd        `cmd:"" help:"Print documents."`
	Delete     deleteCmd     `cmd:"" help:"Delete documents, or what an input brought."`
	Attributes attributesCmd `cmd:"" help:"List the indexes of a collection's attributes and text, make or drop some."`
	Purge      purgeCmd      `cmd:"" help:"Delete documents and erase their bytes from every file of the store."`
	Serve      serveCmd      `cmd:"" help:"Serve the store over HTTP."`
	Config     configCmd     `cmd:"" help:"Print the configuration that serve would run with."`
	MCP        mcpCmd        `cmd:"" name:"mcp" help:"Serve agents over the Model Context Protocol."`
	Key        keyCmd        `cmd:"" help:"Make a key for clients of serve."`
	Stats      statsCmd      `cmd:"" help:"Print the collections and their sizes."`
	Compact    compactCmd    `cmd:"" help:"Merge segments and reclaim deleted space."`
	Reindex    reindexCmd    `cmd:"" help:"Re-encode a collection with another model while it serves, and switch to it."`
	Alias      aliasCmd      `cmd:"" help:"List aliases, names that lead to collections, or change one."`
	Drop       dropCmd       `cmd:"" help:"Remove a collection with all its documents."`
	Checkpoint checkpointCmd `cmd:"" help:"Make a copy of the store that shares its files."`
	Backup     backupCmd     `cmd:"" help:"Write the store to one file, compressed and checksummed."`
	Restore    restoreCmd    `cmd:"" help:"Make a store of a backup, or of a chain of them."`
	Changes    changesCmd    `cmd:"" help:"Print committed changes in order."`
	Export     exportCmd     `cmd:"" help:"Write the segments of a collection to files that need nothing else."`
	Import     importCmd     `cmd:"" help:"Make a collection of an index of ColBERT, PyLate, fast-plaid or next-plaid, as it is."`
	Attach     attachCmd     `cmd:"" help:"Store segments that export wrote."`
	Repair     repairCmd     `cmd:"" help:"Say what damage has cost, and make a store of the rest."`
	Verify     verifyCmd     `cmd:"" help:"Read every byte of the store, or of a backup, and check it."`
	Dump       dumpCmd       `cmd:"" help:"Print a structure of a store that is not open, damaged or not."`
	Models     modelCmd      `cmd:"" name:"model" help:"Look at model folders; fetch some from a hub, list and remove them."`
	Eval       evalCmd       `cmd:"" help:"Measure retrieval quality on test collections, and compare configurations."`
	Bench      benchCmd      `cmd:"" help:"Measure recall and latency of searches over token vectors."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

// globals are the flags of every verb.
type globals struct {
	DB         string `name:"db" env:"COLBERTDB_DB" placeholder:"DIR" help:"Store folder. Default: colbertdb.db here."`
	Collection string `short:"c" default:"default" help:"Collection name."`
	Model      string `env:"COLBERTDB_MODEL" placeholder:"DIR" help:"Model folder, \"bundled\", or the address of a server of /v1/multi-vector; settings that take the place of its own may follow: DIR?query_length=64. Default: the one that the collection was made with, else bundled."`
	modelRun   `embed:""`
	KeepLogs   time.Duration `env:"COLBERTDB_KEEP_LOGS" placeholder:"TIME" help:"Keep superseded log files so long, such as 48h, for changes and restore --seq. Default: not at all."`
	JSON       bool          `name:"json" help:"Print one JSON value, for scripts."`
	Quiet      bool          `short:"q" help:"Print results and errors only."`
	Verbose    bool          `short:"v" help:"Log every step that was acknowledged, and what the store does in the background."`
	Color      string        `enum:"auto,always,never" default:"auto" help:"Colours: auto, always or never; without them matched words stand in «»."`
	Width      int           `placeholder:"COLUMNS" help:"Line width. Default: the terminal's, else 100."`
}

// modelRun says how models are run; no vector depends on it.
type modelRun struct {
	Devices     string `env:"COLBERTDB_DEVICES" placeholder:"LIST" help:"Where a model's graph runs: cpu, cuda:0,cuda:1, tensorrt:0, or auto, which takes every GPU of CUDA, else the processor. Several share batches. Default: the processor."`
	Tokenizer   string `env:"COLBERTDB_TOKENIZER" enum:"go,hf" default:"go" help:"What cuts texts for a model folder: go, or hf, the Hugging Face library in builds that link it; both give the same."`
	BatchTokens int    `env:"COLBERTDB_BATCH_TOKENS" placeholder:"N" help:"Tokens that go through a model folder's graph at once, padding included. Default: 4,096, on a GPU 32,768."`
}

// app is what a verb runs with.
type app struct {
	globals
	ctx    context.Context
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	status := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// usageError is a mistake in the command line that kong does not see.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func (u usageError) Unwrap() error { return u.error }

// statusError carries an exit status; its report has been printed already.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// helpShown is how kong's request to exit leaves the parser.
type helpShown int

// run is main without the process.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (status int) {
	defer func() {
		if r := recover(); r != nil {
			code, ok := r.(helpShown)
			if !ok {
				panic(r)
			}
			status = int(code)
		}
	}()
	var cl commandLine
	parser, err := kong.New(&cl,
		kong.Name("colbertdb"),
		kong.Description("A database for late-interaction search: text is stored as one vector a token and found by MaxSim."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(helpShown(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Configuration(readConfig),
	)
	if err != nil {
		fmt.Fprintln(stderr, "colbertdb:", err)
		return exitError
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "colbertdb: %v\nTry colbertdb --help.\n", err)
		return exitUsage
	}
	a := &app{globals: cl.globals, ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr}
	return a.report(parsed.Run(a))
}

// report prints an error and turns it into an exit status.
func (a *app) report(err error) int {
	var status statusError
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage):
		fmt.Fprintf(a.stderr, "colbertdb: %v\nTry colbertdb --help.\n", err)
		return exitUsage
	}
	message := err.Error()
	if len(message) < 10 || message[:10] != "colbertdb:" {
		message = "colbertdb: " + message
	}
	fmt.Fprintln(a.stderr, message)
	return exitError
}

// note prints progress and summaries, unless --quiet.
func (a *app) note(format string, args ...any) {
	if !a.Quiet {
		fmt.Fprintf(a.stderr, format+"\n", args...)
	}
}

// printf prints results.
func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.stdout, format, args...) }

// printJSON prints a result for scripts.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// style is what w can show.
func (a *app) style(w io.Writer) render.Style {
	s := render.Style{Color: a.Color == "always", Width: a.Width}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && s.Width == 0 {
			s.Width = width
		}
		if a.Color == "auto" {
			s.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
		}
	}
	return s
}

// bar is a progress bar where standard error is a terminal, else nil.
func (a *app) bar() *render.Bar {
	f, ok := a.stderr.(*os.File)
	if a.Quiet || a.JSON || !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return render.NewBar(a.stderr, a.style(a.stderr))
}

// bytesDone returns a report of progress in bytes: a bar on a terminal, elsewhere
// a line now and then. The second function ends it.
func (a *app) bytesDone() (report func(done, total int64), end func()) {
	bar, last := a.bar(), time.Now()
	return func(done, total int64) {
		bar.UpdateBytes(done, total)
		if bar == nil && !a.JSON && time.Since(last) > 5*time.Second {
			last = time.Now()
			a.note("%s of %s", render.Bytes(done), render.Bytes(total))
		}
	}, bar.Close
}

// logger is where the store's warnings go.
func (a *app) logger() *slog.Logger {
	level := slog.LevelWarn
	if a.Verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}))
}
