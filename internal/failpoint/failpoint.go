// Package failpoint plants known bugs into the store, so that the harness can
// show that it finds them: `make mutants` plants each and expects a failure. The
// marks are compiled only under the build tag colbertdb_failpoints; without it On
// is a constant false that the compiler removes.
package failpoint

// The bugs, named as in docs/reliability.md.
const (
	SkipLogSync          = "M1"  // records are acknowledged without fsync
	SkipDirSync          = "M2"  // a new log file's directory entry is not synced
	PublishBeforeIngest  = "M3"  // the manifest names a segment before it is there
	RemoveLogBeforeFlush = "M4"  // log files go while the manifest is only in Pebble's log
	IgnoreChecksums      = "M5"  // a damaged log record passes
	ExciseWhileRead      = "M6"  // an input of a merge goes before its last reader
	LoseLateDeletes      = "M7"  // deletes that arrive during a merge are forgotten
	AckBeforeAppend      = "M8"  // a write is acknowledged before it is in the log
	ReuseSegmentID       = "M9"  // two segments get one id
	LowWaterOffByOne     = "M10" // the manifest gives up a log file that is needed
	ForgetKeys           = "M11" // idempotency keys are forgotten with the log that they are in
	ForwardUnsynced      = "M12" // a seal takes away the log of records whose copies are not synced
	PublishUnlogged      = "M13" // a merge drops what writes that are not synced have replaced
)

// All lists the bugs in order.
var All = []string{
	SkipLogSync, SkipDirSync, PublishBeforeIngest, RemoveLogBeforeFlush, IgnoreChecksums,
	ExciseWhileRead, LoseLateDeletes, AckBeforeAppend, ReuseSegmentID, LowWaterOffByOne,
	ForgetKeys, ForwardUnsynced, PublishUnlogged,
}
