package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hubOf serves a model folder as the hub does, to those who have the token.
func hubOf(t *testing.T, dir string) *httptest.Server {
	const commit = "89abcdef0123456789abcdef0123456789abcdef"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer hf_secret" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/api/models/maker/tiny/revision/main" {
			var siblings []any
			files, err := os.ReadDir(dir)
			if err != nil {
				t.Error(err)
			}
			for _, f := range files {
				b, err := os.ReadFile(filepath.Join(dir, f.Name()))
				if err != nil {
					t.Error(err)
				}
				sum := sha256.Sum256(b)
				siblings = append(siblings, map[string]any{"rfilename": f.Name(), "lfs": map[string]any{"sha256": hex.EncodeToString(sum[:]), "size": len(b)}})
			}
			if err := json.NewEncoder(w).Encode(map[string]any{"sha": commit, "tags": []string{"license:cc-by-nc-4.0"}, "siblings": siblings}); err != nil {
				t.Error(err)
			}
			return
		}
		if name, ok := strings.CutPrefix(r.URL.Path, "/maker/tiny/resolve/"+commit+"/"); ok {
			http.ServeFile(w, r, filepath.Join(dir, name))
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// A model is pulled, listed, used by its name and removed.
func TestModelPull(t *testing.T) {
	dir := tinyModel(t)
	s := hubOf(t, dir)
	cache := t.TempDir()
	t.Setenv("COLBERTDB_MODELS", cache)
	t.Setenv("HF_ENDPOINT", s.URL)
	t.Setenv("HF_TOKEN", "")
	t.Setenv("HUGGING_FACE_HUB_TOKEN", "")
	if status, _, errs := colbertdb("model", "pull", "maker/tiny"); status != exitError || !strings.Contains(errs, "HF_TOKEN") {
		t.Errorf("status %d, %s", status, errs)
	}
	t.Setenv("HF_TOKEN", "hf_secret")
	status, out, errs := colbertdb("model", "pull", "maker/tiny")
	if status != exitOK || !strings.Contains(errs, "cc-by-nc-4.0: not for commercial use") {
		t.Fatalf("status %d, %s%s", status, out, errs)
	}
	folder := strings.TrimSpace(out)
	for _, name := range []string{"model.onnx", "tokenizer.json", "onnx_config.json", "README.md"} {
		a, errA := os.ReadFile(filepath.Join(dir, name))
		b, errB := os.ReadFile(filepath.Join(folder, name))
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Errorf("%s differs: %v, %v", name, errA, errB)
		}
	}
	if status, out, errs = colbertdb("model", "list"); status != exitOK || !strings.Contains(out, "maker/tiny@main") || !strings.Contains(out, "not for commercial use") {
		t.Error(out, errs)
	}
	var list []pulledModel
	if status, out, errs = colbertdb("model", "list", "--json"); status != exitOK || json.Unmarshal([]byte(out), &list) != nil || len(list) != 1 || list[0].Folder != folder {
		t.Error(out, errs)
	}
	if status, out, errs = colbertdb("model", "inspect", "maker/tiny?query_length=9"); status != exitOK || !strings.Contains(out, "9 (overrides)") {
		t.Error(out, errs)
	}
	if info, err := modelInfo(t.Context(), "maker/tiny@89abcdef?query_length=9"); err != nil || info.Location != folder+"?query_length=9" {
		t.Errorf("%+v, %v", info, err)
	}
	if status, _, errs = colbertdb("model", "rm", "maker/tiny"); status != exitOK || !strings.Contains(errs, "removed maker/tiny") {
		t.Error(errs)
	}
	if status, _, errs = colbertdb("model", "inspect", "maker/tiny"); status != exitError || !strings.Contains(errs, "model pull maker/tiny") {
		t.Errorf("status %d, %s", status, errs)
	}
	for _, args := range [][]string{{"pull", "tiny"}, {"rm", "../x"}} {
		if status, _, _ := colbertdb(append([]string{"model"}, args...)...); status != exitUsage {
			t.Errorf("%v: status %d", args, status)
		}
	}
	if status, out, _ = colbertdb("model", "list"); status != exitOK || out != "" {
		t.Error(out)
	}
}
