package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// The command over standard input and output, and what it refuses.
func TestMCP(t *testing.T) {
	dir := t.TempDir()
	store := filepath.Join(dir, "db")
	w := &watched{t: t, dir: filepath.Join(dir, "notes")}
	w.write("cat.md", "# Cats\n\nthe cat sleeps\n")
	w.write("tax.md", "# Taxes\n\nreturns are due in May\n")
	if status := run(context.Background(), []string{"index", w.dir, "--db", store, "--model", "fake:32", "--quiet"}, strings.NewReader(""), io.Discard, testWriter{t}); status != exitOK {
		t.Fatal(status)
	}
	requests, toServer := io.Pipe()
	answers, toClient := io.Pipe()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan int)
	go func() {
		ended <- run(ctx, []string{"mcp", "--db", store, "--about", "two notes"}, requests, toClient, testWriter{t})
	}()
	session, err := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, nil).Connect(ctx, &sdk.IOTransport{Reader: answers, Writer: toServer}, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := session.CallTool(ctx, &sdk.CallToolParams{Name: "search", Arguments: map[string]any{"query": "the cat sleeps", "k": 1}})
	if err != nil || res.IsError || !strings.Contains(res.Content[0].(*sdk.TextContent).Text, `"notes/cat.md#Cats"`) && !strings.Contains(res.Content[0].(*sdk.TextContent).Text, "the cat sleeps") {
		t.Errorf("%+v, %v", res, err)
	}
	if err := session.Close(); err != nil { // the client goes
		t.Error(err)
	}
	if status := <-ended; status != exitOK {
		t.Errorf("status %d", status)
	}
	for args, want := range map[string]int{"--listen 0.0.0.0:0": exitUsage, "--db " + filepath.Join(dir, "none"): exitError} {
		if status := run(ctx, append([]string{"mcp"}, strings.Fields(args)...), strings.NewReader(""), io.Discard, io.Discard); status != want {
			t.Errorf("%s: status %d, want %d", args, status, want)
		}
	}
}
