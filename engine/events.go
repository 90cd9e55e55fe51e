package engine

import (
	"context"
	"log/slog"
	"time"
)

// EventListener is told what a store does by itself. Every field is optional.
//
// Events are delivered one after the other, in the order in which they
// happened, by a goroutine of the store that holds none of its locks: a
// listener may call the store, but not Close, which waits for the last event to
// be delivered. A listener does not slow the store down; one that falls more
// than 4,096 events behind misses the newest (Metrics.EventsDropped).
//
// A Begin is followed by its End, whatever happens in between, unless one of the two
// was missed by a listener that lagged; an End carries the error, and what came of the
// work where there is none.
type EventListener struct {
	// RecoveryEnd: Open has read the store and its log.
	RecoveryEnd func(RecoveryInfo)
	// SealBegin, SealEnd: a memory buffer becomes a segment.
	SealBegin func(SealInfo)
	SealEnd   func(SealInfo)
	// MergeBegin, MergeEnd: neighbouring segments become one.
	MergeBegin func(MergeInfo)
	MergeEnd   func(MergeInfo)
	// TrainBegin, TrainEnd: a collection gets a codebook or finer routing. The
	// merges that put its segments into it come in between.
	TrainBegin func(TrainInfo)
	TrainEnd   func(TrainInfo)
	// WriteStallBegin, WriteStallEnd: writes wait for room in memory, which seals
	// make (Options.WriteMemory). However many wait, there is one pair of events.
	WriteStallBegin func(WriteStallInfo)
	WriteStallEnd   func(WriteStallInfo)
	// BackgroundError: a seal, merge or training that nobody waited for failed
	// without poisoning the store. It will be tried again.
	BackgroundError func(error)
	// Poisoned: a write to the log or to Pebble failed. The store answers reads
	// and refuses writes until it is reopened.
	Poisoned func(error)
	// LogRotated: a new log file was begun. LogRemoved: those below a number
	// were superseded and are gone.
	LogRotated func(LogInfo)
	LogRemoved func(LogInfo)
	// CollectionCreated, CollectionDropped.
	CollectionCreated func(name string)
	CollectionDropped func(name string)
}

// RecoveryInfo says what Open found.
type RecoveryInfo struct {
	Collections int
	LogRecords  int64 // replayed
	TornBytes   int64 // dropped from the log's end
	Duration    time.Duration
}

// SealInfo is one buffer on its way to a segment.
type SealInfo struct {
	Collection string
	Segment    uint64
	Documents  int   // of the buffer, dead ones included; at the end of the segment
	BytesIn    int64 // of the buffer: float16 vectors, text and attributes
	// At the end. BytesOut is 0 where no document of the buffer was alive.
	BytesOut int64
	Duration time.Duration
	Err      error
}

// MergeInfo is one merge.
type MergeInfo struct {
	Collection string
	// Reason is the planner's: "tier", "deletes" or "codebook"; "compact" for a
	// merge by hand, "train" for one that moves a segment to the first codebook,
	// "purge" for one that rewrites a segment to erase what a purge has deleted.
	Reason      string
	Inputs      []uint64 // segments
	DocumentsIn int      // deleted ones included
	BytesIn     int64
	// At the end. Output is 0 where nothing was alive.
	Output       uint64
	DocumentsOut int
	BytesOut     int64
	Duration     time.Duration
	Err          error
}

// TrainInfo is one training.
type TrainInfo struct {
	Collection string
	Tokens     int64 // of the live documents in segments
	First      bool  // the collection was flat before
	// At the end: the versions in force.
	Codebook, Routing uint32
	Duration          time.Duration
	Err               error
}

// WriteStallInfo is a time in which writes waited.
type WriteStallInfo struct {
	Collection string        // of the write that waited first
	Buffered   int64         // bytes of WriteMemory that were taken, at the beginning
	Duration   time.Duration // at the end
}

// LogInfo names a log file.
type LogInfo struct {
	File uint64 // begun, or the lowest that is left
}

// EnsureDefaults puts functions that do nothing where there are none.
func (l *EventListener) EnsureDefaults() {
	ensure(&l.RecoveryEnd)
	ensure(&l.SealBegin)
	ensure(&l.SealEnd)
	ensure(&l.MergeBegin)
	ensure(&l.MergeEnd)
	ensure(&l.TrainBegin)
	ensure(&l.TrainEnd)
	ensure(&l.WriteStallBegin)
	ensure(&l.WriteStallEnd)
	ensure(&l.BackgroundError)
	ensure(&l.Poisoned)
	ensure(&l.LogRotated)
	ensure(&l.LogRemoved)
	ensure(&l.CollectionCreated)
	ensure(&l.CollectionDropped)
}

func ensure[T any](f *func(T)) {
	if *f == nil {
		*f = func(T) {}
	}
}

// LoggingEventListener writes every event to a logger: beginnings at debug
// level, ends at info level, stalls as warnings, failures as errors.
func LoggingEventListener(log *slog.Logger) *EventListener {
	end := func(msg string, err error, args ...any) {
		level := slog.LevelInfo
		if err != nil {
			level, args = slog.LevelError, append(args, "error", err)
		}
		log.Log(context.Background(), level, msg, args...)
	}
	return &EventListener{
		RecoveryEnd: func(i RecoveryInfo) {
			log.Info("store opened", "collections", i.Collections, "log_records", i.LogRecords, "torn_bytes", i.TornBytes, "duration", i.Duration)
		},
		SealBegin: func(i SealInfo) {
			log.Debug("sealing", "collection", i.Collection, "segment", i.Segment, "documents", i.Documents, "bytes", i.BytesIn)
		},
		SealEnd: func(i SealInfo) {
			end("sealed", i.Err, "collection", i.Collection, "segment", i.Segment, "documents", i.Documents, "bytes_in", i.BytesIn, "bytes_out", i.BytesOut, "duration", i.Duration)
		},
		MergeBegin: func(i MergeInfo) {
			log.Debug("merging", "collection", i.Collection, "reason", i.Reason, "segments", i.Inputs, "documents", i.DocumentsIn, "bytes", i.BytesIn)
		},
		MergeEnd: func(i MergeInfo) {
			end("merged", i.Err, "collection", i.Collection, "reason", i.Reason, "segments", i.Inputs, "into", i.Output, "documents", i.DocumentsOut, "bytes_in", i.BytesIn, "bytes_out", i.BytesOut, "duration", i.Duration)
		},
		TrainBegin: func(i TrainInfo) {
			log.Debug("training", "collection", i.Collection, "tokens", i.Tokens, "first", i.First)
		},
		TrainEnd: func(i TrainInfo) {
			end("trained", i.Err, "collection", i.Collection, "tokens", i.Tokens, "codebook", i.Codebook, "routing", i.Routing, "duration", i.Duration)
		},
		WriteStallBegin: func(i WriteStallInfo) {
			log.Warn("writes wait for a seal", "collection", i.Collection, "buffered", i.Buffered)
		},
		WriteStallEnd: func(i WriteStallInfo) {
			log.Warn("writes go on", "collection", i.Collection, "duration", i.Duration)
		},
		BackgroundError: func(err error) { log.Error("background work failed", "error", err) },
		Poisoned:        func(err error) { log.Error("store is read-only until it is reopened", "cause", err) },
		LogRotated:      func(i LogInfo) { log.Debug("log rotated", "file", i.File) },
		LogRemoved:      func(i LogInfo) { log.Debug("log files removed", "below", i.File) },
		CollectionCreated: func(name string) {
			log.Info("collection created", "collection", name)
		},
		CollectionDropped: func(name string) {
			log.Info("collection dropped", "collection", name)
		},
	}
}
