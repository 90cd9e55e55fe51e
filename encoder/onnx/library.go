package onnx

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// libraryNames are the file names of the shared library on this system.
func libraryNames() []string {
	switch runtime.GOOS {
	case "windows":
		return []string{"onnxruntime.dll"}
	case "darwin":
		return []string{"libonnxruntime.dylib", "libonnxruntime.1.dylib"}
	}
	return []string{"libonnxruntime.so", "libonnxruntime.so.1"}
}

// Library finds ONNX Runtime's shared library: the given path, then
// $COLBERTDB_ONNXRUNTIME, $ONNXRUNTIME_SHARED_LIBRARY_PATH, lib/ beside the
// program, the user's cache folder, and the system's library folders. A folder
// stands for the library in it.
func Library(given string) (string, error) {
	var tried []string
	try := func(what, path string) string {
		if path == "" {
			return ""
		}
		candidates := []string{path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			candidates = candidates[:0]
			for _, n := range libraryNames() {
				candidates = append(candidates, filepath.Join(path, n))
			}
		}
		for _, c := range candidates {
			if info, err := os.Stat(c); err == nil && !info.IsDir() {
				return c
			}
			tried = append(tried, fmt.Sprintf("  %s (%s)", c, what))
		}
		return ""
	}
	type place struct{ what, path string }
	places := []place{
		{"option", given},
		{"$COLBERTDB_ONNXRUNTIME", os.Getenv("COLBERTDB_ONNXRUNTIME")},
		{"$ONNXRUNTIME_SHARED_LIBRARY_PATH", os.Getenv("ONNXRUNTIME_SHARED_LIBRARY_PATH")},
	}
	for _, p := range places {
		if found := try(p.what, p.path); found != "" {
			return found, nil
		}
		if p.path != "" { // named and not there: nothing else is silently taken
			return "", notFound(tried)
		}
	}
	if exe, err := os.Executable(); err == nil {
		places = append(places, place{"beside the program", filepath.Join(filepath.Dir(exe), "lib")})
	}
	if cache, err := os.UserCacheDir(); err == nil {
		places = append(places, place{"cache folder", filepath.Join(cache, "colbertdb", "lib")})
	}
	for _, dir := range systemFolders() {
		places = append(places, place{"system", dir})
	}
	for _, p := range places[3:] {
		for _, n := range libraryNames() {
			if found := try(p.what, filepath.Join(p.path, n)); found != "" {
				return found, nil
			}
		}
	}
	return "", notFound(tried)
}

// systemFolders are where the system's loader looks.
func systemFolders() []string {
	switch runtime.GOOS {
	case "windows":
		return filepath.SplitList(os.Getenv("PATH"))
	case "darwin":
		return append(filepath.SplitList(os.Getenv("DYLD_LIBRARY_PATH")), "/opt/homebrew/lib", "/usr/local/lib")
	}
	return append(filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")), "/usr/local/lib", "/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")
}

func notFound(tried []string) error {
	return fmt.Errorf("%w: its shared library is in none of these places:\n%s\nIn the source folder of colbertdb, `make onnxruntime` fetches it; elsewhere, set COLBERTDB_ONNXRUNTIME to its path",
		ErrRuntime, strings.Join(tried, "\n"))
}
