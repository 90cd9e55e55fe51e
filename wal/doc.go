// Package wal is colbertdb's log of documents that are not yet in a segment:
// ordered records in numbered files, appended in groups with one write and one
// fsync each. Payloads are opaque.
//
// # Invariants
//
//   - A record that Append acknowledged under SyncAlways is on stable storage,
//     as long as fsync tells the truth.
//   - Replay gives back a prefix of what was appended, in order. Bytes that were
//     known to be durable and are damaged now give a *CorruptionError that names
//     file and offset, never a silent gap. Damage confined to what was written
//     last, which cannot be told from a torn write, is dropped and counted.
//   - After a failed write or fsync the log takes nothing more (ErrPoisoned).
//   - A file is never appended to after a restart; it is removed whole.
//
// How damage is told from a torn write: every record carries `durable`, the
// offset of its file that had been synced when it was written, and every file
// the length of its predecessor. A bad record at an offset below a later durable
// mark was once good. After an idle second a mark is written, and at rotation a
// footer. docs/format/wal.md has the byte boxes.
//
// Open log.go for writing, replay.go for reading, record.go for the frame.
package wal
