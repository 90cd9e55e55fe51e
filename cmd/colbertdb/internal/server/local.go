package server

import (
	"net"
	"net/http"
	"strings"
)

// A server without keys listens on loopback and trusts everybody there. A web page
// must not count as everybody: it can send requests to 127.0.0.1 from a visitor's
// machine, by that address or by a name of its own that it lets lead there.

// IsLoopback reports whether an address, host or host:port, is of this machine.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// local refuses requests that a page of another site has made a browser send.
func (q *request) local() error {
	if err := q.s.crossOrigin.Check(q.r); err != nil {
		return failf(http.StatusForbidden, "cross_origin", "a page of another site may not do this")
	}
	if q.s.keys.open() && !q.s.anyHost && !IsLoopback(q.r.Host) {
		return failf(http.StatusForbidden, "host", "without keys the server answers to localhost only, not to Host: %.80q", q.r.Host)
	}
	return nil
}
