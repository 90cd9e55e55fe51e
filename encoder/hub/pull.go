package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ErrHub is wrapped by errors about what a hub has or answers.
var ErrHub = errors.New("colbertdb: model hub")

// DefaultEndpoint is the hub that is asked where none is named.
const DefaultEndpoint = "https://huggingface.co"

// Client fetches from a hub. The zero value with a Cache is ready to use.
type Client struct {
	// Endpoint is the hub's address. Default: DefaultEndpoint.
	Endpoint string
	// Token is sent to the hub, and to no other host that it refers to. Default:
	// none.
	Token string
	// Cache is the folder that models are kept in. It must be given.
	Cache string
	// HTTP makes the requests. Default: http.DefaultClient's transport.
	HTTP *http.Client
	// Stall is how long an answer may bring no bytes before it is asked for again.
	// Default: 60 seconds.
	Stall time.Duration
	// Pause is how long is waited before the first repetition of a request that
	// failed; before each further one, twice as long. Default: one second.
	Pause time.Duration
}

// retries is how often a request is repeated.
const retries = 4

// Ref names a model and a revision of it.
type Ref struct {
	Name     string // owner/name
	Revision string // a branch, a tag or a commit
}

// String returns owner/name@revision.
func (r Ref) String() string { return r.Name + "@" + r.Revision }

var (
	refPattern    = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*)(?:@([A-Za-z0-9][A-Za-z0-9._/-]*))?$`)
	commitPattern = regexp.MustCompile(`^[0-9a-f]{7,64}$`)
)

// ParseRef reads owner/name[@revision]. The default revision is "main".
func ParseRef(s string) (Ref, error) {
	m := refPattern.FindStringSubmatch(s)
	if m == nil || strings.Contains(s, "..") {
		return Ref{}, fmt.Errorf("%w: %q is not of the form owner/name or owner/name@revision", ErrHub, s)
	}
	return Ref{m[1], cmp.Or(m[2], "main")}, nil
}

// Remote is what a hub says of a model.
type Remote struct {
	Ref
	Commit  string
	License string
	Files   []File
}

// File is a file of a model.
type File struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"` // of the content
	Blob   string `json:"blob,omitempty"`   // git's SHA-1 of the content
}

// Look asks the hub for a model's files.
func (c *Client) Look(ctx context.Context, ref Ref) (*Remote, error) {
	var m struct {
		SHA  string   `json:"sha"`
		Tags []string `json:"tags"`
		Card struct {
			License any `json:"license"`
		} `json:"cardData"`
		Siblings []struct {
			Name string `json:"rfilename"`
			Size *int64 `json:"size"`
			Blob string `json:"blobId"`
			LFS  *struct {
				SHA256 string `json:"sha256"`
				Size   int64  `json:"size"`
			} `json:"lfs"`
		} `json:"siblings"`
	}
	err := c.again(ctx, func() error {
		resp, err := c.get(ctx, c.address("api", "models", ref.Name, "revision", url.PathEscape(ref.Revision))+"?blobs=true", 0)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if err := status(resp, ref.String()); err != nil {
			return err
		}
		if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<20)).Decode(&m); err != nil {
			return fmt.Errorf("the answer about %s: %w", ref, err)
		}
		return nil
	})
	if err != nil {
		return nil, wrap(err)
	}
	if !commitPattern.MatchString(m.SHA) {
		return nil, fmt.Errorf("%w: the answer about %s names commit %q", ErrHub, ref, m.SHA)
	}
	r := &Remote{Ref: ref, Commit: m.SHA}
	r.License, _ = m.Card.License.(string)
	for _, tag := range m.Tags {
		if l, ok := strings.CutPrefix(tag, "license:"); ok && r.License == "" {
			r.License = l
		}
	}
	for _, s := range m.Siblings {
		f := File{Path: s.Name, Blob: s.Blob}
		if s.Size != nil {
			f.Size = *s.Size
		}
		if s.LFS != nil {
			f.SHA256, f.Size, f.Blob = s.LFS.SHA256, s.LFS.Size, "" // the blob is the pointer's
		}
		if !filepath.IsLocal(filepath.FromSlash(s.Name)) || strings.ContainsAny(s.Name, `\:`) || path.Clean(s.Name) != s.Name {
			return nil, fmt.Errorf("%w: %s has a file of the name %q", ErrHub, ref, s.Name)
		}
		if f.SHA256 == "" && f.Blob == "" || f.Size < 0 {
			return nil, fmt.Errorf("%w: the answer about %s has no checksum of %s", ErrHub, ref, s.Name)
		}
		r.Files = append(r.Files, f)
	}
	return r, nil
}

// Folder returns the files of a model that opening it needs: settings, tokenizer,
// Dense layers, licence, and the first of the named graphs that it has.
func (r *Remote) Folder(graphs []string) ([]File, error) {
	has := func(name string) bool {
		return slices.ContainsFunc(r.Files, func(f File) bool { return f.Path == name })
	}
	i := slices.IndexFunc(graphs, has)
	if i < 0 {
		return nil, fmt.Errorf("%w: %s has none of the graphs %s; export one to ONNX", ErrHub, r.Ref, strings.Join(graphs, ", "))
	}
	var out []File
	for _, f := range r.Files {
		dir, base := path.Split(f.Path)
		settings := dir == "" && (path.Ext(base) == ".json" || base == "artifact.metadata" || base == "vocab.txt" || base == "README.md" || strings.HasPrefix(base, "LICENSE"))
		layer := strings.HasSuffix(dir, "_Dense/") && (base == "config.json" || base == "model.safetensors")
		data := strings.HasPrefix(f.Path, graphs[i]+"_data") || f.Path == graphs[i]+".data"
		if f.Path == graphs[i] || settings || layer || data {
			out = append(out, f)
		}
	}
	return out, nil
}

// Pull fetches files of a model that are not in the cache yet, tells progress in
// bytes of all of them, and returns the folder. It may be called again after an
// error, and goes on then.
func (c *Client) Pull(ctx context.Context, r *Remote, files []File, progress func(done, total int64)) (dir string, err error) {
	dir = c.folder(r.Name, r.Commit)
	into := dir + ".partial"
	m, err := readManifest(dir)
	switch {
	case err == nil && contains(m.Files, files):
		return dir, nil
	case err == nil: // a whole folder gets further files
		into = dir
	default:
		m = &Manifest{}
	}
	if err := os.MkdirAll(into, 0o777); err != nil {
		return "", err
	}
	var before, total int64
	for _, f := range files {
		total += f.Size
	}
	for _, f := range files {
		if err := c.fetch(ctx, r, f, into, func(n int64) {
			if progress != nil {
				progress(before+n, total)
			}
		}); err != nil {
			return "", wrap(err)
		}
		before += f.Size
	}
	all := slices.Clone(files)
	for _, f := range m.Files {
		if !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	if err := writeManifest(into, Manifest{Name: r.Name, Revision: r.Revision, Commit: r.Commit, License: r.License, Fetched: time.Now().UTC(), Files: all}); err != nil {
		return "", err
	}
	if into == dir {
		return dir, nil
	}
	return dir, os.Rename(into, dir)
}

// fetch brings one file to a folder, unless it is there.
func (c *Client) fetch(ctx context.Context, r *Remote, f File, dir string, progress func(int64)) error {
	target := filepath.Join(dir, filepath.FromSlash(f.Path))
	if f.check(target) == nil {
		progress(f.Size)
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o777); err != nil {
		return err
	}
	part := target + ".part"
	if err := c.again(ctx, func() error { return c.download(ctx, r, f, part, progress) }); err != nil {
		return err
	}
	if err := f.check(part); err != nil {
		return errors.Join(fmt.Errorf("%s of %s: %w; it was removed, pull again", f.Path, r.Ref, err), os.Remove(part))
	}
	return os.Rename(part, target)
}

// download appends to a part of a file what it lacks.
func (c *Client) download(ctx context.Context, r *Remote, f File, part string, progress func(int64)) (err error) {
	out, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return final{err}
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	have, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return final{err}
	}
	if have == f.Size && f.check(part) == nil {
		return nil
	}
	if have >= f.Size {
		have = 0
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := c.get(ctx, c.address(r.Name, "resolve", r.Commit, f.Path), have)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := status(resp, r.String()+": "+f.Path); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusPartialContent || !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have)) {
		have = 0 // the hub sends all of it
		if resp.StatusCode == http.StatusPartialContent {
			return final{fmt.Errorf("%s: asked for the rest, the hub sent %s", f.Path, resp.Header.Get("Content-Range"))}
		}
	}
	if err := out.Truncate(have); err != nil {
		return final{err}
	}
	if _, err := out.Seek(have, io.SeekStart); err != nil {
		return final{err}
	}
	stall := cmp.Or(c.Stall, time.Minute)
	watch := time.AfterFunc(stall, func() { cancel(fmt.Errorf("%s: nothing came for %v", f.Path, stall)) })
	defer watch.Stop()
	buf := make([]byte, 256<<10)
	for have <= f.Size {
		n, readErr := resp.Body.Read(buf)
		watch.Reset(stall)
		if _, err := out.Write(buf[:n]); err != nil {
			return final{err}
		}
		have += int64(n)
		progress(min(have, f.Size))
		if readErr == io.EOF {
			break
		}
		if readErr != nil {
			return errors.Join(readErr, context.Cause(ctx))
		}
	}
	if have < f.Size {
		return fmt.Errorf("%s ended after %d of %d bytes", f.Path, have, f.Size)
	}
	return nil
}

// get sends a request for what follows the first bytes.
func (c *Client) get(ctx context.Context, address string, from int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, final{err}
	}
	req.Header.Set("User-Agent", "colbertdb")
	req.Header.Set("Accept-Encoding", "identity")
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	return cmp.Or(c.HTTP, http.DefaultClient).Do(req)
}

// address joins parts of an address; slashes in them are kept.
func (c *Client) address(parts ...string) string {
	for i, p := range parts {
		if !strings.Contains(p, "%") {
			parts[i] = (&url.URL{Path: p}).EscapedPath()
		}
	}
	return strings.TrimSuffix(cmp.Or(c.Endpoint, DefaultEndpoint), "/") + "/" + strings.Join(parts, "/")
}

// status turns an answer that is no success into an error.
func status(resp *http.Response, what string) error {
	switch code := resp.StatusCode; {
	case code == http.StatusOK || code == http.StatusPartialContent:
		return nil
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return final{fmt.Errorf("%s: the hub answers %s: it needs a token in HF_TOKEN of an account that has accepted the model's terms, or there is no such model", what, resp.Status)}
	case code == http.StatusNotFound:
		return final{fmt.Errorf("%s: there is no such model, revision or file", what)}
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
		return fmt.Errorf("%s: the hub answers %s", what, resp.Status)
	default:
		return final{fmt.Errorf("%s: the hub answers %s", what, resp.Status)}
	}
}

// final is an error that another try would not mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// again calls f until it succeeds or is not worth another try.
func (c *Client) again(ctx context.Context, f func() error) error {
	pause := cmp.Or(c.Pause, time.Second)
	for n := 0; ; n++ {
		err := f()
		var last final
		if err == nil || errors.As(err, &last) || n == retries {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// wrap marks an error as one about the hub, once.
func wrap(err error) error {
	if errors.Is(err, ErrHub) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrHub, err)
}
