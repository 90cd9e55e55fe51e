package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// LoadOptions configure a load. The zero value is ready to use.
type LoadOptions struct {
	// Refused is called with each document that the server cannot store, by its place
	// among those given, and the load goes on. Default: the first ends it.
	Refused func(place int64, err error)
	// Progress is called when a group of documents is durable and searchable.
	Progress func(LoadProgress)
}

// LoadProgress says what of a load is stored.
type LoadProgress struct {
	Stored, Refused int64  // documents
	Seq             uint64 // the last change
}

// Load stores many documents in one request, which is not one step: what was stored
// before an error stays, and the load can be repeated as a whole, since a document
// replaces one of the same id. Unlike engine.Bulk it goes through the server's log.
func (h *Handle) Load(ctx context.Context, docs iter.Seq[engine.Document], o *LoadOptions) (LoadProgress, error) {
	if o == nil {
		o = &LoadOptions{}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, lines := io.Pipe()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		out := json.NewEncoder(lines)
		for d := range docs {
			if out.Encode(wire.DocumentOf(&d)) != nil {
				return // the request has ended
			}
		}
		_ = lines.Close()
	}()
	defer func() { // docs is not called after Load has returned
		_ = body.Close()
		<-sent
	}()
	onError := "stop"
	if o.Refused != nil {
		onError = "skip"
	}
	r, err := http.NewRequestWithContext(ctx, "POST", h.c.base+h.path("/documents?on_error="+onError), body)
	if err != nil {
		return LoadProgress{}, fmt.Errorf("%w: %w", engine.ErrInvalid, err)
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	if h.c.o.Key != "" {
		r.Header.Set("Authorization", "Bearer "+h.c.o.Key)
	}
	resp, err := h.c.o.HTTP.Do(r)
	if err != nil {
		return LoadProgress{}, fmt.Errorf("colbertdb: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return LoadProgress{}, errorOf(resp)
	}
	return readProgress(json.NewDecoder(resp.Body), o)
}

// readProgress reads the answer to a load as it comes.
func readProgress(in *json.Decoder, o *LoadOptions) (LoadProgress, error) {
	var out LoadProgress
	for {
		var p wire.Progress
		if err := in.Decode(&p); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return out, fmt.Errorf("colbertdb: the load was cut off after %d documents: %w", out.Stored, err)
		}
		out = LoadProgress{Stored: p.Upserted, Refused: p.Failed, Seq: max(out.Seq, p.Seq)}
		if p.Error != nil {
			err := &Error{Status: p.Error.Code, Kind: p.Error.Type, Message: p.Error.Message, RequestID: p.Error.RequestID}
			refused := p.Error.Code == http.StatusBadRequest || p.Error.Code == http.StatusUnprocessableEntity || p.Error.Code == http.StatusRequestEntityTooLarge
			if o.Refused == nil || !refused {
				return out, fmt.Errorf("document %d: %w", p.Line-1, err)
			}
			o.Refused(p.Line-1, err)
			continue
		}
		if o.Progress != nil {
			o.Progress(out)
		}
		if p.Done {
			return out, nil
		}
	}
}
