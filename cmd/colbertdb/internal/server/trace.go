package server

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/colbertdb-go/colbertdb/engine"
)

// A request is a span, which continues the trace of the client's traceparent header.
// Within it are spans of waiting for admission, of encoding, and of each stage of a
// search. Without a provider all of them are of package noop and cost next to nothing.

func tracerOf(p trace.TracerProvider) trace.Tracer {
	if p == nil {
		p = noop.NewTracerProvider()
	}
	return p.Tracer("github.com/colbertdb-go/colbertdb/cmd/colbertdb")
}

// begin starts the span of a request.
func (q *request) begin() {
	ctx := propagation.TraceContext{}.Extract(q.r.Context(), propagation.HeaderCarrier(q.r.Header))
	ctx, q.span = q.s.tracer.Start(ctx, q.route, trace.WithSpanKind(trace.SpanKindServer))
	if !q.span.SpanContext().IsValid() {
		return
	}
	q.r = q.r.WithContext(ctx)
	q.span.SetAttributes(attribute.String("http.request.method", q.r.Method), attribute.String("http.route", q.route), attribute.String("colbertdb.request_id", q.id))
	if q.collection != "" {
		q.span.SetAttributes(attribute.String("db.collection.name", q.collection))
	}
	q.detail = append(q.detail, "trace", q.span.SpanContext().TraceID().String())
}

// end ends the span of a request.
func (q *request) end(status int) {
	q.span.SetAttributes(attribute.Int("http.response.status_code", status))
	if status >= http.StatusInternalServerError && q.err != nil {
		q.span.SetStatus(codes.Error, q.err.Error())
	}
	q.span.End()
}

// spanning runs f within a span of what a context belongs to.
func spanning(ctx context.Context, name string, f func(ctx context.Context) error) error {
	ctx, span := tracerOf(trace.SpanFromContext(ctx).TracerProvider()).Start(ctx, name)
	defer span.End()
	err := f(ctx)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	return err
}

// traceSearch adds the spans of a search that has ended. Its stages follow one another;
// what is between them is counted at the end.
func traceSearch(ctx context.Context, res *engine.SearchResult) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	tracer := tracerOf(trace.SpanFromContext(ctx).TracerProvider())
	end := time.Now()
	at := end.Add(-res.Took)
	ctx, span := tracer.Start(ctx, "search", trace.WithTimestamp(at))
	span.SetAttributes(attribute.Int("colbertdb.documents", res.Documents), attribute.Int("colbertdb.candidates", res.Candidates),
		attribute.Int("colbertdb.scored", res.Scored), attribute.Int("colbertdb.hits", len(res.Hits)))
	for _, st := range res.Stages {
		_, stage := tracer.Start(ctx, st.Name, trace.WithTimestamp(at))
		at = at.Add(st.Duration)
		stage.End(trace.WithTimestamp(at))
	}
	span.End(trace.WithTimestamp(end))
}
