package main

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// What OTEL_EXPORTER_OTLP_ENDPOINT names gets spans in OpenTelemetry's own form; without
// it there is no tracing.
func TestTracingOverOTLP(t *testing.T) {
	ctx := context.Background()
	if p, err := startTracing(ctx); p != nil || err != nil {
		t.Fatalf("not configured: %v, %v", p, err)
	}
	got := make(chan *collector.ExportTraceServiceRequest, 1)
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		b, err := io.ReadAll(body)
		m := &collector.ExportTraceServiceRequest{}
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(b, m) != nil {
			t.Errorf("%s: %d bytes, %v", r.URL, len(b), err)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
		got <- m
	}))
	defer hs.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", hs.URL)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
	p, err := startTracing(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, span := p.Tracer("a").Start(ctx, "plane_a")
	span.End()
	if err := p.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	r := (<-got).GetResourceSpans()
	if len(r) != 1 || r[0].GetScopeSpans()[0].GetSpans()[0].GetName() != "plane_a" {
		t.Fatalf("got %v", r)
	}
	about := map[string]string{}
	for _, a := range r[0].GetResource().GetAttributes() {
		about[a.GetKey()] = a.GetValue().GetStringValue()
	}
	if about["service.name"] != "colbertdb" || about["deployment.environment"] != "test" {
		t.Errorf("the resource is %v", about)
	}
	t.Setenv("OTEL_SDK_DISABLED", "true")
	if p, err := startTracing(ctx); p != nil || err != nil {
		t.Errorf("disabled: %v, %v", p, err)
	}
}
