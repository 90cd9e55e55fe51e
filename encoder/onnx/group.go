package onnx

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/colbertdb-go/colbertdb/encoder"
)

// batchTokensGPU is Tuning.BatchTokens where a graph runs on other devices than the
// processor, which small batches leave idle.
const batchTokensGPU = 32768

// group is a graph on several devices, a session on each with weights of its own.
// Batches go to the device that has least to do.
type group struct {
	mu      sync.Mutex
	members []member
	version string // of ONNX Runtime
	note    string // why a device was not taken
	threads int    // of the processor, in all
}

// member is a device of a group.
type member struct {
	encoder.Session
	device  Device
	running int   // batches
	runs    int64 // since it was opened
}

// Run runs a batch on the device that has fewest, and of those has had fewest.
func (g *group) Run(ctx context.Context, b encoder.Batch) ([]float32, int, error) {
	g.mu.Lock()
	m := &g.members[0]
	for i := range g.members {
		if o := &g.members[i]; o.running < m.running || o.running == m.running && o.runs < m.runs {
			m = o
		}
	}
	m.running++
	m.runs++
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		m.running--
		g.mu.Unlock()
	}()
	out, dim, err := m.Session.Run(ctx, b)
	if err != nil && len(g.members) > 1 {
		err = fmt.Errorf("%w (on %s)", err, m.device)
	}
	return out, dim, err
}

// Lanes implements encoder.Laned: documents keep a device busy, queries a thread of
// the processor.
func (g *group) Lanes() (queries, documents int) {
	documents = len(g.members)
	return max(documents, g.threads), documents
}

// Runtime says what was taken, such as "ONNX Runtime 1.27.0 on cuda:0, cuda:1".
func (g *group) Runtime() string {
	var names []string
	for i := range g.members {
		names = append(names, g.members[i].device.String())
	}
	s := fmt.Sprintf("ONNX Runtime %s on %s", g.version, strings.Join(names, ", "))
	if g.note != "" {
		s += " (" + g.note + ")"
	}
	return s
}

// Close closes every session.
func (g *group) Close() (err error) {
	for i := range g.members {
		err = errors.Join(err, g.members[i].Session.Close())
	}
	return err
}
