package segment

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// Verify reads every byte of the segment and checks every checksum, the sizes
// of columns, the codes against the number of cells, the text blocks, and the
// posting lists against the documents. It returns all that is wrong, joined.
func (r *Reader) Verify(ctx context.Context, cells int) error {
	var errs []error
	for _, s := range r.meta.Columns {
		c := columnByName(s.Name)
		var size int64
		err := r.eachChunk(ctx, c, func(key, body []byte) error {
			size += int64(len(body))
			if c != colCodes {
				return nil
			}
			for i := 0; i+2 <= len(body); i += 2 {
				if code := binary.LittleEndian.Uint16(body[i:]); int(code) >= cells {
					return corrupt(describe(key), int64(i), "cell %d of %d", code, cells)
				}
			}
			return nil
		})
		if want := r.meta.Tokens * int64(s.BytesPerToken); err == nil && size != want {
			err = corrupt(fmt.Sprintf("segment %d, column %s", r.meta.ID, s.Name), 0, "%d bytes, want %d", size, want)
		}
		errs = append(errs, err)
	}
	// The tables in memory were checked when the segment was opened; what is on
	// disk may have been damaged since.
	for _, c := range []column{colDocs, colMeta, colPostings} {
		errs = append(errs, r.eachChunk(ctx, c, func(_, _ []byte) error { return nil }))
	}
	if len(r.textStart) != r.meta.TextBlocks {
		errs = append(errs, corrupt(fmt.Sprintf("segment %d, column text", r.meta.ID), 0, "%d blocks, metadata says %d", len(r.textStart), r.meta.TextBlocks))
	}
	for block := range r.textStart {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := r.textBlock(block); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, r.verifyPostings())
	return errors.Join(errs...)
}

// verifyPostings checks that every document has between one posting and one a token.
func (r *Reader) verifyPostings() error {
	if r.postings == nil {
		return nil
	}
	counts := make([]int, r.Len())
	for c := range r.postings.Centroids() {
		r.postings.List(uint32(c)).Each(func(o uint16) { counts[o]++ })
	}
	for ord, n := range counts {
		if n < 1 || n > r.Tokens(ord) {
			return corrupt(fmt.Sprintf("segment %d, column postings", r.meta.ID), 0, "document %d of %d tokens has %d postings", ord, r.Tokens(ord), n)
		}
	}
	return nil
}
