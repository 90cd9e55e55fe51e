package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cohere "github.com/cohere-ai/cohere-go/v2"
	cohereclient "github.com/cohere-ai/cohere-go/v2/client"
	"github.com/cohere-ai/cohere-go/v2/option"
	"github.com/sashabaranov/go-openai"
)

// url and key are those of a server with the bundled model and a key file.
var url, key string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "colbertdb-clients-")
	check(err)
	defer os.RemoveAll(dir)
	command := filepath.Join(dir, "colbertdb")
	build := exec.Command("go", "build", "-o", command, "./cmd/colbertdb")
	build.Dir = "../.."
	build.Stderr = os.Stderr
	check(build.Run())
	out, err := exec.Command(command, "key", "clients", "--scope", "ro").Output()
	check(err)
	secret, line, _ := strings.Cut(string(out), "\n")
	key = secret
	check(os.WriteFile(filepath.Join(dir, "keys"), []byte(line), 0o600))
	server := exec.Command(command, "serve", "--quiet", "--db", filepath.Join(dir, "db"), "--listen", "127.0.0.1:0", "--keys", filepath.Join(dir, "keys"))
	server.Stderr = os.Stderr
	stdout, err := server.StdoutPipe()
	check(err)
	check(server.Start())
	defer func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
	}()
	started, err := bufio.NewReader(stdout).ReadString('\n')
	check(err)
	url = started[strings.Index(started, "http"):]
	url = strings.TrimSpace(url)
	return m.Run()
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

const query = "Where does the kitten rest?"

// The second is the answer, the third is about something near.
var documents = []string{
	"Income tax returns are due at the end of May.",
	"The cat sleeps on the warm windowsill.",
	"Dogs have to be walked twice a day.",
	"The harbour was closed because of the storm.",
}

const best = 1

func ptr[T any](v T) *T { return &v }

func TestCohereGo(t *testing.T) {
	ctx := context.Background()
	c := cohereclient.NewClient(option.WithToken(key), option.WithBaseURL(url))
	v2, err := c.V2.Rerank(ctx, &cohere.V2RerankRequest{Model: "rerank-v3.5", Query: query, Documents: documents, TopN: ptr(3)})
	if err != nil {
		t.Fatal(err)
	}
	if len(v2.Results) != 3 || v2.Results[0].Index != best || v2.Meta == nil || *v2.Meta.BilledUnits.SearchUnits != 1 {
		t.Fatalf("v2: %v", v2)
	}
	for i, r := range v2.Results {
		if r.RelevanceScore < 0 || r.RelevanceScore > 1 || i > 0 && r.RelevanceScore > v2.Results[i-1].RelevanceScore {
			t.Errorf("v2: result %d has the score %g", i, r.RelevanceScore)
		}
	}
	var items []*cohere.RerankRequestDocumentsItem
	for i, d := range documents {
		if i%2 == 0 {
			items = append(items, &cohere.RerankRequestDocumentsItem{String: d})
		} else {
			items = append(items, &cohere.RerankRequestDocumentsItem{RerankDocument: map[string]string{"text": d, "source": "test"}})
		}
	}
	v1, err := c.Rerank(ctx, &cohere.RerankRequest{Query: query, Documents: items, ReturnDocuments: ptr(true)})
	if err != nil {
		t.Fatal(err)
	}
	if len(v1.Results) != len(documents) || v1.Results[0].Index != best || v1.Id == nil {
		t.Fatalf("v1: %v", v1)
	}
	for i, r := range v1.Results {
		if r.Document == nil || r.Document.Text != documents[r.Index] {
			t.Errorf("v1: result %d has the document %v", i, r.Document)
		}
	}
	if v1.Results[0].RelevanceScore != v2.Results[0].RelevanceScore {
		t.Errorf("v1 and v2 differ: %g and %g", v1.Results[0].RelevanceScore, v2.Results[0].RelevanceScore)
	}
	// Errors are those of the client's own types, with the server's text.
	_, err = c.V2.Rerank(ctx, &cohere.V2RerankRequest{Model: "m", Query: query})
	var unprocessable *cohere.UnprocessableEntityError
	if !errors.As(err, &unprocessable) || !strings.Contains(err.Error(), "documents") {
		t.Errorf("no documents: %v", err)
	}
	_, err = cohereclient.NewClient(option.WithToken("wrong"), option.WithBaseURL(url)).V2.Rerank(ctx, &cohere.V2RerankRequest{Model: "m", Query: query, Documents: documents})
	var unauthorized *cohere.UnauthorizedError
	if !errors.As(err, &unauthorized) {
		t.Errorf("a wrong key: %v", err)
	}
}

func TestOpenAIGo(t *testing.T) {
	ctx := context.Background()
	config := openai.DefaultConfig(key)
	config.BaseURL = url + "/v1"
	c := openai.NewClientWithConfig(config)
	models, err := c.ListModels(ctx)
	if err != nil || len(models.Models) != 1 || models.Models[0].OwnedBy != "colbertdb" {
		t.Fatalf("%+v, %v", models, err)
	}
	m, err := c.GetModel(ctx, models.Models[0].ID)
	if err != nil || m.ID != models.Models[0].ID {
		t.Fatalf("%+v, %v", m, err)
	}
	// A pooled vector is refused with words.
	_, err = c.CreateEmbeddings(ctx, openai.EmbeddingRequest{Input: documents, Model: "any"})
	if err == nil || !strings.Contains(err.Error(), "return_multivector") {
		t.Errorf("a pooled vector: %v", err)
	}
}

// given is what the scripts of other languages are told.
func given(t *testing.T) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{"url": url, "key": key, "query": query, "documents": documents})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// script runs a client of another language and reads what it prints. Where it is not
// installed, the test is skipped, but not in CI: scripts/clients.sh installs them.
func script(t *testing.T, needs string, out any, args ...string) {
	t.Helper()
	if _, err := os.Stat(needs); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err, "; scripts/clients.sh installs it")
	}
	c := exec.Command(args[0], args[1:]...)
	c.Stderr = os.Stderr
	b, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, out); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
}

func TestNPM(t *testing.T) {
	var got struct {
		V1, V2           [][2]float64
		Texts, Langchain []string
		Refused          int
	}
	script(t, "npm/node_modules/cohere-ai", &got, "node", "npm/check.mjs", given(t))
	if len(got.V1) != 2 || len(got.V2) != 2 || got.V1[0][0] != best || got.V2[0][0] != best || got.V1[0][1] != got.V2[0][1] {
		t.Errorf("cohere-ai: v1 %v, v2 %v", got.V1, got.V2)
	}
	if len(got.Texts) != 2 || got.Texts[0] != documents[best] || len(got.Langchain) != 2 || got.Langchain[0] != documents[best] {
		t.Errorf("texts %q, langchain %q", got.Texts, got.Langchain)
	}
	if got.Refused != 401 {
		t.Errorf("a wrong key: status %d", got.Refused)
	}
}

func TestPython(t *testing.T) {
	var got struct {
		Healthy     bool
		Type, Model string
		Ranked      [][2]float64
		Texts       []string
	}
	script(t, "python/.venv/bin/python", &got, "python/.venv/bin/python", "python/check.py", given(t))
	if !got.Healthy || got.Type != "reranker" || got.Model == "" {
		t.Errorf("info: %+v", got)
	}
	if len(got.Ranked) != len(documents) || got.Ranked[0][0] != best || got.Texts[0] != documents[best] {
		t.Errorf("ranked %v, %q", got.Ranked, got.Texts)
	}
}

// The server's OpenAPI document is one, by a validator of the specification.
func TestOpenAPI(t *testing.T) {
	resp, err := http.Get(url + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	path := filepath.Join(t.TempDir(), "openapi.json")
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Errors []string
		Paths  int
	}
	script(t, "python/.venv/bin/openapi-spec-validator", &got, "bash", "-c", "python/.venv/bin/python python/openapi.py < "+path)
	if len(got.Errors) > 0 || got.Paths < 25 {
		t.Errorf("%d paths, errors %q", got.Paths, got.Errors)
	}
}
