package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
)

// After a load that stops in the middle of its body the connection serves the next
// request, whatever was still to come.
func TestConnectionAfterALoadThatStops(t *testing.T) {
	i := start(t, server.Options{})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(i.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	answer := func(what string) (int, string) {
		t.Helper()
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return resp.StatusCode, string(b)
	}
	for n := range 20 {
		body := fmt.Sprintf("{\"id\":\"m%d\",\"text\":\"one\"}\n{\n%s", n, strings.Repeat("{\"id\":\"more\",\"text\":\"more\"}\n", 20*n*n))
		fmt.Fprintf(conn, "POST /v1/collections/notes/documents HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		if status, b := answer("load"); status != 200 || !strings.Contains(b, "error") {
			t.Fatalf("load %d: %d %s", n, status, b)
		}
		fmt.Fprintf(conn, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if status, b := answer("the request after it"); status != 200 {
			t.Fatalf("after load %d: %d %s", n, status, b)
		}
	}
}
