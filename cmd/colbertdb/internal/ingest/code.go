package ingest

import (
	"path"
	"regexp"
	"strconv"
	"strings"
)

// readCode makes one passage of each top-level declaration of a source file,
// and of each member of a class, with the comments and decorators above it.
// Go is parsed; other languages are cut by their indentation and the words that
// start a declaration, which well-kept code of any of them allows.
func readCode(name, source string) []Passage {
	if lowerExt(name) == ".go" {
		if out, ok := readGo(name, source); ok {
			return out
		}
	}
	lines := strings.SplitAfter(source, "\n")
	lang := languageOf(name)
	var blocks []block
	if lang == nil {
		blocks = blankLineBlocks(lines)
	} else {
		blocks = lang.blocks(lines)
	}
	var out []Passage
	var ids symbolIDs
	for _, b := range blocks {
		text, line := trimBlank(strings.Join(lines[b.from:b.to], ""), b.from+1)
		if strings.TrimSpace(text) == "" {
			continue
		}
		p := Passage{ID: ids.id(name, b.symbol), Path: name, Symbol: b.symbol, Line: line, BodyLine: line}
		if b.member {
			p.Text = b.symbol + "\n" // the class's name is nowhere in a member's lines
			p.Body = len(p.Text)
		}
		p.Text += text
		out = append(out, p)
	}
	return out
}

// symbolIDs names the declarations of one file: "a.py#Parser.next", and "~2"
// behind a symbol that occurs again.
type symbolIDs struct{ used map[string]int }

func (s *symbolIDs) id(file, symbol string) string {
	if s.used == nil {
		s.used = map[string]int{}
	}
	id := file
	if symbol != "" {
		id += "#" + symbol
	}
	s.used[id]++
	if n := s.used[id]; n > 1 {
		id += "~" + strconv.Itoa(n)
	}
	return id
}

// block is a range of lines, from 0, end exclusive.
type block struct {
	from, to int
	symbol   string
	member   bool
}

// Blocks without declarations are joined until they have this many lines.
const targetLines = 40

// blankLineBlocks cuts at blank lines, joining short blocks.
func blankLineBlocks(lines []string) []block {
	var out []block
	start := 0
	for i, l := range lines {
		if strings.TrimSpace(l) == "" && i-start >= targetLines {
			out = append(out, block{from: start, to: i})
			start = i
		}
	}
	return append(out, block{from: start, to: len(lines)})
}

// language says how declarations look. The last capture group of a pattern
// that takes part in the match is the symbol.
type language struct {
	decl    *regexp.Regexp // at the left margin
	class   *regexp.Regexp // a declaration whose members are declarations of their own
	member  *regexp.Regexp // an indented declaration in a class
	comment []string       // how a line that belongs to the next declaration starts
}

var slashComments = []string{"//", "/*", "*", "@", "#["}

const modifiers = `(?:(?:export|default|declare|public|private|protected|internal|static|final|abstract|sealed|async|override|open|virtual|inline|constexpr|extern|unsafe|data|partial|readonly|pub(?:\([a-z]+\))?|const)\s+)*`

var (
	pythonLang = &language{
		decl:    regexp.MustCompile(`^(?:async\s+)?(?:def|class)\s+(\w+)`),
		class:   regexp.MustCompile(`^class\s+(\w+)`),
		member:  regexp.MustCompile(`^\s+(?:async\s+)?def\s+(\w+)`),
		comment: []string{"#", "@"},
	}
	rubyLang = &language{
		decl:    regexp.MustCompile(`^(?:def|class|module)\s+([\w.:?!=]+)`),
		class:   regexp.MustCompile(`^(?:class|module)\s+([\w:]+)`),
		member:  regexp.MustCompile(`^\s+def\s+([\w.?!=]+)`),
		comment: []string{"#"},
	}
	scriptLang = &language{ // JavaScript, TypeScript
		decl:    regexp.MustCompile(`^` + modifiers + `(?:function\*?|class|interface|enum|type|namespace|const|let|var)\s+([\w$]+)`),
		class:   regexp.MustCompile(`^` + modifiers + `class\s+([\w$]+)`),
		member:  regexp.MustCompile(`^\s+` + modifiers + `(?:get\s+|set\s+|\*)?([\w$#]+)\s*\([^;]*\{\s*$`),
		comment: slashComments,
	}
	rustLang = &language{
		decl:    regexp.MustCompile(`^` + modifiers + `(?:fn|struct|enum|trait|union|mod|type|static|macro_rules!|impl(?:<[^>]*>)?(?:\s+[\w:<>, ']+\s+for)?)\s+(\w+)`),
		class:   regexp.MustCompile(`^` + modifiers + `(?:trait|impl(?:<[^>]*>)?(?:\s+[\w:<>, ']+\s+for)?)\s+(\w+)`),
		member:  regexp.MustCompile(`^\s+` + modifiers + `fn\s+(\w+)`),
		comment: slashComments,
	}
	curlyLang = &language{ // Java, Kotlin, C#, Scala, Swift, Dart, PHP
		decl:    regexp.MustCompile(`^` + modifiers + `(?:class|interface|enum|record|struct|trait|object|protocol|extension|namespace|fun|func|function|def|typealias)\s+(\w+)`),
		class:   regexp.MustCompile(`^` + modifiers + `(?:class|interface|enum|record|struct|trait|object|protocol|extension|namespace)\s+(\w+)`),
		member:  regexp.MustCompile(`^\s+` + modifiers + `(?:(?:class|interface|enum|record|fun|func|function|def)\s+(\w+)|[\w<>\[\],.?]+\s+(\w+)\s*\([^;=]*$)`),
		comment: slashComments,
	}
	cLang = &language{ // C, C++
		decl:    regexp.MustCompile(`^(?:typedef\s+)?(?:struct|class|union|enum|namespace|template)\b\s*(\w*)|^#\s*define\s+(\w+)\(|^[A-Za-z_][\w\s*&:<>,]*?[\s*&]([\w:~]+)\s*\([^;]*$`),
		class:   regexp.MustCompile(`^class\s+(\w+)`),
		member:  regexp.MustCompile(`^\s+[\w\s*&:<>,~]*?(\w+)\s*\([^;]*\{\s*$`),
		comment: []string{"//", "/*", "*"},
	}
	shellLang = &language{
		decl:    regexp.MustCompile(`^(?:function\s+([\w:-]+)|([\w:-]+)\s*\(\)\s*\{?)`),
		comment: []string{"#"},
	}
	sqlLang = &language{
		decl:    regexp.MustCompile(`(?i)^create\s+(?:or\s+replace\s+)?(?:\w+\s+)?(?:table|view|index|function|procedure|trigger|type)\s+(?:if\s+not\s+exists\s+)?([\w."]+)`),
		comment: []string{"--"},
	}
	luaLang = &language{
		decl:    regexp.MustCompile(`^(?:local\s+)?function\s+([\w.:]+)`),
		comment: []string{"--"},
	}
	protoLang = &language{
		decl:    regexp.MustCompile(`^(?:message|enum|service)\s+(\w+)`),
		comment: []string{"//", "/*", "*"},
	}
)

func languageOf(name string) *language {
	switch lowerExt(name) {
	case ".py", ".pyi":
		return pythonLang
	case ".rb":
		return rubyLang
	case ".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx":
		return scriptLang
	case ".rs":
		return rustLang
	case ".java", ".kt", ".kts", ".cs", ".scala", ".swift", ".dart", ".php":
		return curlyLang
	case ".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".hh":
		return cLang
	case ".sh", ".bash", ".zsh":
		return shellLang
	case ".sql":
		return sqlLang
	case ".lua":
		return luaLang
	case ".proto":
		return protoLang
	}
	return nil
}

// blocks cuts before each declaration's first comment line. What stands before
// the first declaration is a block of its own.
func (l *language) blocks(lines []string) []block {
	var out []block
	open := block{}
	class := ""
	memberIndent := 0
	cut := func(at int, symbol string, member bool) {
		for at > open.from && l.belongsToNext(lines[at-1]) {
			at--
		}
		open.to = at
		out = append(out, open)
		open = block{from: at, symbol: symbol, member: member}
	}
	for i, line := range lines {
		if len(line) > 1000 {
			continue // no declaration, and slow to match
		}
		code := strings.TrimRight(line, "\r\n")
		if code != "" && code[0] != ' ' && code[0] != '\t' {
			if symbol, ok := match(l.decl, code); ok {
				cut(i, symbol, false)
				class, memberIndent = "", 0
				if name, ok := match(l.class, code); ok {
					class = name
				}
			}
			continue
		}
		if class == "" {
			continue
		}
		symbol, ok := match(l.member, code)
		if !ok || notNames[symbol] {
			continue
		}
		indent := len(code) - len(strings.TrimLeft(code, " \t"))
		if memberIndent == 0 {
			memberIndent = indent
		}
		if indent == memberIndent {
			cut(i, class+"."+symbol, true)
		}
	}
	open.to = len(lines)
	return append(out, open)
}

// notNames are words that a member pattern takes for a method's name.
var notNames = map[string]bool{"if": true, "for": true, "while": true, "switch": true, "catch": true, "return": true, "else": true, "do": true, "match": true, "sizeof": true, "new": true, "throw": true}

func match(re *regexp.Regexp, line string) (symbol string, ok bool) {
	if re == nil {
		return "", false
	}
	m := re.FindStringSubmatch(line)
	if m == nil {
		return "", false
	}
	for _, s := range m[1:] {
		if s != "" {
			symbol = s
		}
	}
	return symbol, true
}

func (l *language) belongsToNext(line string) bool {
	t := strings.TrimSpace(line)
	for _, c := range l.comment {
		if strings.HasPrefix(t, c) {
			return true
		}
	}
	return false
}

func lowerExt(name string) string { return strings.ToLower(path.Ext(name)) }
