package benchdoc

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const document = `# Figures

<!-- bench one -->

    colbertdb eval $DATA/a --seed 1
    go test ./b

Machine.

| table |
|---|

    an indented line that is no command

<!-- end -->

Prose.

<!-- bench two -->
<!-- end -->
`

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSections(t *testing.T) {
	got, err := Sections(write(t, document))
	want := []Section{{"one", []string{"colbertdb eval $DATA/a --seed 1", "go test ./b"}, 3}, {"two", nil, 19}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v, want %+v", got, err, want)
	}
	for text, want := range map[string]string{
		"<!-- bench a -->\n<!-- bench b -->\n<!-- end -->\n": `line 2: "b" begins before "a"`,
		"x\n<!-- bench a -->\n":                              `line 2: no line "<!-- end -->"`,
	} {
		if _, err := Sections(write(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// Only what lies between the markers changes, and writing the same again changes
// nothing.
func TestWriteSection(t *testing.T) {
	path := write(t, document)
	for range 2 {
		if err := WriteSection(path, "one", "    new command\n\nnew\n"); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, _ := strings.Cut(document, "\n    colbertdb")
		_, after, _ := strings.Cut(rest, endMark)
		if want := before + "\n    new command\n\nnew\n\n" + endMark + after; string(got) != want {
			t.Fatalf("%s\nwant\n%s", got, want)
		}
	}
	if err := WriteSection(path, "two", "text"); err != nil {
		t.Fatal(err)
	}
	if got, err := Sections(path); err != nil || len(got) != 2 || got[0].Commands[0] != "new command" {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := WriteSection(path, "three", "text"); err == nil || !strings.Contains(err.Error(), "three") {
		t.Fatalf("a section that is not there: %v", err)
	}
}
