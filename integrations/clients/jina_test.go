package clients

import (
	"context"
	"net/http"
	neturl "net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	jina "github.com/weaviate/weaviate/modules/reranker-jinaai/clients"
)

// redirected sends requests for one host to the server of the tests. It stands for the
// base address that Weaviate's client has built in.
type redirected struct {
	http.RoundTripper
	host string
}

func (r redirected) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == r.host {
		to, err := neturl.Parse(url)
		if err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.URL.Scheme, req.URL.Host = to.Scheme, to.Host
	}
	return r.RoundTripper.RoundTrip(req)
}

// Weaviate's reranker module for Jina, as it runs in Weaviate.
func TestJinaGo(t *testing.T) {
	before := http.DefaultTransport
	http.DefaultTransport = redirected{before, "api.jina.ai"}
	defer func() { http.DefaultTransport = before }()
	ctx := context.Background()
	res, err := jina.New(key, time.Minute, logrus.New()).Rank(ctx, query, documents, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.Query != query || len(res.DocumentScores) != len(documents) {
		t.Fatalf("%+v", res)
	}
	var scores []float64
	for i, d := range res.DocumentScores { // in the order of the documents
		if d.Document != documents[i] || d.Score < 0 || d.Score > 1 {
			t.Errorf("document %d: %+v", i, d)
		}
		scores = append(scores, d.Score)
	}
	if slices.Index(scores, slices.Max(scores)) != best {
		t.Errorf("scores %v", scores)
	}
	// Errors carry the server's text.
	if _, err := jina.New("wrong", time.Minute, logrus.New()).Rank(ctx, query, documents, nil); err == nil {
		t.Error("a wrong key was let in")
	} else if !strings.Contains(err.Error(), "status 401: the key is not known") {
		t.Errorf("a wrong key: %v", err)
	}
}
