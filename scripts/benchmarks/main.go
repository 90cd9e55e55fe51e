// Command benchmarks measures docs/benchmarks.md anew: it runs the commands that its
// sections have (internal/benchdoc) and puts what they print in their place,
// with the machine, the commit and the date.
//
//	DATA=DIR go run ./scripts/benchmarks [-only REGEXP] [-list] [FILE]
//
// Commands are those of a shell, in the repository's root, with the program built from
// it as `colbertdb`. They name folders by variables: DATA has test collections, VECTORS
// keeps what the model makes of them. A section is left as it is, and named, where a
// variable is not set, where a path that it names is not there, or where a command
// fails.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/colbertdb-go/colbertdb/internal/benchdoc"
)

func main() {
	only := flag.String("only", "", "sections whose names match a regular expression; default: all")
	list := flag.Bool("list", false, "say what would run")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	doc := flag.Arg(0)
	if doc == "" {
		doc = "docs/benchmarks.md"
	}
	if err := run(ctx, doc, *only, *list); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, doc, only string, list bool) (err error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	sections, err := benchdoc.Sections(doc)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "benchmarks-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	revision := ""
	if !list {
		if err := shell(ctx, os.Stderr, "go build -o '"+tmp+"' ./cmd/colbertdb"); err != nil {
			return err
		}
		if err := os.Setenv("PATH", tmp+string(os.PathListSeparator)+os.Getenv("PATH")); err != nil {
			return err
		}
		if revision, err = commit(ctx); err != nil {
			return err
		}
	}
	failed := 0
	for _, s := range sections {
		if !wanted.MatchString(s.Name) {
			continue
		}
		if reason := missing(s.Commands); reason != "" {
			fmt.Printf("%s: left as it is: %s\n", s.Name, reason)
			continue
		}
		if list {
			fmt.Printf("%s:\n    %s\n", s.Name, strings.Join(s.Commands, "\n    "))
			continue
		}
		start := time.Now()
		text, err := measure(ctx, s.Commands, revision)
		if err == nil {
			err = benchdoc.WriteSection(doc, s.Name, text)
		}
		if err != nil {
			failed++
			fmt.Printf("%s: left as it is: %v\n", s.Name, err)
			continue
		}
		fmt.Printf("%s: measured in %s\n", s.Name, time.Since(start).Round(time.Second))
	}
	if failed > 0 {
		return fmt.Errorf("%d sections could not be measured", failed)
	}
	return ctx.Err()
}

var (
	variable = regexp.MustCompile(`\$\{?([A-Z][A-Z0-9_]*)\}?`)
	path     = regexp.MustCompile(`\$\{?[A-Z][A-Z0-9_]*\}?/[^\s'";|&]+`)
)

// missing says why commands cannot run here, "" when they can.
func missing(commands []string) string {
	if len(commands) == 0 {
		return "it has no command"
	}
	for _, c := range commands {
		for _, v := range variable.FindAllStringSubmatch(c, -1) {
			if os.Getenv(v[1]) == "" {
				return v[1] + " is not set"
			}
		}
		for _, p := range path.FindAllString(c, -1) {
			if strings.Contains(p, "VECTORS") { // which commands fill
				continue
			}
			p = os.ExpandEnv(p)
			if _, err := os.Stat(p); errors.Is(err, fs.ErrNotExist) {
				return filepath.Clean(p) + " is not there"
			}
		}
	}
	return ""
}

// measure runs commands and returns the text of their section.
func measure(ctx context.Context, commands []string, revision string) (string, error) {
	var text strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&text, "    %s\n", c)
	}
	fmt.Fprintf(&text, "\n%s.\n", benchdoc.ThisMachine(revision))
	for _, c := range commands {
		var out bytes.Buffer
		if err := shell(ctx, &out, c); err != nil {
			return "", fmt.Errorf("%s: %w", c, err)
		}
		printed := strings.Trim(strings.ReplaceAll(out.String(), "<!-- end -->", ""), "\n")
		if !strings.Contains("\n"+printed, "\n|") { // no table: as it stands
			printed = "```\n" + printed + "\n```"
		}
		fmt.Fprintf(&text, "\n%s\n", printed)
	}
	return text.String(), nil
}

// commit is the repository's, marked where a file other than a document has changed.
func commit(ctx context.Context) (string, error) {
	head, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=7", "HEAD").Output()
	if err != nil {
		return "", fmt.Errorf("git rev-parse: %w", err)
	}
	changed, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs").Output()
	if err != nil {
		return "", fmt.Errorf("git status: %w", err)
	}
	if len(changed) > 0 {
		return strings.TrimSpace(string(head)) + "+", nil
	}
	return strings.TrimSpace(string(head)), nil
}

// shell runs a command line.
func shell(ctx context.Context, stdout io.Writer, command string) error {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Stdout, cmd.Stderr = stdout, os.Stderr
	return cmd.Run()
}
