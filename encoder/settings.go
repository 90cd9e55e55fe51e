package encoder

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// settings are what one source says about a model; nil says nothing. The names
// are those of onnx_config.json, and graph and output beside them.
type settings struct {
	Name              *string   `json:"name"`
	Graph             *string   `json:"graph"`  // the file of the ONNX graph
	Output            *string   `json:"output"` // which of its outputs are the token vectors
	QueryPrefix       *string   `json:"query_prefix"`
	DocumentPrefix    *string   `json:"document_prefix"`
	QueryPrefixID     *int      `json:"query_prefix_id"`
	DocumentPrefixID  *int      `json:"document_prefix_id"`
	QueryLength       *int      `json:"query_length"`
	DocumentLength    *int      `json:"document_length"`
	QueryExpansion    *bool     `json:"do_query_expansion"`
	AttendToExpansion *bool     `json:"attend_to_expansion_tokens"`
	Dim               *int      `json:"embedding_dim"`
	UsesTokenTypes    *bool     `json:"uses_token_type_ids"`
	MaskID            *int      `json:"mask_token_id"`
	PadID             *int      `json:"pad_token_id"`
	MaskToken         *string   `json:"mask_token"`
	PadToken          *string   `json:"pad_token"`
	SkipWords         *[]string `json:"skiplist_words"`
	Lowercase         *bool     `json:"do_lower_case"`
	QueryWeights      *string   `json:"query_weights"` // a file in the folder
	Pooled            *Pooled   `json:"pooled"`
}

// settingNames are the JSON names of the fields, in order.
var settingNames = func() (names []string) {
	for f := range reflect.TypeFor[settings]().Fields() {
		names = append(names, f.Tag.Get("json"))
	}
	return names
}()

// Overrides are settings that take the place of what a model folder says, by
// their names in onnx_config.json; beside those, "graph" names the file of the
// graph and "output" the output of it that holds the token vectors. An
// embedding_dim below the model's keeps the first so many components of each
// vector, for models trained so (Matryoshka).
type Overrides map[string]any

// ParseOverrides reads overrides of the form key=value&key=value, where a value
// is JSON or a plain string.
func ParseOverrides(text string) (Overrides, error) {
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, fmt.Errorf("%w: overrides %q: %w", ErrModel, text, err)
	}
	o := Overrides{}
	for key, list := range values {
		if len(list) != 1 {
			return nil, fmt.Errorf("%w: overrides %q: %s comes more than once", ErrModel, text, key)
		}
		var v any
		if json.Unmarshal([]byte(list[0]), &v) != nil {
			v = list[0]
		}
		o[key] = v
	}
	if _, err := o.settings(); err != nil {
		return nil, fmt.Errorf("%w: overrides %q: %w", ErrModel, text, err)
	}
	return o, nil
}

// settings are the overrides as settings.
func (o Overrides) settings() (settings, error) {
	b, err := json.Marshal(map[string]any(o))
	if err != nil {
		return settings{}, err
	}
	return decodeSettings(b)
}

// decodeSettings refuses names that are not known.
func decodeSettings(b []byte) (s settings, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("%w; the settings are %s", err, strings.Join(settingNames, ", "))
	}
	return s, nil
}

// sources are settings with the source of each: a file, or overriding.
type sources struct {
	settings
	from map[string]string // by name
}

const overriding = "overrides"

// set takes over what from says, in the place of what was there.
func (s *sources) set(from settings, source string) {
	into, values := reflect.ValueOf(&s.settings).Elem(), reflect.ValueOf(from)
	for i := range into.NumField() {
		if !values.Field(i).IsNil() {
			into.Field(i).Set(values.Field(i))
			s.note(settingNames[i], source)
		}
	}
}

// add takes over what a file says where no other did. Where two files say
// different things, that is an error, unless the setting is overridden.
func (s *sources) add(from settings, file string, overridden settings) error {
	into, values, over := reflect.ValueOf(&s.settings).Elem(), reflect.ValueOf(from), reflect.ValueOf(overridden)
	for i := range into.NumField() {
		is, was := values.Field(i), into.Field(i)
		switch {
		case is.IsNil():
		case was.IsNil():
			was.Set(is)
			s.note(settingNames[i], file)
		case !sameSetting(was.Elem().Interface(), is.Elem().Interface()) && over.Field(i).IsNil():
			return fmt.Errorf("%s says %s is %v, %s says %v; override %s to choose",
				s.from[settingNames[i]], settingNames[i], shown(was.Elem().Interface()), file, shown(is.Elem().Interface()), settingNames[i])
		}
	}
	return nil
}

func (s *sources) note(name, source string) {
	if s.from == nil {
		s.from = map[string]string{}
	}
	s.from[name] = source
}

// source returns where a setting comes from; fallback where nothing says it.
func (s *sources) source(name, fallback string) string {
	if from := s.from[name]; from != "" {
		return from
	}
	return fallback
}

// each yields the settings that something says.
func (s *sources) each() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		values := reflect.ValueOf(s.settings)
		for i, name := range settingNames {
			if !values.Field(i).IsNil() && !yield(name, values.Field(i).Elem().Interface()) {
				return
			}
		}
	}
}

func (s *sources) overridden(name string) bool {
	from := s.from[name]
	return from == overriding || from == overridesFile
}

// sameSetting compares markers without the space that may follow them and skip
// lists as sets.
func sameSetting(a, b any) bool {
	switch a := a.(type) {
	case string:
		return strings.TrimSpace(a) == strings.TrimSpace(b.(string))
	case []string:
		a, c := slices.Clone(a), slices.Clone(b.([]string))
		slices.Sort(a)
		slices.Sort(c)
		return slices.Equal(slices.Compact(a), slices.Compact(c))
	}
	return reflect.DeepEqual(a, b)
}

// shown is a setting as errors and inspect show it.
func shown(v any) any {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case []string:
		return fmt.Sprintf("%d words", len(v))
	}
	return v
}
