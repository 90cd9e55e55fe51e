package server_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// chromium is a headless browser, spoken to over pipes in its DevTools protocol:
// messages of JSON, each ended by a zero byte. It has one page.
type chromium struct {
	t       testing.TB
	to      *os.File
	session string
	next    int

	mu      sync.Mutex
	answers map[int]chan answerOf
	closed  error
	asked   []string // requests of the page: method and URL
	faults  []string // exceptions, and what it logged as an error
}

type answerOf struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

// browserTime is what anything in the browser may take, on a busy machine too.
const browserTime = 2 * time.Minute

// findChromium is the path of a Chromium, "" where none is installed.
func findChromium() string {
	for _, name := range []string{os.Getenv("COLBERTDB_CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome-headless-shell"} {
		if name == "" {
			continue
		}
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	return ""
}

// startChromium starts a browser that reaches this machine only; the test is skipped
// where there is none, or none that starts.
func startChromium(t testing.TB) *chromium {
	t.Helper()
	path := findChromium()
	if path == "" {
		t.Skip("no Chromium is installed; COLBERTDB_CHROMIUM may name one")
	}
	ours, theirs := make([]*os.File, 2), make([]*os.File, 2)
	var err error
	for i := range 2 {
		if theirs[i], ours[i], err = os.Pipe(); err != nil {
			t.Fatal(err)
		}
	}
	ours[1], theirs[1] = theirs[1], ours[1] // the second leads back
	profile, err := os.MkdirTemp("", "chromium")
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(path, "--headless=new", "--remote-debugging-pipe", "--user-data-dir="+profile, "--no-sandbox", "--disable-gpu",
		"--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--disable-extensions", "--hide-scrollbars", "--lang=en", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "about:blank")
	cmd.ExtraFiles, cmd.Stderr = theirs, &said
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Start()
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		t.Skipf("%s does not start: %v", path, err)
	}
	b := &chromium{t: t, to: ours[0], answers: map[int]chan answerOf{}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		b.read(ours[1])
	}()
	t.Cleanup(func() {
		b.send("", "Browser.close", nil)
		ended := make(chan struct{})
		go func() { defer close(ended); _ = cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		ours[0].Close()
		ours[1].Close()
		<-read
		for line := range strings.Lines(said.String()) {
			if t.Failed() && !strings.Contains(line, "dbus") { // which headless machines lack
				t.Logf("the browser said: %s", line)
			}
		}
		for range 20 { // its helpers may still be writing to it
			if os.RemoveAll(profile) == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	var target struct{ TargetID string }
	if err := b.try(&target, "Target.createTarget", map[string]any{"url": "about:blank"}); err != nil {
		t.Skipf("%s does not work here: %v", path, err)
	}
	var attached struct{ SessionID string }
	b.call(&attached, "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true})
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Network", "Log", "DOM"} {
		b.call(nil, domain+".enable", nil)
	}
	return b
}

// read gives messages to those who wait, and takes notes of events.
func (b *chromium) read(from io.Reader) {
	r := bufio.NewReaderSize(from, 1<<20)
	for {
		line, err := r.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			b.closed = err
			for _, c := range b.answers {
				close(c)
			}
			clear(b.answers)
			b.mu.Unlock()
			return
		}
		var m struct {
			answerOf
			ID     int
			Method string
			Params struct {
				Request          struct{ URL, Method string }
				ExceptionDetails struct {
					Text      string
					Exception struct{ Description string }
				}
				Entry struct{ Level, Text, URL string }
			}
		}
		if json.Unmarshal(line[:len(line)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		switch {
		case m.ID != 0:
			if c := b.answers[m.ID]; c != nil {
				c <- m.answerOf
				delete(b.answers, m.ID)
			}
		case m.Method == "Network.requestWillBeSent":
			b.asked = append(b.asked, m.Params.Request.Method+" "+m.Params.Request.URL)
		case m.Method == "Runtime.exceptionThrown":
			b.faults = append(b.faults, m.Params.ExceptionDetails.Text+" "+m.Params.ExceptionDetails.Exception.Description)
		case m.Method == "Log.entryAdded" && m.Params.Entry.Level == "error":
			b.faults = append(b.faults, m.Params.Entry.Text+" "+m.Params.Entry.URL)
		}
		b.mu.Unlock()
	}
}

// send sends a command and returns where its answer will be.
func (b *chromium) send(session, method string, params any) chan answerOf {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	c := make(chan answerOf, 1)
	m := map[string]any{"id": b.next, "method": method, "params": params}
	if params == nil {
		m["params"] = map[string]any{}
	}
	if session != "" {
		m["sessionId"] = session
	}
	line, err := json.Marshal(m)
	if err == nil && b.closed == nil {
		b.answers[b.next] = c
		_, err = b.to.Write(append(line, 0))
	}
	if err != nil || b.closed != nil {
		delete(b.answers, b.next)
		close(c)
	}
	return c
}

// call runs a command and reads its result.
func (b *chromium) call(out any, method string, params any) {
	b.t.Helper()
	if err := b.try(out, method, params); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
}

func (b *chromium) try(out any, method string, params any) error {
	select {
	case a, ok := <-b.send(b.session, method, params):
		switch {
		case !ok:
			return errors.New("the browser has ended")
		case a.Error != nil:
			return errors.New(a.Error.Message)
		case out != nil:
			return json.Unmarshal(a.Result, out)
		}
		return nil
	case <-time.After(browserTime):
		return errors.New("no answer")
	}
}

// eval evaluates an expression in the page; promises are waited for.
func (b *chromium) eval(expression string, out any) {
	b.t.Helper()
	if err := b.tryEval(expression, out); err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
}

func (b *chromium) tryEval(expression string, out any) error {
	var got struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	if err := b.try(&got, "Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}); err != nil {
		return err
	}
	if e := got.ExceptionDetails; e != nil {
		return fmt.Errorf("%s %s", e.Text, e.Exception.Description)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(got.Result.Value, out)
}

// wait waits until an expression is true in the page, which may be about to be
// replaced by another.
func (b *chromium) wait(expression string) {
	b.t.Helper()
	for end := time.Now().Add(browserTime); ; time.Sleep(20 * time.Millisecond) {
		var is bool
		err := b.tryEval("!!("+expression+")", &is)
		if err == nil && is {
			return
		}
		if time.Now().After(end) {
			var text string
			_ = b.tryEval("document.body.innerText", &text)
			b.t.Fatalf("it never came that %s (%v); the page is\n%s", expression, err, text)
		}
	}
}

// open goes to an address and waits for the console.
func (b *chromium) open(url string) {
	b.t.Helper()
	b.call(nil, "Page.navigate", map[string]any{"url": url})
	b.wait("document.documentElement.dataset.ready")
}

// idle waits until the console has done what it was asked to.
func (b *chromium) idle() {
	b.t.Helper()
	b.wait(`document.querySelector("#main").ariaBusy === "false"`)
}

// view goes to a view of the console.
func (b *chromium) view(name string) {
	b.t.Helper()
	b.click(fmt.Sprintf("nav a[data-view=%q]", name))
	b.wait(fmt.Sprintf("document.title === %q", "colbertdb: "+name))
	b.idle()
}

// click presses the mouse where an element is, which must be what lies on top.
func (b *chromium) click(selector string) {
	b.t.Helper()
	var at struct{ X, Y float64 }
	b.eval(fmt.Sprintf(`(() => {
		const e = document.querySelector(%q);
		e.scrollIntoView({block: "center"});
		const r = e.getClientRects()[0], p = {x: r.x + r.width / 2, y: r.y + r.height / 2};
		const top = document.elementFromPoint(p.x, p.y);
		if (top !== e && !e.contains(top)) throw new Error("covered by " + top?.outerHTML);
		return p;
	})()`, selector), &at)
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		b.call(nil, "Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1})
	}
}

// write types into what has the focus.
func (b *chromium) write(text string) {
	b.t.Helper()
	b.call(nil, "Input.insertText", map[string]any{"text": text})
}

// press presses a key.
func (b *chromium) press(key string) {
	b.t.Helper()
	code := map[string]int{"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "End": 35, "Home": 36, "ArrowDown": 40, "/": 191}[key]
	m := map[string]any{"type": "keyDown", "key": key, "windowsVirtualKeyCode": code}
	switch key {
	case "Enter":
		m["text"] = "\r"
	case "/", " ":
		m["text"] = key
	}
	b.call(nil, "Input.dispatchKeyEvent", m)
	m["type"] = "keyUp"
	delete(m, "text")
	b.call(nil, "Input.dispatchKeyEvent", m)
}

// choose gives files to an input.
func (b *chromium) choose(selector string, files ...string) {
	b.t.Helper()
	var object struct{ Result struct{ ObjectID string } }
	b.call(&object, "Runtime.evaluate", map[string]any{"expression": fmt.Sprintf("document.querySelector(%q)", selector)})
	b.call(nil, "DOM.setFileInputFiles", map[string]any{"files": files, "objectId": object.Result.ObjectID})
}

// look sets the page's width, and whether it is dark.
func (b *chromium) look(width, height int, dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.call(nil, "Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false})
	b.call(nil, "Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}})
}

// shot takes a picture of what is in sight and saves it where COLBERTDB_SCREENSHOTS says.
func (b *chromium) shot(name string) {
	b.t.Helper()
	var got struct{ Data string }
	b.call(&got, "Page.captureScreenshot", nil)
	png, err := base64.StdEncoding.DecodeString(got.Data)
	if err != nil || !bytes.HasPrefix(png, []byte("\x89PNG")) {
		b.t.Fatalf("no picture: %v", err)
	}
	if dir := os.Getenv("COLBERTDB_SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
}

// requests are those of the page so far, without the server's address; one to
// another place is an error.
func (b *chromium) requests(server string) (out []string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.asked {
		method, url, _ := strings.Cut(r, " ")
		path, ok := strings.CutPrefix(url, server)
		if !ok {
			b.t.Errorf("the page asked for %s", r)
		}
		out = append(out, method+" "+path)
	}
	return out
}
