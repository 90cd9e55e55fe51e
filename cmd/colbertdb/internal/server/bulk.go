package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// typeNDJSON is the type of a bulk load's body: a document a line.
const typeNDJSON = "application/x-ndjson"

// A bulk load stores a group of documents whenever it has so many, or so many bytes
// of lines, and then says how far it is.
const (
	bulkDocuments = 256
	bulkBytes     = 4 << 20
)

// bulk is a load on its way.
type bulk struct {
	q     *request
	col   *engine.Collection
	out   *json.Encoder
	rc    *http.ResponseController
	skip  bool // lines that are refused
	state wire.Progress
	group []engine.Document
	lines []int64 // of each document
	bytes int
	begun bool // the answer
}

// bulkLoad reads documents until the body ends and answers with lines of progress,
// each about what is durable and searchable by then. It is not one step: what was
// acknowledged before an error or a disconnection stays.
func bulkLoad(q *request) error {
	v, err := q.parameters("on_error")
	if err != nil {
		return err
	}
	skip := v.Get("on_error") == "skip"
	if s := v.Get("on_error"); s != "" && s != "stop" && !skip {
		return unprocessable("on_error=%.40q: use stop or skip", s)
	}
	if q.r.Header.Get("Idempotency-Key") != "" {
		return unprocessable("a bulk load takes no Idempotency-Key: repeat it as it is, documents of equal ids replace one another")
	}
	col, err := q.open()
	if err != nil {
		return err
	}
	if !q.takeMemory(2*bulkBytes + 2*int64(q.s.limits.Line)) {
		return errMemory
	}
	b := &bulk{q: q, col: col, out: lineEncoder(q.w), rc: http.NewResponseController(q.w), skip: skip}
	src, release, err := decompressed(q.r, &arriving{q: q, r: q.r.Body})
	if err != nil {
		return err
	}
	err = b.read(bufio.NewReaderSize(src, 64<<10))
	release()
	if err != nil && !b.begun {
		return err
	}
	if err != nil {
		q.err = err
		e := q.wireError(err)
		b.state.Error = &e
	} else {
		b.state.Done = true
	}
	b.write()
	b.drain()
	return nil
}

// maxDrained bounds what is read of a body whose load has ended.
const maxDrained = 64 << 20

// drain reads the body to its end, which a load that failed has not seen, nor one
// whose decompressor stopped before it. net/http does so itself, but in full duplex
// at a time when it also reads the next request, and panics. A connection with more
// to come than is worth reading is closed.
func (b *bulk) drain() {
	if _, err := io.CopyN(io.Discard, &arriving{q: b.q, r: b.q.r.Body}, maxDrained); err != io.EOF {
		b.q.abort = true
	}
}

// lineEncoder writes JSON values as they are, a line each.
func lineEncoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

// arriving reads a body whose every part must come in time.
type arriving struct {
	q *request
	r io.Reader
}

func (a *arriving) Read(p []byte) (int, error) {
	a.q.readDeadline(time.Now().Add(a.q.s.limits.ReadTimeout))
	n, err := a.r.Read(p)
	a.q.readDeadline(time.Time{})
	return n, err
}

// read takes lines and stores groups. What it returns ends the load.
func (b *bulk) read(r *bufio.Reader) error {
	for {
		line, err := readLine(r, int64(b.q.s.limits.Line))
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return badBody(err)
		}
		if len(line) > 0 {
			b.state.Line++
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if err := b.take(line); err != nil {
				return err
			}
		}
		if end || len(b.group) >= bulkDocuments || b.bytes >= bulkBytes {
			if err := b.store(); err != nil {
				return err
			}
		}
		if end {
			return nil
		}
	}
}

// take adds a line's document to the group.
func (b *bulk) take(line []byte) error {
	var d wire.Document
	err := decodeJSON(line, &d, true)
	var docs []engine.Document
	if err == nil {
		docs, err = b.q.engineDocuments([]wire.Document{d})
	}
	if err != nil {
		return b.refuse(b.state.Line, err)
	}
	b.group, b.lines = append(b.group, docs[0]), append(b.lines, b.state.Line)
	b.bytes += len(line)
	return nil
}

// refuse tells of a line that cannot be stored; where such lines are not skipped,
// it stores what came before and ends the load.
func (b *bulk) refuse(line int64, err error) error {
	b.state.Failed++
	if !b.skip {
		if serr := b.store(); serr != nil {
			return serr
		}
		b.state.Line = line
		b.begin()
		return err
	}
	e := b.q.wireError(err)
	p := b.state
	p.Line, p.Error, p.Truncated = line, &e, nil
	return b.send(&p)
}

// store upserts the group. A group with a document that the store refuses is tried
// one by one.
func (b *bulk) store() error {
	group, lines := b.group, b.lines
	b.group, b.lines, b.bytes = b.group[:0], b.lines[:0], 0
	if len(group) == 0 {
		return nil
	}
	err := b.upsert(group)
	if err != nil && badInput(err) && len(group) > 1 {
		for i := range group {
			if err = b.upsert(group[i : i+1]); err != nil && badInput(err) {
				err = b.refuse(lines[i], err)
			}
			if err != nil {
				return err
			}
		}
		return b.write()
	}
	if err != nil && badInput(err) {
		return b.refuse(lines[0], err)
	}
	if err != nil {
		return err
	}
	return b.write()
}

func (b *bulk) upsert(docs []engine.Document) error {
	l := &b.q.s.limits
	ctx, cancel := context.WithTimeout(b.q.r.Context(), l.WriteTimeout)
	defer cancel()
	var err error
	for { // the client waits: its next lines are not read before
		if err = b.q.s.writes.enter(ctx); err != errOverloaded {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	if err != nil {
		return err
	}
	defer b.q.s.writes.leave()
	if b.q.s.draining.Load() {
		return errDraining
	}
	out, err := b.q.upsert(ctx, b.col, docs)
	if err != nil {
		return err
	}
	b.state.Upserted += int64(out.Upserted)
	b.state.Seq = out.Seq
	b.state.Truncated = append(b.state.Truncated, out.Truncated...)
	return nil
}

// begin begins the answer, while the body is still read.
func (b *bulk) begin() {
	if b.begun {
		return
	}
	b.begun = true
	_ = b.rc.EnableFullDuplex() // HTTP/2 has it always
	b.q.w.Header().Set("Content-Type", typeNDJSON)
	b.q.w.WriteHeader(http.StatusOK)
}

// write sends the state.
func (b *bulk) write() error {
	p := b.state
	b.state.Truncated = nil
	return b.send(&p)
}

func (b *bulk) send(p *wire.Progress) error {
	b.begin()
	_ = b.rc.SetWriteDeadline(time.Now().Add(b.q.s.limits.ReadTimeout)) // a client that does not read
	defer func() { _ = b.rc.SetWriteDeadline(time.Time{}) }()
	if err := b.out.Encode(p); err != nil {
		return err
	}
	return b.rc.Flush()
}

// readLine reads a line without its end, io.EOF with the last one.
func readLine(r *bufio.Reader, most int64) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if int64(len(line)+len(part)) > most {
			return nil, tooLarge("a line has more than %d bytes", most)
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}
