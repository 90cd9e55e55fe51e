package server

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
)

// A scope says what a key may do.
type scope uint8

const (
	scopeNone    scope = iota // no key is needed
	scopeMetrics              // read /metrics
	scopeRead                 // search and read
	scopeWrite                // that, and write
)

var scopeNames = map[string]scope{"metrics": scopeMetrics, "ro": scopeRead, "rw": scopeWrite}

// allows reports whether a key of scope s may do what needs want.
func (s scope) allows(want scope) bool {
	if want == scopeMetrics {
		return s == scopeMetrics || s == scopeWrite
	}
	return want == scopeNone || s >= want && s != scopeMetrics
}

// key is a line of the key file.
type key struct {
	name        string
	scope       scope
	collections []string // nil: all
	hash        [sha256.Size]byte
}

// may reports whether the key is for a collection; "" stands for the whole store.
func (k *key) may(collection string) bool {
	return k.collections == nil || collection != "" && slices.Contains(k.collections, collection)
}

// keyPrefix begins every key, so that one that leaks can be recognised.
const keyPrefix = "cdb_"

var keyName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$`)

// NewKey returns a random key and its line for the key file. Collections are the
// only ones that it may be used on; none: all.
func NewKey(name, scopeName string, collections []string) (secret, line string, err error) {
	if !keyName.MatchString(name) {
		return "", "", fmt.Errorf("colbertdb: a key's name has letters, digits, dots and dashes, at most 63; %.80q has not", name)
	}
	if scopeNames[scopeName] == scopeNone {
		return "", "", fmt.Errorf("colbertdb: scope %.40q: use rw, ro or metrics", scopeName)
	}
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	secret = keyPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	limited := "*"
	if len(collections) > 0 {
		limited = strings.Join(collections, ",")
	}
	hash := sha256.Sum256([]byte(secret))
	return secret, fmt.Sprintf("%s %s %s %s", name, scopeName, limited, hex.EncodeToString(hash[:])), nil
}

// parseKeys reads a key file: a line a key, of its name, scope, collections (with
// commas; * for all) and SHA-256 in hex; # begins a comment. Keys are random and
// long, so a fast hash keeps them as well as a slow one.
func parseKeys(b []byte) ([]key, error) {
	var out []key
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		f := strings.Fields(text)
		if len(f) == 0 {
			continue
		}
		if len(f) != 4 {
			return nil, fmt.Errorf("line %d: want NAME SCOPE COLLECTIONS SHA256", n)
		}
		k := key{name: f[0], scope: scopeNames[f[1]]}
		sum, err := hex.DecodeString(f[3])
		switch {
		case !keyName.MatchString(k.name):
			return nil, fmt.Errorf("line %d: bad name %.80q", n, k.name)
		case k.scope == scopeNone:
			return nil, fmt.Errorf("line %d: scope %.40q: use rw, ro or metrics", n, f[1])
		case err != nil || len(sum) != len(k.hash):
			return nil, fmt.Errorf("line %d: the hash is no SHA-256 in hex", n)
		case slices.ContainsFunc(out, func(o key) bool { return o.name == k.name }):
			return nil, fmt.Errorf("line %d: name %q was there before", n, k.name)
		}
		if f[2] != "*" {
			k.collections = strings.Split(f[2], ",")
		}
		copy(k.hash[:], sum)
		out = append(out, k)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, errors.New("it has no key; colbertdb key makes one")
	}
	return out, nil
}

// keyring is the keys in force. Without a file everybody may do everything, which
// Serve allows on loopback only.
type keyring struct {
	path string
	keys atomic.Pointer[[]key]
}

// load reads the file anew; after an error the keys from before stay in force.
func (r *keyring) load() error {
	if r.path == "" {
		return nil
	}
	b, err := os.ReadFile(r.path)
	if err != nil {
		return fmt.Errorf("colbertdb: keys: %w", err)
	}
	keys, err := parseKeys(b)
	if err != nil {
		return fmt.Errorf("colbertdb: keys: %s: %w", r.path, err)
	}
	r.keys.Store(&keys)
	return nil
}

// open reports that no key is needed.
func (r *keyring) open() bool { return r.keys.Load() == nil }

// find returns the key of a secret, nil without one. Every key is compared, each in
// constant time.
func (r *keyring) find(secret string) (found *key) {
	sum := sha256.Sum256([]byte(secret))
	keys := *r.keys.Load()
	for i := range keys {
		if subtle.ConstantTimeCompare(sum[:], keys[i].hash[:]) == 1 {
			found = &keys[i]
		}
	}
	return found
}

// bearer is the secret of a request, "" without one.
func bearer(r *http.Request) string {
	kind, secret, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if ok && strings.EqualFold(kind, "Bearer") {
		return strings.TrimSpace(secret)
	}
	return ""
}

// authorize checks that the request's key may do what its route needs on its
// collection.
func (q *request) authorize(want scope) error {
	if want == scopeNone || q.s.keys.open() {
		return nil
	}
	secret := bearer(q.r)
	if secret == "" {
		q.w.Header().Set("WWW-Authenticate", "Bearer")
		return failf(http.StatusUnauthorized, "unauthorized", "a key is needed: Authorization: Bearer cdb_…")
	}
	k := q.s.keys.find(secret)
	if k == nil {
		q.w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		return failf(http.StatusUnauthorized, "unauthorized", "the key is not known")
	}
	q.key = k.name
	if !k.scope.allows(want) {
		return failf(http.StatusForbidden, "forbidden", "the key %q may not do this", k.name)
	}
	// Routes that are not about a collection and need no more than reading are for
	// every key: models, encodings, reranking.
	if collection := q.collection; !k.may(collection) && (collection != "" || want == scopeWrite) {
		return failf(http.StatusForbidden, "forbidden", "the key %q is not for %s", k.name, place(collection))
	}
	q.allowed = k.collections
	return nil
}

func place(collection string) string {
	if collection == "" {
		return "the whole store"
	}
	return fmt.Sprintf("collection %.80q", collection)
}
