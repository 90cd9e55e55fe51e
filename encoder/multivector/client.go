package multivector

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/colbertdb-go/colbertdb/encoder"
)

// ErrServer is wrapped by errors about what a server answers, or that it does not.
var ErrServer = errors.New("colbertdb: the encoding server failed")

// statusError is an answer that is no success.
type statusError struct {
	status int
	text   string        // of the answer, its beginning
	after  time.Duration // Retry-After; 0: none
}

func (e *statusError) Error() string {
	s := fmt.Sprintf("it answers %d %s", e.status, http.StatusText(e.status))
	if e.text != "" {
		s += ": " + e.text
	}
	if e.status == http.StatusUnauthorized || e.status == http.StatusForbidden {
		s += "; is its key right?"
	}
	return s
}

// Is makes a server that has too much to do an encoder that has.
func (e *statusError) Is(target error) bool {
	return target == encoder.ErrBusy && (e.status == http.StatusTooManyRequests || e.status == http.StatusServiceUnavailable)
}

// again reports whether sending the request again may help.
func again(err error) bool {
	var s *statusError
	if !errors.As(err, &s) {
		var b badAnswer
		return !errors.As(err, &b) // then the network's
	}
	switch s.status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// badAnswer is an answer that says success and is not to be used.
type badAnswer struct{ error }

func (b badAnswer) Unwrap() error { return b.error }

func badf(format string, args ...any) error { return badAnswer{fmt.Errorf(format, args...)} }

// do sends a request as often as it takes, and decodes an answer of up to limit bytes.
func (e *Encoder) do(ctx context.Context, method, url string, body []byte, limit int64, out any) error {
	for n := 1; ; n++ {
		err := e.once(ctx, method, url, body, limit, out)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fail := func(why string) error { return fmt.Errorf("%w: %s: %w%s", ErrServer, e.where, err, why) }
		if !again(err) {
			return fail("")
		}
		if n > e.o.Retries {
			return fail(fmt.Sprintf(" (%d times)", n))
		}
		// Up to twice as long each time, and never at once with all other clients.
		wait := min(e.o.RetryWait<<min(n-1, 16), e.o.MostWait)
		wait = wait/2 + rand.N(wait/2+1)
		var s *statusError
		if errors.As(err, &s) && s.after > 0 {
			if wait = s.after; wait > e.o.MostWait {
				return fail(fmt.Sprintf(" (it asks to wait %v, longer than %v)", s.after, e.o.MostWait))
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// once sends a request.
func (e *Encoder) once(ctx context.Context, method, url string, body []byte, limit int64, out any) error {
	ctx, cancel := context.WithTimeout(ctx, e.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return badAnswer{err}
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if e.o.Key != "" {
		req.Header.Set("Authorization", "Bearer "+e.o.Key)
	}
	resp, err := e.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return &statusError{resp.StatusCode, message(b), retryAfter(resp.Header.Get("Retry-After"))}
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return err
	case int64(len(b)) > limit:
		return badf("its answer has more than the %d bytes that the texts can make of it", limit)
	}
	if err := json.Unmarshal(b, out); err != nil {
		return badf("its answer is not understood: %w", err)
	}
	return nil
}

// message is the text of an error's answer: of the fields that servers put it in, or
// what there is.
func message(b []byte) string {
	var m struct {
		Message string `json:"message"`
		Detail  any    `json:"detail"`
		Error   any    `json:"error"`
	}
	text := string(b)
	if json.Unmarshal(b, &m) == nil {
		detail, _ := m.Detail.(string)
		fault, _ := m.Error.(string)
		text = cmp.Or(m.Message, detail, fault, text)
	}
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 300 {
		text = string(runes[:300]) + "…"
	}
	return text
}

// retryAfter reads the header, a number of seconds or a date.
func retryAfter(s string) time.Duration {
	if n, err := strconv.ParseInt(s, 10, 32); err == nil {
		return time.Duration(max(0, n)) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(0, time.Until(t))
	}
	return 0
}
