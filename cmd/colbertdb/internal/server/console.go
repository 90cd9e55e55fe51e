package server

import (
	"embed"
	"net/http"
	"path"
	"strconv"
)

// The console is a page that uses the interface under /v1 as any client does: what
// it may do is what the key may that is typed into it. Its files are as they are
// served; nothing builds them.
//
//go:embed ui
var consoleFiles embed.FS

// consolePolicy lets the page load its own files, ask its own server, and nothing
// else; no text can become markup or a script.
const consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// console answers with the page.
func console(q *request) error { return q.consoleFile("index.html") }

// consoleFile answers with what the page loads.
func consoleFile(q *request) error { return q.consoleFile(q.r.PathValue("file")) }

func (q *request) consoleFile(name string) error {
	b, err := consoleFiles.ReadFile(path.Join("ui", path.Base(name)))
	if err != nil {
		return failf(http.StatusNotFound, "not_found", "the console has no %.80q", name)
	}
	h := q.w.Header()
	h.Set("Content-Security-Policy", consolePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", consoleType(name))
	h.Set("Content-Length", strconv.Itoa(len(b)))
	q.w.WriteHeader(http.StatusOK)
	_, err = q.w.Write(b)
	return err
}

// consoleType is a file's type, whatever the machine's tables say.
func consoleType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".html":
		return "text/html; charset=utf-8"
	}
	return "application/octet-stream"
}
