package ingest

import (
	"regexp"
	"strings"
)

// ignoreRules are the .gitignore files of a tree, in the order they were met:
// a folder's before those of its subfolders. The last rule that matches wins.
type ignoreRules struct{ rules []ignoreRule }

type ignoreRule struct {
	dir     string // folder of the .gitignore, "." for the root
	match   *regexp.Regexp
	negated bool
	dirOnly bool
}

// add reads one .gitignore of the folder dir, relative to the root.
func (r *ignoreRules) add(dir, data string) {
	for line := range strings.Lines(data) {
		line = strings.TrimRight(line, "\r\n")
		if !strings.HasSuffix(line, `\ `) {
			line = strings.TrimRight(line, " \t")
		}
		rule := ignoreRule{dir: dir}
		if strings.HasPrefix(line, "#") {
			continue
		}
		if rest, ok := strings.CutPrefix(line, "!"); ok {
			line, rule.negated = rest, true
		}
		if rest, ok := strings.CutSuffix(line, "/"); ok {
			line, rule.dirOnly = rest, true
		}
		if line == "" {
			continue
		}
		anchored := strings.Contains(line, "/")
		re, err := regexp.Compile(ignorePattern(strings.TrimPrefix(line, "/"), anchored))
		if err != nil {
			continue // git, too, lets a malformed pattern match nothing
		}
		rule.match = re
		r.rules = append(r.rules, rule)
	}
}

// ignored reports whether a path relative to the root is left out by its own
// rules; the caller does not descend into an ignored folder.
func (r *ignoreRules) ignored(rel string, isDir bool) bool {
	for i := len(r.rules) - 1; i >= 0; i-- {
		rule := &r.rules[i]
		if rule.dirOnly && !isDir {
			continue
		}
		local := rel
		if rule.dir != "." {
			rest, ok := strings.CutPrefix(rel, rule.dir+"/")
			if !ok {
				continue
			}
			local = rest
		}
		if rule.match.MatchString(local) {
			return !rule.negated
		}
	}
	return false
}

// ignorePattern translates a gitignore pattern: * and ? stay within a path
// element, ** crosses them, and a pattern without a slash matches at any depth.
func ignorePattern(p string, anchored bool) string {
	var b strings.Builder
	b.WriteString("^")
	if !anchored {
		b.WriteString("(?:.*/)?")
	}
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case strings.HasPrefix(p[i:], "**/"):
			b.WriteString("(?:.*/)?")
			i += 2
		case strings.HasPrefix(p[i:], "/**") && i+3 == len(p):
			b.WriteString("/.*")
			i += 2
		case c == '*':
			b.WriteString("[^/]*")
		case c == '?':
			b.WriteString("[^/]")
		case c == '\\' && i+1 < len(p):
			i++
			b.WriteString(regexp.QuoteMeta(p[i : i+1]))
		case c == '[':
			end := strings.IndexByte(p[i+1:], ']')
			if end < 1 {
				b.WriteString(`\[`)
				continue
			}
			class := p[i+1 : i+1+end]
			if rest, ok := strings.CutPrefix(class, "!"); ok {
				class = "^" + rest
			}
			b.WriteString("[" + strings.ReplaceAll(class, `\`, `\\`) + "]")
			i += end + 1
		default:
			b.WriteString(regexp.QuoteMeta(p[i : i+1]))
		}
	}
	b.WriteString("$")
	return b.String()
}
