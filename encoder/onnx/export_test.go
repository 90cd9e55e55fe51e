package onnx

import (
	"io/fs"

	"github.com/colbertdb-go/colbertdb/encoder"
)

// OpenSession loads a folder's graph alone.
func OpenSession(f *encoder.Folder, o Options) (encoder.Session, error) { return newSession(f, &o) }

// OpenCounted is Open, and returns how many batches each device's session has run.
func OpenCounted(fsys fs.FS, o Options) (encoder.Encoder, func() []int64, error) {
	f, err := encoder.ReadFolder(fsys, "counted", nil)
	if err != nil {
		return nil, nil, err
	}
	s, err := newSession(f, &o)
	if err != nil {
		return nil, nil, err
	}
	c, err := encoder.NewColBERT(f, s, o.Tuning)
	return c, func() (runs []int64) {
		g := s.(*group)
		g.mu.Lock()
		defer g.mu.Unlock()
		for i := range g.members {
			runs = append(runs, g.members[i].runs)
		}
		return runs
	}, err
}
