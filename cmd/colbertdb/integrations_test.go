package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
)

// The commands of docs/integrations.md, with other addresses and a small model.
func TestCommandsOfIntegrations(t *testing.T) {
	doc, err := os.ReadFile("../../docs/integrations.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	t.Setenv("COLBERTDB_MODEL", "fake:32")
	(&watched{t: t, dir: "docs"}).write("cat.md", "the cat sleeps\n")
	db := memory(t)
	model := located{fake.New(32), "fake:32"}
	if _, err := db.CreateCollection(context.Background(), "notes", engine.CollectionConfig{Encoder: model}); err != nil {
		t.Fatal(err)
	}
	s, err := server.New(db, server.Options{Model: model})
	if err != nil {
		t.Fatal(err)
	}
	hs := httptest.NewServer(s.Handler())
	defer func() {
		hs.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	met := map[string]int{}
	inBlock := false
	for line := range strings.Lines(string(doc)) {
		if strings.HasPrefix(line, "```") {
			inBlock = !inBlock
		}
		command, _, _ := strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(command), "colbertdb ")
		if !ok || !inBlock {
			continue
		}
		args := strings.Fields(strings.NewReplacer("http://127.0.0.1:8080", hs.URL, "127.0.0.1:8081", "127.0.0.1:0").Replace(rest))
		met[args[0]]++
		ctx, stop := context.WithCancel(context.Background())
		switch args[0] {
		case "watch":
			var out strings.Builder
			if status := run(ctx, args, strings.NewReader(""), stopAfterLine{&out, stop}, testWriter{t}); status != exitOK || !strings.HasPrefix(out.String(), "added 1, ") {
				t.Errorf("%s: status %d, %q", command, status, out.String())
			}
		case "mcp":
			out, printed := io.Pipe()
			ended := make(chan int, 1)
			go func() {
				ended <- run(ctx, args, strings.NewReader(""), printed, testWriter{t})
				printed.Close()
			}()
			first, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			address := strings.TrimSpace(first[strings.Index(first, "http"):])
			useTools(t, ctx, &sdk.StreamableClientTransport{Endpoint: address})
			stop()
			if status := <-ended; status != exitOK {
				t.Errorf("%s: status %d", command, status)
			}
		default:
			t.Errorf("%s is not run", command)
		}
		stop()
	}
	if met["watch"] < 2 || met["mcp"] < 1 {
		t.Errorf("the page has the commands %v", met)
	}

	// The configuration of an agent.
	_, block, _ := strings.Cut(string(doc), "```json\n")
	block, _, _ = strings.Cut(block, "```")
	var config struct {
		MCPServers map[string]struct {
			Command string
			Args    []string
		}
	}
	if err := json.Unmarshal([]byte(block), &config); err != nil || len(config.MCPServers) != 1 {
		t.Fatal(err, config)
	}
	if status := run(context.Background(), []string{"index", "docs", "--db", "my.db", "--collection", "notes", "--quiet"}, strings.NewReader(""), io.Discard, testWriter{t}); status != exitOK {
		t.Fatal(status)
	}
	for _, c := range config.MCPServers {
		requests, toServer := io.Pipe()
		answers, toClient := io.Pipe()
		ended := make(chan int)
		go func() { ended <- run(context.Background(), c.Args, requests, toClient, testWriter{t}) }()
		useTools(t, context.Background(), &sdk.IOTransport{Reader: answers, Writer: toServer})
		if status := <-ended; status != exitOK {
			t.Errorf("%v: status %d", c.Args, status)
		}
	}
}

// useTools connects the official client and searches.
func useTools(t *testing.T, ctx context.Context, transport sdk.Transport) {
	t.Helper()
	session, err := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, nil).Connect(ctx, transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := session.CallTool(ctx, &sdk.CallToolParams{Name: "search", Arguments: map[string]any{"query": "the cat sleeps", "k": 1}})
	if err != nil || res.IsError {
		t.Errorf("%+v, %v", res, err)
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
}
