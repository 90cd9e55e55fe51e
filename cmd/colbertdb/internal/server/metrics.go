package server

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/colbertdb-go/colbertdb/engine"
)

// metrics are what /metrics tells: the server's own counts, and the store's, which
// are read when they are asked for.
type metrics struct {
	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	sent     *prometheus.CounterVec
	handler  http.Handler
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "colbertdb_http_requests_total", Help: "Requests answered."}, []string{"route", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "colbertdb_http_request_seconds", Help: "Time from a request's header to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"route"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "colbertdb_http_response_bytes_total", Help: "Bytes of answers' bodies."}, []string{"route"}),
	}
	r := prometheus.NewRegistry()
	r.MustRegister(m.requests, m.latency, m.sent, collectors.NewGoCollector(), &storeCollector{s})
	gauge := func(name, help string, f func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	counter := func(name, help string, f func() float64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, f))
	}
	gauge("colbertdb_http_active_requests", "Requests being answered.", func() float64 { return float64(s.active.Load()) })
	gauge("colbertdb_http_body_bytes", "Bytes of bodies in memory.", func() float64 { return float64(s.memory.used.Load()) })
	counter("colbertdb_http_panics_total", "Handlers that panicked: each is a defect.", func() float64 { return float64(s.panics.Load()) })
	for name, g := range map[string]*gate{"search": s.searches, "write": s.writes} {
		gauge("colbertdb_"+name+"_running", "At work now.", func() float64 { return float64(g.running()) })
		gauge("colbertdb_"+name+"_queued", "Waiting for their turn.", func() float64 { return float64(g.queued()) })
		counter("colbertdb_"+name+"_denied_total", "Answered 429 because too many were waiting.", func() float64 { return float64(g.denied.Load()) })
	}
	m.handler = promhttp.HandlerFor(r, promhttp.HandlerOpts{})
	return m
}

func (m *metrics) request(route string, status int, took time.Duration, bytes int64) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.latency.WithLabelValues(route).Observe(took.Seconds())
	m.sent.WithLabelValues(route).Add(float64(bytes))
}

func serveMetrics(q *request) error {
	q.s.metrics.handler.ServeHTTP(q.w, q.r)
	return nil
}

// storeCollector reads the store's metrics.
type storeCollector struct{ s *Server }

// Describe names nothing: what there is depends on the store's collections.
func (c *storeCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the store's metrics.
func (c *storeCollector) Collect(out chan<- prometheus.Metric) {
	m := c.s.db.Metrics()
	send := func(kind prometheus.ValueType, name, help string, v float64, labels ...string) {
		var names, values []string
		for i := 0; i+1 < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, labels[i+1])
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc("colbertdb_"+name, help, names, nil), kind, v, values...)
	}
	count := func(name, help string, v float64) { send(prometheus.CounterValue, name, help, v) }
	gauge := func(name, help string, v float64) { send(prometheus.GaugeValue, name, help, v) }
	count("documents_upserted_total", "Documents written.", float64(m.Upserts))
	count("documents_deleted_total", "Documents deleted.", float64(m.Deletes))
	count("seals_total", "Memory buffers that became segments.", float64(m.Seals))
	count("merges_total", "Merges of segments.", float64(m.Merges))
	count("trainings_total", "Trainings of codebooks.", float64(m.Trainings))
	count("write_stalls_total", "Times in which writes waited for room in memory.", float64(m.Stalls))
	count("write_stall_seconds_total", "Time in which a write waited for room in memory.", m.Stalled.Seconds())
	count("user_bytes_total", "Bytes of changes acknowledged.", float64(m.UserBytes))
	count("log_bytes_total", "Bytes written to the log.", float64(m.LogBytes))
	count("log_syncs_total", "Syncs of the log.", float64(m.LogSyncs))
	gauge("write_amplification", "Bytes written by the store over bytes of changes.", m.WriteAmplification())
	gauge("log_files", "Log files.", float64(m.LogFiles))
	gauge("log_disk_bytes", "Bytes of log files.", float64(m.LogOnDisk))
	gauge("write_memory_bytes", "Written and not yet in a segment.", float64(m.WriteMemory.Bytes))
	gauge("write_memory_limit_bytes", "Limit of that.", float64(m.WriteMemory.Limit))
	gauge("pinned_bytes", "Token columns, postings and tables in memory.", float64(m.PinnedBytes))
	gauge("pin_budget_bytes", "Limit of that.", float64(m.PinBudget))
	gauge("disk_bytes", "Bytes of Pebble's files.", float64(m.DiskBytes))
	gauge("disk_free_bytes", "Free on the store's file system; -1: not known.", float64(m.DiskFree))
	gauge("disk_floor_bytes", "What writes leave free.", float64(m.DiskFloor))
	gauge("block_cache_hit_ratio", "Share of reads that found their block in memory.", m.Cache.HitRate())
	for _, l := range c.s.models.all() {
		is, loads := l.state()
		send(prometheus.GaugeValue, "model_loaded", "1: the model is in memory.", boolGauge(is), "model", l.Info().Name, "fingerprint", fmt.Sprintf("%.12s", l.Info().Fingerprint))
		send(prometheus.CounterValue, "model_loads_total", "Times that the model was loaded.", float64(loads), "model", l.Info().Name, "fingerprint", fmt.Sprintf("%.12s", l.Info().Fingerprint))
	}
	gauge("read_only", "1: the store takes no writes until it is reopened.", boolGauge(m.Poisoned != nil))
	if !m.BackgroundErrorAt.IsZero() {
		gauge("background_error_timestamp_seconds", "Last failure of background work.", float64(m.BackgroundErrorAt.Unix()))
	}
	for i := range m.Collections {
		i := &m.Collections[i]
		for _, v := range []struct {
			name, help string
			value      float64
		}{
			{"collection_documents", "Live documents.", float64(i.Documents)},
			{"collection_tokens", "Live token vectors.", float64(i.Tokens)},
			{"collection_buffered_documents", "Documents that are in no segment yet.", float64(i.Buffered)},
			{"collection_deleted_documents", "Deleted documents in segments.", float64(i.Deleted)},
			{"collection_segments", "Segments.", float64(i.Segments)},
			{"collection_bytes", "Bytes of segments.", float64(i.Bytes)},
			{"collection_merges_due", "Merges that are due.", float64(i.Debt.Merges)},
			{"collection_stale_segments", "Segments with an older codebook or routing.", float64(i.Debt.StaleSegments)},
		} {
			send(prometheus.GaugeValue, v.name, v.help, v.value, "collection", i.Name)
		}
	}
	count("live_recall_lost_total", "Live searches that were chosen to be made again and were not, for want of a quiet moment.", float64(c.s.recall.lost.Load()))
	c.s.recall.collect(out, m.Collections)
	for i := range m.Collections {
		c := m.Collections[i].Calibration
		if c == nil {
			continue
		}
		for _, e := range c.Efforts {
			send(prometheus.GaugeValue, "collection_candidate_recall", "Candidate recall@10, as last measured.", e.CandidateRecall, "collection", m.Collections[i].Name, "effort", e.Effort)
		}
	}
	histogram := func(name, help string, h *engine.Histogram, labels ...string) {
		var names, values []string
		for i := 0; i+1 < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, labels[i+1])
		}
		buckets := map[float64]uint64{}
		sum := uint64(0)
		for i, n := range h.Buckets {
			sum += n
			// Two of the four buckets of each doubling, from 16 µs to 67 s.
			if b := engine.HistogramBound(i); i%2 == 1 && b >= 16 && b < 1<<26 {
				buckets[float64(b)/1e6] = sum
			}
		}
		out <- prometheus.MustNewConstHistogram(prometheus.NewDesc("colbertdb_"+name, help, names, nil), h.Count, float64(h.Sum)/1e6, buckets, values...)
	}
	histogram("search_seconds", "Searches, encoding included.", &m.SearchLatency)
	histogram("log_sync_seconds", "Syncs of the log.", &m.LogSyncTime)
	for i := range m.Stages {
		histogram("search_stage_seconds", "Stages of searches.", &m.Stages[i].Time, "stage", m.Stages[i].Name)
	}
}

func boolGauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
