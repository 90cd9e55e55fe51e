package benchdoc

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/colbertdb-go/colbertdb/codec"
)

// Machine is where figures come from.
type Machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"` // that Go uses
	Kernels  string `json:"kernels"`
	Platform string `json:"platform"`
	Go       string `json:"go"`
	Revision string `json:"revision,omitempty"`
	Date     string `json:"date"`
}

// ThisMachine describes this one, running the program of a revision.
func ThisMachine(revision string) Machine {
	return Machine{
		CPU: cpuModel(), Cores: runtime.GOMAXPROCS(0), Kernels: codec.Kernels(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), Revision: revision, Date: time.Now().Format(time.DateOnly),
	}
}

// String is the description in one line.
func (m Machine) String() string {
	s := fmt.Sprintf("%s, %d cores, %s kernels, %s, %s", m.CPU, m.Cores, m.Kernels, m.Platform, m.Go)
	if m.Revision != "" {
		s += fmt.Sprintf(", commit %.8s", m.Revision)
	}
	return s + ", " + m.Date
}

// cpuModel is the processor's name, where the system tells it in a file.
func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo") // no such file: nothing is known
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
