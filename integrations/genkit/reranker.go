package genkit

import (
	"context"
	"fmt"

	"github.com/firebase/genkit/go/ai"
	"github.com/firebase/genkit/go/core"
	"github.com/firebase/genkit/go/core/api"
	"github.com/firebase/genkit/go/genkit"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
)

// ActionTypeReranker is the type of the reranker's action, which Genkit has a request and
// a response for (ai.RerankerRequest) and, in Go, no name.
const ActionTypeReranker api.ActionType = "reranker"

// RerankerName is the name of the reranker's action.
const RerankerName = Provider + "/maxsim"

type rerankAction = core.ActionDef[*ai.RerankerRequest, *ai.RerankerResponse, struct{}]

// reranker returns the reranker's action, nil where there is no model for it.
func (p *Plugin) reranker() *rerankAction {
	rank := p.rank()
	if rank == nil {
		return nil
	}
	return core.NewAction(RerankerName, ActionTypeReranker, map[string]any{"type": ActionTypeReranker}, nil,
		func(ctx context.Context, req *ai.RerankerRequest) (*ai.RerankerResponse, error) {
			query, err := textOf(req.Query)
			if err != nil {
				return nil, fmt.Errorf("the query: %w", err)
			}
			texts := make([]string, len(req.Documents))
			for i, d := range req.Documents {
				if texts[i], err = textOf(d); err != nil {
					return nil, fmt.Errorf("document %d: %w", i, err)
				}
			}
			ranked, err := rank(ctx, query, texts)
			if err != nil {
				return nil, err
			}
			out := &ai.RerankerResponse{}
			for _, r := range ranked {
				out.Documents = append(out.Documents, &ai.RankedDocumentData{
					Content: req.Documents[r.Index].Content, Metadata: &ai.RankedDocumentMetadata{Score: r.Score},
				})
			}
			return out, nil
		})
}

// rank returns what ranks texts: a model in the process, or the server.
func (p *Plugin) rank() func(ctx context.Context, query string, texts []string) ([]remote.Ranked, error) {
	if p.Encoder != nil {
		return func(ctx context.Context, query string, texts []string) ([]remote.Ranked, error) {
			r, err := encoder.Rerank(ctx, p.Encoder, query, texts, 0)
			if err != nil {
				return nil, err
			}
			out := make([]remote.Ranked, len(r.Documents))
			for i, d := range r.Documents {
				out[i] = remote.Ranked{Index: d.Index, Score: float64(d.Similarity)}
			}
			return out, nil
		}
	}
	if server, ok := p.Database.(*remote.Client); ok {
		return server.Rerank
	}
	return nil
}

// Rerank orders documents, which need not be stored, by how well they answer a query,
// best first; scores are the mean similarity of the query's tokens, 0 to 1.
func Rerank(ctx context.Context, g *genkit.Genkit, query *ai.Document, docs []*ai.Document) (*ai.RerankerResponse, error) {
	p, ok := genkit.LookupPlugin(g, Provider).(*Plugin)
	if !ok {
		return nil, ErrNoPlugin
	}
	r := p.reranker()
	if r == nil {
		return nil, fmt.Errorf("%w: the plugin has no Encoder, and its database is no server", engine.ErrNoEncoder)
	}
	return r.Run(ctx, &ai.RerankerRequest{Query: query, Documents: docs}, nil)
}
