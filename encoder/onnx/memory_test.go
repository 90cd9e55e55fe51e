package onnx_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/encoder/onnx"
)

// mostMemory is what a process may need to encode a document of 8,192 tokens with a
// model of base size.
const mostMemory = 4_000_000_000

// A process of its own encodes the longest document of the golden file and says what
// it needed at most. $COLBERTDB_JINA names a model folder of base size.
func TestLongDocumentMemory(t *testing.T) {
	dir := os.Getenv("COLBERTDB_JINA")
	if dir == "" {
		t.Skip("COLBERTDB_JINA names no folder of base size")
	}
	needRuntime(t)
	if os.Getenv("COLBERTDB_MEASURED") == "" {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestLongDocumentMemory$", "-test.v")
		cmd.Env = append(os.Environ(), "COLBERTDB_MEASURED=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, line := range strings.Split(string(out), "\n") {
			if bytes, ok := strings.CutPrefix(line, "VmHWM "); ok {
				n, err := strconv.ParseInt(bytes, 10, 64)
				t.Logf("8,192 tokens took %d MB at most", n/1e6)
				if err != nil || n > mostMemory {
					t.Errorf("%s bytes, %v", bytes, err)
				}
				return
			}
		}
		t.Fatalf("the process did not say what it needed:\n%s", out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden jinaGolden
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, d := range golden.Documents {
		if d.Length == 8192 {
			text = d.Text
		}
	}
	enc, err := onnx.OpenDir(dir, onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := enc.EncodeDocuments(context.Background(), []string{text})
	if err != nil || out[0].Vectors.Len() != 8192 {
		t.Fatalf("%d vectors: %v", out[0].Vectors.Len(), err)
	}
	if err := enc.Close(); err != nil {
		t.Error(err)
	}
	fmt.Println("VmHWM", highWater(t))
}

// highWater is the most memory that this process had at once.
func highWater(t *testing.T) int64 { return status(t, "VmHWM:") }

func status(t *testing.T, name string) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err) // Linux alone tells
	}
	for _, line := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, name); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatalf("no %s", name)
	return 0
}
