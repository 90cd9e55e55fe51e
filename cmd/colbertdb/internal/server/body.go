package server

import (
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Bodies are read whole into memory that is counted over all requests, but for bulk
// loads, which are read by line.

// budget counts the bytes of bodies in memory.
type budget struct {
	used atomic.Int64
	most int64
}

func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.most {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// maxZstdWindow is the largest window of a zstd stream that is read: what the
// format asks every decoder to support.
const maxZstdWindow = 8 << 20

// decompressed returns the body without its Content-Encoding; release gives back
// what decoding took.
func decompressed(r *http.Request, body io.Reader) (_ io.Reader, release func(), err error) {
	switch enc := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); enc {
	case "", "identity":
		return body, func() {}, nil
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, nil, badBody(err)
		}
		return z, func() { _ = z.Close() }, nil
	case "zstd":
		z, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	default:
		return nil, nil, failf(http.StatusUnsupportedMediaType, "unsupported_encoding", "Content-Encoding %.40q: use gzip, zstd or none", enc)
	}
}

// badBody is the answer to an error of reading a body.
func badBody(err error) error {
	var large *http.MaxBytesError
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &large):
		return tooLarge("the body has more than %d bytes", large.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return failf(http.StatusRequestTimeout, "slow_body", "the body did not come in time")
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.Is(err, zstd.ErrMagicMismatch):
		return badRequest("the body is not what its Content-Encoding says: %v", err)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return tooLarge("the body needs too much memory to decompress: %v", err)
	}
	return badRequest("the body cannot be read: %v", err)
}

// body reads the request's whole body. What it takes is counted until the request
// ends.
func (q *request) body() ([]byte, error) {
	l := &q.s.limits
	if q.r.ContentLength > int64(l.Body) {
		return nil, tooLarge("the body has %d bytes, the limit is %d", q.r.ContentLength, l.Body)
	}
	q.readDeadline(time.Now().Add(l.ReadTimeout))
	src, release, err := decompressed(q.r, http.MaxBytesReader(q.w, q.r.Body, int64(l.Body)))
	if err != nil {
		return nil, err
	}
	defer release()
	var out []byte
	for buf := make([]byte, 32<<10); ; {
		n, err := src.Read(buf)
		need := len(out) + n
		if int64(need) > int64(l.Decompressed) {
			return nil, tooLarge("the body has more than %d bytes when decompressed", l.Decompressed)
		}
		if need > cap(out) {
			grown := max(need, 2*cap(out))
			if !q.takeMemory(int64(grown)) {
				return nil, errMemory
			}
			bigger := make([]byte, len(out), grown)
			copy(bigger, out)
			q.giveMemory(int64(cap(out)))
			out = bigger
		}
		out = append(out, buf[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, badBody(err)
		}
	}
	// Without a deadline the connection may be watched for the client's leaving.
	q.readDeadline(time.Time{})
	return out, nil
}

func (q *request) takeMemory(n int64) bool {
	if !q.s.memory.take(n) {
		return false
	}
	q.memory += n
	return true
}

func (q *request) giveMemory(n int64) {
	q.s.memory.give(n)
	q.memory -= n
}

// readDeadline bounds the reading of the body. Transports without deadlines have
// none.
func (q *request) readDeadline(t time.Time) {
	_ = http.NewResponseController(q.w).SetReadDeadline(t)
}

// mediaType is the type of the body without parameters, in lower case.
func mediaType(r *http.Request) string {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}
