package engine

import (
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/segment"
	"github.com/colbertdb-go/colbertdb/wal"
)

// SyncMode says when an acknowledged write is on stable storage.
type SyncMode = wal.SyncMode

// The sync modes. In each a power loss leaves a prefix of the changes, batches
// whole; they differ in how many acknowledged ones may be missing from it. A
// process that is killed loses none in any mode: what it wrote is the operating
// system's. Engine.Sync, a seal's rotation of the log and Close sync in every mode.
const (
	SyncAlways   = wal.SyncAlways   // none: synced before it is acknowledged. The default.
	SyncInterval = wal.SyncInterval // those of the last Options.SyncInterval
	SyncNever    = wal.SyncNever    // those since the last sync, whenever that was
)

// Profile says which planes a collection stores.
type Profile = codec.Profile

// The profiles, from most accurate to smallest.
const (
	Exact    = codec.Exact
	Balanced = codec.Balanced
	Compact  = codec.Compact
)

// ParseProfile reads "exact", "balanced" or "compact".
func ParseProfile(s string) (Profile, error) { return codec.ParseProfile(s) }

// ValidDim reports whether a collection can hold vectors of dimension dim.
func ValidDim(dim int) error { return codec.ValidDim(dim) }

// Options configure a store. The zero value is ready to use.
type Options struct {
	// ReadOnly refuses writes and starts no background work.
	ReadOnly bool
	// MustExist makes Open fail with fs.ErrNotExist rather than create a store.
	MustExist bool
	// Sync says when an acknowledged write is durable. Default: SyncAlways.
	Sync SyncMode
	// SyncInterval is the longest loss window under SyncInterval. Default: 100 ms.
	SyncInterval time.Duration
	// MemoryBudget bounds the bytes of segment columns kept in memory; what
	// does not fit is read from disk. Default: a quarter of the machine's memory.
	MemoryBudget int64
	// SealBytes is the size of buffered documents, in bytes of their float16
	// vectors and text, at which they become a segment. Default: 64 MiB.
	SealBytes int64
	// SealDocuments is the number of buffered documents at which they become a
	// segment. Default: 16,384. At most 65,536.
	SealDocuments int
	// SealAge is the age of its oldest change at which a buffer becomes a segment,
	// however small it is: it bounds what the log keeps of a quiet collection.
	// Default: 5 minutes. Negative: never.
	SealAge time.Duration
	// QuietAge is the time without a write to a collection after which the space
	// of deleted documents is reclaimed beyond what is worth it under load: until
	// they are 8 % of the live ones. Default: 1 minute. Negative: never.
	QuietAge time.Duration
	// WriteMemory bounds the memory of what was written and is not yet in a
	// segment, over all collections: batches on their way to the log and buffers.
	// Writes slow down when three quarters are taken, and wait for a seal when all
	// is; a batch that is larger is let through alone. Default: 8 × SealBytes.
	WriteMemory int64
	// FailWhenBusy makes writes that would wait return ErrBusy at once. Default:
	// they wait, as long as their context lasts.
	FailWhenBusy bool
	// TrainTokens is the number of tokens at which a collection gets its
	// codebook; below it every search is an exact scan. Default: 200,000.
	TrainTokens int64
	// TrainSample bounds the token vectors that a training reads. Default: 1,048,576.
	TrainSample int
	// DriftTokens is the number of tokens written since the last training below
	// which they are not compared with it. Default: a quarter of TrainTokens.
	DriftTokens int64
	// DriftOutliers is the share of recent tokens beyond the training's 95th
	// percentile of residual norms, and DriftResidual the rise of the mean norm,
	// above which another codebook is trained. Default: 0.15 and 0.10.
	DriftOutliers, DriftResidual float64
	// RoutingGrowth is the growth of a collection, in multiples of the tokens that
	// its routing was made for, at which fine centroids are clustered anew.
	// Default: 2.
	RoutingGrowth float64
	// DisableRetraining keeps the first codebook and routing of a collection.
	DisableRetraining bool
	// MaxSegmentDocuments and MaxSegmentTokens bound what merges build.
	// Default: 65,536 and 8,388,608.
	MaxSegmentDocuments int
	MaxSegmentTokens    int64
	// MaxOpenCollections is the number of collections that stay open without
	// being used: their document tables, postings and pinned columns are in
	// memory, where one at rest has its record alone. Default: 1,024.
	MaxOpenCollections int
	// DisableAutoCompaction leaves merging to Compact.
	DisableAutoCompaction bool
	// DiskFloor is the free space, in bytes, that writes leave on the store's file
	// system: a write of documents that would leave less returns ErrDiskFull, while
	// reads, deletes, seals, merges and drops go on. Default: 256 MiB, or a twentieth
	// of the file system where that is less. Negative: none.
	DiskFloor int64
	// KeepLogBytes and KeepLogAge keep log files that segments have superseded,
	// for Changes and RestoreTo: up to so many bytes of them, and so long after
	// they were written. A limit of 0 is none, where the other is set. Default:
	// none are kept.
	KeepLogBytes int64
	KeepLogAge   time.Duration
	// IdempotencyKeys and IdempotencyAge bound what the store remembers of writes
	// with an idempotency key (Collection.Idempotent): so many of the last, and so
	// long. One takes about 150 bytes of memory. Default: 65,536 and 24 hours.
	IdempotencyKeys int
	IdempotencyAge  time.Duration
	// FS is the file system. Default: the operating system's.
	FS vfs.FS
	// Logger gets warnings and background errors. Default: none.
	Logger *slog.Logger
	// EventListener is told of seals, merges, stalls and the like. Default: none.
	EventListener *EventListener
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	def := func(p *int64, v int64) {
		if *p == 0 {
			*p = v
		}
	}
	defInt := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	defFloat := func(p *float64, v float64) {
		if *p == 0 {
			*p = v
		}
	}
	if out.SyncInterval == 0 {
		out.SyncInterval = 100 * time.Millisecond
	}
	if out.SealAge == 0 {
		out.SealAge = 5 * time.Minute
	}
	if out.QuietAge == 0 {
		out.QuietAge = time.Minute
	}
	def(&out.MemoryBudget, defaultMemoryBudget())
	def(&out.SealBytes, 64<<20)
	def(&out.WriteMemory, 8*out.SealBytes)
	defInt(&out.SealDocuments, 16384)
	def(&out.TrainTokens, 200_000)
	defInt(&out.TrainSample, 1<<20)
	def(&out.DriftTokens, max(1, out.TrainTokens/4))
	defFloat(&out.DriftOutliers, 0.15)
	defFloat(&out.DriftResidual, 0.10)
	defFloat(&out.RoutingGrowth, 2)
	defInt(&out.MaxSegmentDocuments, segment.MaxDocuments)
	def(&out.MaxSegmentTokens, 8<<20)
	defInt(&out.MaxOpenCollections, 1024)
	defInt(&out.IdempotencyKeys, 1<<16)
	if out.IdempotencyAge == 0 {
		out.IdempotencyAge = 24 * time.Hour
	}
	if out.FS == nil {
		out.FS = vfs.Default
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	return out
}

// Validate reports the first option that makes no sense.
func (o *Options) Validate() error {
	d := o.withDefaults()
	switch {
	case d.SealDocuments < 1 || d.SealDocuments > segment.MaxDocuments:
		return fmt.Errorf("%w: SealDocuments must be 1 to %d, got %d", ErrInvalid, segment.MaxDocuments, d.SealDocuments)
	case d.MaxSegmentDocuments < 1 || d.MaxSegmentDocuments > segment.MaxDocuments:
		return fmt.Errorf("%w: MaxSegmentDocuments must be 1 to %d, got %d", ErrInvalid, segment.MaxDocuments, d.MaxSegmentDocuments)
	case d.DriftTokens < 1, d.DriftOutliers < 0, d.DriftResidual < 0, d.RoutingGrowth <= 1:
		return fmt.Errorf("%w: DriftTokens, DriftOutliers and DriftResidual must not be negative, RoutingGrowth must be above 1", ErrInvalid)
	case d.SealBytes < 1, d.WriteMemory < 1, d.MemoryBudget < 0, d.TrainTokens < 1, d.TrainSample < 1, d.MaxSegmentTokens < 1, d.MaxOpenCollections < 1, d.SyncInterval < 0, d.KeepLogBytes < 0, d.KeepLogAge < 0, d.IdempotencyKeys < 0, d.IdempotencyAge < 0:
		return fmt.Errorf("%w: options must not be negative", ErrInvalid)
	}
	return nil
}

// CollectionConfig is fixed when a collection is created.
type CollectionConfig struct {
	// Dim is the dimension of its vectors, a multiple of 8 up to 1,024.
	// Default: the encoder's.
	Dim int
	// Profile says which planes are stored. Default: Exact.
	Profile Profile
	// RetainRaw keeps the float16 originals: scores are then float32 MaxSim,
	// and a later codebook is trained and encoded without loss. Default: false.
	RetainRaw bool
	// RecallTarget is the candidate recall@10 that the default effort is calibrated
	// to reach. Default: DefaultRecallTarget.
	RecallTarget float64
	// TextIndex is the analyzer of the index of the documents' text that searches by
	// BM25 read, or AnalyzerNone. Unlike the rest it can change later: IndexText,
	// DropTextIndex. Default: AnalyzerEnglish with an Encoder, else AnalyzerNone.
	TextIndex Analyzer
	// Encoder turns text into vectors. Its name and fingerprint are recorded;
	// it is not owned: the caller closes it after the store. Optional.
	Encoder encoder.Encoder
}

var nameRule = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func validName(name string) error {
	if !nameRule.MatchString(name) {
		return fmt.Errorf("%w: collection name %.80q: use 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit", ErrInvalid, name)
	}
	return nil
}
