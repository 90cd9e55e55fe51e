package server_test

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// consoleFiles are the console's files by name.
func consoleFiles(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(os.DirFS("ui"), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join("ui", name))
		out[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Every file is served as what it is, under a policy that lets the page reach this
// server alone; nothing else of any folder is served.
func TestConsoleFiles(t *testing.T) {
	i := start(t, server.Options{})
	types := map[string]string{".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
	check := func(address, content string, kind string) {
		t.Helper()
		resp, b := i.send("GET", address, "", nil)
		if resp.StatusCode != 200 || string(b) != content || !strings.HasPrefix(resp.Header.Get("Content-Type"), kind) {
			t.Errorf("%s: status %d, type %q, %d bytes", address, resp.StatusCode, resp.Header.Get("Content-Type"), len(b))
		}
		policy := map[string]string{}
		for d := range strings.SplitSeq(resp.Header.Get("Content-Security-Policy"), ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(d), " ")
			policy[name] = value
		}
		for name, want := range map[string]string{
			"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'", "img-src": "'self'",
			"frame-ancestors": "'none'", "base-uri": "'none'", "form-action": "'none'", "require-trusted-types-for": "'script'",
		} {
			if policy[name] != want {
				t.Errorf("%s: the policy has %s %q, want %q", address, name, policy[name], want)
			}
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: its type may be guessed", address)
		}
	}
	files := consoleFiles(t)
	check("/ui", files["index.html"], "text/html")
	for name, content := range files {
		check("/ui/"+name, content, types[path.Ext(name)])
	}
	for _, name := range []string{"none.js", "..%2Fserver.go", "%2e%2e", "..%2f..%2fgo.mod", "console.go"} {
		i.wantError(404, "not_found", "GET", "/ui/"+name, nil)
	}
	i.wantError(405, "method", "POST", "/ui", nil)
}

// The files name no other place, and hold nothing that their policy forbids.
func TestConsoleStaysAtHome(t *testing.T) {
	address := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s"'<]*`)
	for name, text := range consoleFiles(t) {
		for _, a := range address.FindAllString(text, -1) {
			if a != "http://www.w3.org/2000/svg" { // the name of a language
				t.Errorf("%s names %s", name, a)
			}
		}
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "localStorage", ` style="`, "@import", "url("} {
			if strings.Contains(text, bad) {
				t.Errorf("%s has %s", name, bad)
			}
		}
		if path.Ext(name) == ".html" && regexp.MustCompile(`<script[^>]*>[^<]|\son\w+=`).MatchString(text) {
			t.Errorf("%s has a script of its own", name)
		}
	}
}

// The requests of the console are those of openapi.json.
func TestConsolePaths(t *testing.T) {
	i := start(t, server.Options{})
	doc := readOpenAPI(t, i)
	files := consoleFiles(t)
	n := 0
	for _, m := range regexp.MustCompile(`(?m)^  (\w+): "(/[^"]*)",$`).FindAllStringSubmatch(files["api.js"], -1) {
		n++
		name, p := m[1], m[2]
		if doc.Paths[p] == nil {
			t.Errorf("%s is no path of the interface", p)
		}
		uses := regexp.MustCompile(`"([A-Z]+)", address\("`+name+`"`).FindAllStringSubmatch(files["api.js"], -1)
		if len(uses) == 0 {
			t.Errorf("%s is not used", p)
		}
		for _, u := range uses {
			if doc.Paths[p][strings.ToLower(u[1])] == nil {
				t.Errorf("%s %s is no operation of the interface", u[1], p)
			}
		}
	}
	if n < 8 {
		t.Errorf("%d paths found", n)
	}
	for name, text := range files {
		if name != "api.js" && strings.Contains(text, "fetch(") {
			t.Errorf("%s sends requests of its own", name)
		}
	}
}

// asOperation is the path of openapi.json that a request is for, "" without one.
func asOperation(doc *openAPI, request string) string {
	method, address, _ := strings.Cut(request, " ")
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	for p, ops := range doc.Paths {
		pattern := "^" + regexp.MustCompile(`\{\w+\}`).ReplaceAllString(regexp.QuoteMeta(p), "[^/]+") + "$"
		pattern = regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(pattern, "[^/]+")
		if ops[strings.ToLower(method)] != nil && regexp.MustCompile(pattern).MatchString(u.EscapedPath()) {
			return p
		}
	}
	return ""
}

// The console in a browser: made, filled, searched, looked at and emptied, by mouse
// and by keyboard, wide and narrow, light and dark. It asks this server only, in the
// interface's own words, and nothing goes wrong on the way.
func TestConsole(t *testing.T) {
	b := startChromium(t)
	o := server.Options{}
	if os.Getenv("COLBERTDB_SCREENSHOTS") != "" { // pictures are of the true model
		m, err := bundled.Open()
		if err != nil {
			t.Fatal(err)
		}
		o.Model = m
		t.Cleanup(func() { m.Close() })
	}
	i := start(t, o)
	doc := readOpenAPI(t, i)
	b.look(1100, 800, false)
	b.open(i.url + "/ui#store")

	// A collection is made with the keyboard alone.
	b.wait(`document.querySelector("#new-model option")`)
	b.eval(`document.querySelector("#new-name").focus()`, nil)
	b.write("notes")
	b.press("Enter")
	b.wait(`document.querySelector('#collections [data-name="notes"]')`)

	// Documents are pasted, and come from files.
	b.view("documents")
	b.click("#paste")
	b.write("The cat sleeps on the warm windowsill — a small, grey cat.\n\nIncome tax returns are due at the end of May.")
	b.click("#add-form button.primary")
	b.wait(`document.querySelector("#add-status").textContent.startsWith("2 documents stored")`)
	lines := filepath.Join(t.TempDir(), "lines.jsonl")
	var text strings.Builder
	for n := range 90 {
		fmt.Fprintf(&text, "{\"id\": \"doc %d\", \"text\": %s, \"attributes\": {\"year\": %d, \"place\": \"p%d\"}}\n", n, quote(words(paragraphs[n%len(paragraphs)], 60)), 2000+n, n%3)
	}
	text.WriteString("{\"id\": \"\", \"text\": \"an id is missing\"}\n") // is refused, alone
	if err := os.WriteFile(lines, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	b.choose("#file", lines)
	b.click("#add-form button.primary")
	b.wait(`document.querySelector("#add-status").textContent.startsWith("90 documents stored and searchable; refused: line 91")`)
	b.idle()
	b.wait(`document.querySelectorAll("#documents li").length === 20`)
	b.shot("documents-light")
	b.click("#list-next")
	b.wait(`document.querySelector("#documents b").textContent === "doc 18"`)

	// A search from anywhere on the page: the words that matched are lit.
	b.eval(`document.activeElement.blur()`, nil)
	b.press("/")
	b.wait(`!document.querySelector("#view-search").hidden && document.activeElement.id === "query"`)
	b.write("a small grey cat on the windowsill")
	b.press("Enter")
	b.wait(`document.querySelectorAll("#hits .hit").length === 10`)
	var hit struct {
		ID    string
		Marks []string
	}
	b.eval(`(() => { const h = document.querySelector("#hits .hit");
		return {id: h.querySelector(".id").textContent, marks: [...h.querySelectorAll("mark")].map((m) => m.textContent + " " + getComputedStyle(m).backgroundColor)}; })()`, &hit)
	if !strings.HasSuffix(hit.ID, "#1") || !slices.ContainsFunc(hit.Marks, func(m string) bool { return strings.HasPrefix(m, "cat ") && !strings.Contains(m, "rgba(0, 0, 0, 0)") }) {
		t.Errorf("found %+v", hit)
	}
	b.shot("search-light")

	// MaxSim: what each query token found and what it added, to the hit's score.
	b.click("#hits .hit button.link")
	b.wait(`document.querySelector("#hits .maxsim .tokens button")`)
	var seen struct {
		Sum, Score float64
		Tokens     int
		Query      int
	}
	b.eval(`(() => { const h = document.querySelector("#hits .hit"), s = [...h.querySelectorAll(".share")].map((e) => Number(e.textContent));
		return {sum: s.reduce((a, b) => a + b, 0), score: parseFloat(h.querySelector(".score").textContent), tokens: h.querySelectorAll(".passage .token").length, query: s.length}; })()`, &seen)
	if diff := seen.Sum - seen.Score; diff > 0.05 || diff < -0.05 || seen.Tokens < 2 || seen.Query < 5 {
		t.Errorf("the view's sum is %v, the score %v, of %d query tokens; %d tokens of the passage are lit", seen.Sum, seen.Score, seen.Query, seen.Tokens)
	}
	b.eval(`document.querySelector("#hits .tokens button").focus()`, nil)
	b.wait(`document.querySelector("#hits .tokens button").classList.contains("lit")`)
	b.press("ArrowDown")
	b.wait(`document.activeElement === document.querySelectorAll("#hits .tokens button")[1] && document.activeElement.classList.contains("lit")`)
	b.shot("maxsim-light")

	// A filter is put together, shows as text and is kept to.
	b.click("#filter-box summary")
	b.click("#filter-add")
	b.write("year")
	b.eval(`(() => { const s = document.querySelector(".condition select"); s.value = ">="; s.dispatchEvent(new Event("change")); document.querySelector(".condition input:last-of-type").focus(); })()`, nil)
	b.write("2085")
	b.click("#filter-add")
	b.write("place")
	b.eval(`document.querySelectorAll(".condition")[1].querySelectorAll("input")[1].focus()`, nil)
	b.write("p1")
	b.wait(`document.querySelector("#filter").value === 'year >= 2085 and place = "p1"'`)
	b.click("#search-form button.primary")
	b.idle()
	b.wait(`document.querySelectorAll("#hits .hit").length === 2 && document.querySelector("#search-status").textContent.includes("filter leaves 2")`)
	b.shot("filter-light")
	b.eval(`document.querySelector("#filter").value = "year >"`, nil)
	b.click("#search-form button.primary")
	b.wait(`!document.querySelector("#message").hidden && document.querySelector("#message").textContent.includes("filter")`)

	// The other modes: their scores are named for what they are, and only those that
	// compare vectors have a view of MaxSim.
	b.eval(`document.querySelector("#filter").value = ""; document.querySelector("#query").value = "a small grey cat on the windowsill"`, nil)
	for mode, want := range map[string]struct {
		maxsim bool
		title  string
	}{"bm25": {false, "BM25"}, "rerank": {true, "MaxSim, and the mean similarity of the query's tokens"}, "hybrid": {true, "MaxSim and BM25, fused"}} {
		b.eval(`document.querySelector("#mode").value = "`+mode+`"; document.querySelector("#hits").replaceChildren()`, nil)
		b.click("#search-form button.primary")
		b.wait(`document.querySelector("#hits .hit .chip.term")`)
		var first struct {
			Title  string
			MaxSim bool
			Term   string
		}
		b.eval(`(() => { const h = document.querySelector("#hits .hit");
			return {title: h.querySelector(".score").title, maxsim: !!h.querySelector("button.link"), term: h.querySelector(".chip.term").textContent}; })()`, &first)
		if first.Title != want.title || first.MaxSim != want.maxsim || first.Term == "" {
			t.Errorf("by %s: %+v", mode, first)
		}
		b.shot("search-" + mode)
	}
	b.eval(`document.querySelector("#query-kind").value = "document_id"; document.querySelector("#query-kind").dispatchEvent(new Event("change")); document.querySelector("#query").value = "doc 1"; document.querySelector("#hits").replaceChildren()`, nil)
	b.click("#search-form button.primary") // likeness has no mode
	b.wait(`document.querySelector("#mode").disabled && document.querySelectorAll("#hits .hit").length === 10`)
	b.eval(`document.querySelector("#query-kind").value = "text"; document.querySelector("#query-kind").dispatchEvent(new Event("change")); document.querySelector("#mode").value = "late-interaction"; document.querySelector("#query").value = "a small grey cat on the windowsill"`, nil)

	// The store: health, segments, latency; wide and narrow, in both schemes.
	b.view("store")
	b.wait(`document.querySelector("#collections details svg") && document.querySelector("#server-latency svg")`)
	b.click("#collections details button")
	b.idle()
	b.wait(`document.querySelector("#collections .segment") && document.querySelector("#collections .stack i")`)
	for _, look := range []struct {
		name          string
		width, height int
		dark          bool
	}{{"wide-light", 1100, 800, false}, {"wide-dark", 1100, 800, true}, {"phone-light", 375, 720, false}, {"phone-dark", 375, 720, true}} {
		b.look(look.width, look.height, look.dark)
		for _, view := range []string{"search", "documents", "store"} {
			b.view(view)
			if view == "search" {
				b.eval(`document.querySelector("#filter").value = ""; document.querySelector("#hits").replaceChildren()`, nil)
				b.click("#search-form button.primary")
				b.wait(`document.querySelectorAll("#hits .hit").length === 10`)
				b.click("#hits .hit button.link")
				b.wait(`document.querySelector("#hits .maxsim")`)
			}
			var wide []string
			b.eval(`[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest("[hidden], .hidden, .skip, svg, .bar, option")).map((e) => e.outerHTML.slice(0, 80))`, &wide)
			var width int
			b.eval(`document.documentElement.scrollWidth`, &width)
			if len(wide) > 0 || width > look.width {
				t.Errorf("%s, %s: %d of %d pixels wide; beyond the edge: %q", look.name, view, width, look.width, wide)
			}
			b.shot(view + "-" + look.name)
		}
	}
	b.look(1100, 800, false)

	// A document is deleted, asked for twice.
	b.view("documents")
	b.wait(`document.querySelectorAll("#documents li").length === 20`)
	b.click("#documents li button")
	b.click("#documents li button")
	b.wait(`document.querySelectorAll("#documents li").length === 19`)
	var left wire.Collection
	if i.do(200, "GET", "/v1/collections/notes", nil, &left); left.Documents != 91 {
		t.Errorf("%d documents are left, want 91", left.Documents)
	}

	met := map[string]bool{}
	for _, r := range b.requests(i.url) {
		op := asOperation(doc, r)
		if op == "" {
			t.Errorf("%s is no operation of the interface", r)
		}
		met[op] = true
	}
	for _, p := range []string{"/ui", "/v1/collections/{c}/search", "/v1/collections/{c}/documents", "/v1/collections/{c}/stats", "/metrics"} {
		if !met[p] {
			t.Errorf("the test met no request for %s", p)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		if !strings.Contains(f, "422") { // the filter that is none
			t.Errorf("the browser reports: %s", f)
		}
	}
}

// With keys the console asks for one, says what it may not do, and forgets it with
// the tab.
func TestConsoleAsksForAKey(t *testing.T) {
	b := startChromium(t)
	dir := t.TempDir()
	keys := keyFile(t, filepath.Join(dir, "keys"), [3]string{"reader", "ro", ""}, [3]string{"writer", "rw", ""})
	i := start(t, server.Options{Keys: filepath.Join(dir, "keys")})
	i.key = keys["writer"]
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	i.fill("notes", 20)
	b.call(nil, "Page.navigate", map[string]any{"url": i.url + "/ui#store"})
	b.wait(`document.querySelector("#key-dialog")?.open`)
	b.write("cdb_wrong")
	b.press("Enter")
	b.wait(`document.querySelector("#key-dialog").open && document.querySelector("#key").value === ""`)
	b.write(keys["reader"])
	b.press("Enter")
	b.wait(`document.documentElement.dataset.ready && document.querySelector("#collections li")`)
	b.wait(`document.querySelector("#server-latency").textContent.includes("may not read")`)
	b.click("#collections details button") // compact needs rw
	b.wait(`document.querySelector("#message").textContent.includes("may not do this")`)
	var kept string
	b.eval(`JSON.stringify([Object.keys(sessionStorage), Object.keys(localStorage), document.cookie])`, &kept)
	if kept != `[["colbertdb-key"],[],""]` {
		t.Errorf("the page keeps %s", kept)
	}
}
