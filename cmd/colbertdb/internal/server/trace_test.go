package server_test

import (
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// A request's span continues the client's trace; under it are the spans of admission
// and of the stages that the answer tells, as long as it tells.
func TestTracing(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter))
	defer func() { _ = provider.Shutdown(ctx) }()
	i := start(t, server.Options{Tracing: provider})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	i.fill("notes", 30)
	children := func(all tracetest.SpanStubs, of string) (out tracetest.SpanStubs) {
		for _, s := range all {
			if s.Name != of && slices.ContainsFunc(all, func(p tracetest.SpanStub) bool { return p.Name == of && p.SpanContext.SpanID() == s.Parent.SpanID() }) {
				out = append(out, s)
			}
		}
		return out
	}
	names := func(spans tracetest.SpanStubs) (out []string) {
		for _, s := range spans {
			out = append(out, s.Name)
		}
		return out
	}
	ended := func(route string) tracetest.SpanStubs { // a request ends after its answer
		for ; ; time.Sleep(time.Millisecond) {
			if spans := exporter.GetSpans(); slices.Contains(names(spans), route) {
				return spans
			}
		}
	}
	const store = "POST /v1/collections/{c}/documents"
	if got := names(children(ended(store), store)); !slices.Contains(got, "admission") || !slices.Contains(got, "encode") {
		t.Errorf("an upsert has the spans %v", got)
	}

	exporter.Reset()
	var res wire.SearchResult
	i.do(200, "POST", "/v1/collections/notes/search", wire.Search{Text: "log files", K: 3}, &res, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	const route = "POST /v1/collections/{c}/search"
	spans := ended(route)
	root := spans[slices.Index(names(spans), route)]
	if root.SpanContext.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" || root.Parent.SpanID().String() != "b7ad6b7169203331" {
		t.Errorf("the request is in trace %s under %s", root.SpanContext.TraceID(), root.Parent.SpanID())
	}
	for _, want := range []attribute.KeyValue{attribute.String("http.route", route), attribute.String("db.collection.name", "notes"), attribute.Int("http.response.status_code", 200)} {
		if !slices.Contains(root.Attributes, want) {
			t.Errorf("the request has %v, not %v", root.Attributes, want)
		}
	}
	if got := names(children(spans, route)); !slices.Equal(got, []string{"admission", "search"}) {
		t.Errorf("a search has the spans %v", got)
	}
	stages := children(spans, "search")
	if len(stages) != len(res.Took) || len(stages) < 2 {
		t.Fatalf("stages %v, the answer has %v", names(stages), res.Took)
	}
	end := time.Time{}
	for n, s := range stages {
		if took := s.EndTime.Sub(s.StartTime); s.Name != res.Took[n].Stage || took.Microseconds() != res.Took[n].US || s.StartTime.Before(end) {
			t.Errorf("stage %d is %s of %v from %v on, the answer has %v", n, s.Name, took, s.StartTime, res.Took[n])
		}
		end = s.EndTime
	}

	exporter.Reset()
	i.wantError(404, "collection_not_found", "GET", "/v1/collections/none", nil)
	if spans := ended("GET /v1/collections/{c}"); len(spans) != 1 || spans[0].Status.Code == codes.Error {
		t.Errorf("an error of the client has %+v", spans)
	}
}
