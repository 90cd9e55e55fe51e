package render

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Bar draws one line of progress over and over. A nil Bar draws nothing.
type Bar struct {
	w       io.Writer
	style   Style
	start   time.Time
	last    time.Time
	now     func() time.Time
	started bool
}

// NewBar draws on a terminal of the style's width.
func NewBar(w io.Writer, s Style) *Bar {
	return &Bar{w: w, style: s, start: time.Now(), now: time.Now}
}

// refresh is the least time between two drawings.
const refresh = 100 * time.Millisecond

// Update shows the share done, the documents read, those stored and the tokens
// encoded.
func (b *Bar) Update(done, total, read, stored, tokens int64) {
	b.draw(func(elapsed time.Duration) string { return b.line(elapsed, done, total, read, stored, tokens) })
}

// UpdateBytes shows the share of bytes done.
func (b *Bar) UpdateBytes(done, total int64) {
	b.draw(func(elapsed time.Duration) string {
		return share(done, total) + Bytes(done) + " of " + Bytes(total) + left(elapsed, done, total)
	})
}

func (b *Bar) draw(line func(elapsed time.Duration) string) {
	if b == nil {
		return
	}
	now := b.now()
	if b.started && now.Sub(b.last) < refresh {
		return
	}
	b.started, b.last = true, now
	fmt.Fprint(b.w, "\r", Cut(line(now.Sub(b.start)), b.style.width()-1), "\x1b[K")
}

func (b *Bar) line(elapsed time.Duration, done, total, read, stored, tokens int64) string {
	var s strings.Builder
	s.WriteString(share(done, total))
	fmt.Fprintf(&s, "%s passages", Count(read))
	if stored > 0 {
		fmt.Fprintf(&s, ", %s encoded", Count(stored))
	}
	if seconds := elapsed.Seconds(); seconds > 0.5 && tokens > 0 {
		fmt.Fprintf(&s, ", %s tokens/s", Count(int64(float64(tokens)/seconds)))
	}
	s.WriteString(left(elapsed, done, total))
	return s.String()
}

// share draws how much of a known total is done.
func share(done, total int64) string {
	if total <= 0 {
		return ""
	}
	const cells = 20
	part := min(float64(done)/float64(total), 1)
	full := int(part * cells)
	return fmt.Sprintf("%s%s %3.0f%%  ", strings.Repeat("█", full), strings.Repeat("░", cells-full), 100*part)
}

// left estimates the time that the rest takes, once there is ground for it.
func left(elapsed time.Duration, done, total int64) string {
	if total <= 0 || done <= 0 || done >= total || elapsed <= 2*time.Second {
		return ""
	}
	return fmt.Sprintf(", %s left", Duration(time.Duration(float64(elapsed)*(float64(total)/float64(done)-1))))
}

// Close clears the line.
func (b *Bar) Close() {
	if b != nil && b.started {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}

// Count writes a number with thousands separators.
func Count(n int64) string {
	s := fmt.Sprint(n)
	digits := strings.TrimPrefix(s, "-")
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	if n < 0 {
		return "-" + digits
	}
	return digits
}

// Bytes writes a size in the unit that gives it three digits.
func Bytes(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, u := float64(n)/1024, 0
	for f >= 999.5 && u < len(units)-1 {
		f /= 1024
		u++
	}
	digits := 2
	if f >= 100 {
		digits = 0
	} else if f >= 10 {
		digits = 1
	}
	return fmt.Sprintf("%.*f %ciB", digits, f, units[u])
}

// Duration writes a time as people say it: 840 µs, 12.3 ms, 4.5 s, 3 min, 2 h 5 min.
func Duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1e3)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}
