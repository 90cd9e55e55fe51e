package encoder

import (
	"bytes"
	"testing"
)

// FuzzConfig: whatever the settings of a model folder hold, they are read or
// refused.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"embedding_dim":128,"query_length":32,"mask_token_id":103,"skiplist_words":["."]}`))
	f.Add([]byte(`{"config":{"dim":128,"query_maxlen":32,"mask_punctuation":true}}`))
	f.Add([]byte(`{"config":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, read := range map[string]func(*Config) error{
			"ONNX":     func(c *Config) error { return c.readONNX(b) },
			"Stanford": func(c *Config) error { return c.readStanford(b) },
		} {
			c := Config{Dim: -7}
			if err := read(&c); err == nil && c.Dim == -7 && !bytes.Contains(b, []byte("-7")) {
				t.Errorf("%s: the settings were accepted and not read", name)
			}
		}
	})
}
