package query

import (
	"encoding/json"
	"strings"
)

// groupOf returns the value of an attribute as JSON, empty where it is absent: a
// key of that name, or with dots, a value in an object.
func groupOf(attrs []byte, path string) string {
	var v any
	if len(attrs) == 0 || json.Unmarshal(attrs, &v) != nil {
		return ""
	}
	obj, _ := v.(map[string]any)
	v, ok := obj[path]
	if !ok {
		v = obj
		for _, name := range strings.Split(path, ".") {
			obj, _ = v.(map[string]any)
			if v, ok = obj[name]; !ok {
				return ""
			}
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}
