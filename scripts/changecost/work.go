package main

import (
	"sync/atomic"

	"github.com/colbertdb-go/colbertdb/engine"
)

// kind is a kind of background work, a bit each.
type kind uint32

const (
	sealing kind = 1 << iota
	merging
	training
	kinds = iota
)

// work says what a store's background does at the moment.
type work struct {
	now [kinds]atomic.Int32
}

func (w *work) running() (k kind) {
	for i := range w.now {
		if w.now[i].Load() > 0 {
			k |= 1 << i
		}
	}
	return k
}

func (w *work) listener() *engine.EventListener {
	return &engine.EventListener{
		SealBegin:  func(engine.SealInfo) { w.now[0].Add(1) },
		SealEnd:    func(engine.SealInfo) { w.now[0].Add(-1) },
		MergeBegin: func(engine.MergeInfo) { w.now[1].Add(1) },
		MergeEnd:   func(engine.MergeInfo) { w.now[1].Add(-1) },
		TrainBegin: func(engine.TrainInfo) { w.now[2].Add(1) },
		TrainEnd:   func(engine.TrainInfo) { w.now[2].Add(-1) },
	}
}
