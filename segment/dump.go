package segment

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/cockroachdb/pebble/v2"
)

// DumpChunks prints what is stored of a segment, column by column, reading and
// checking every value: number, bytes, and which are bad. It needs nothing but
// the keys, so it also works where the segment cannot be opened.
func DumpChunks(w io.Writer, db *pebble.DB, id ID) (err error) {
	span := Span(id)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	type count struct {
		values, bytes int
		bad           []string
	}
	counts := map[column]*count{}
	head := len(segmentKeys(id))
	for it.First(); it.Valid(); it.Next() {
		if len(it.Key()) <= head {
			fmt.Fprintf(w, "BAD KEY %q\n", it.Key())
			continue
		}
		c := column(it.Key()[head])
		if counts[c] == nil {
			counts[c] = &count{}
		}
		n := counts[c]
		n.values++
		val, err := it.ValueAndErr()
		if err == nil {
			n.bytes += len(val)
			_, err = checkSum(it.Key(), val)
		}
		if err != nil {
			n.bad = append(n.bad, err.Error())
		}
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "column\tvalues\tbytes\tbad")
	for _, c := range columnOrder {
		if n := counts[c]; n != nil {
			fmt.Fprintf(tw, "%s\t%d\t%d\t%d\n", c, n.values, n.bytes, len(n.bad))
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, c := range columnOrder {
		if n := counts[c]; n != nil {
			for _, b := range n.bad {
				fmt.Fprintln(w, "BAD:", b)
			}
		}
	}
	if err := it.Error(); err != nil {
		fmt.Fprintln(w, "BAD:", readError(fmt.Sprintf("segment %d", id), err))
	}
	return nil
}

// DumpDocuments prints the document table. live says who is, nil: all are.
func (r *Reader) DumpDocuments(w io.Writer, live *Bitset) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ordinal\tnumber\tseq\ttokens\texp\ttext\tattributes\tid")
	for ord := range r.Len() {
		dead := ""
		if live != nil && !live.Get(ord) {
			dead = "  deleted"
		}
		fmt.Fprintf(tw, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%q%s\n", ord, r.Num(ord), r.Seq(ord), r.Tokens(ord), r.docs.exps[ord],
			r.docs.textLen[ord], r.docs.attrLen[ord], r.ExternalID(ord), dead)
	}
	return tw.Flush()
}

// DumpDocument prints one document: its fields, and its token records in hex,
// column by column.
func (r *Reader) DumpDocument(w io.Writer, ord int) error {
	if ord < 0 || ord >= r.Len() {
		return fmt.Errorf("colbertdb: segment %d has %d documents, there is no %d", r.meta.ID, r.Len(), ord)
	}
	fmt.Fprintf(w, "document %d of segment %d: %q, number %d, change %d, %d tokens, scale exponent %d\n",
		ord, r.meta.ID, r.ExternalID(ord), r.Num(ord), r.Seq(ord), r.Tokens(ord), r.docs.exps[ord])
	if text, has, err := r.Text(ord); err != nil {
		fmt.Fprintln(w, "BAD text:", err)
	} else if has {
		fmt.Fprintf(w, "text: %q\n", text)
	}
	if attrs, err := r.Attributes(ord); err != nil {
		fmt.Fprintln(w, "BAD attributes:", err)
	} else if attrs != nil {
		fmt.Fprintf(w, "attributes: %s\n", attrs)
	}
	var buf Buffer
	for _, s := range r.meta.Columns {
		data, err := r.tokens(columnByName(s.Name), ord, &buf)
		if err != nil {
			fmt.Fprintf(w, "BAD column %s: %v\n", s.Name, err)
			continue
		}
		fmt.Fprintf(w, "column %s, %d bytes a token\n", s.Name, s.BytesPerToken)
		for t := range r.Tokens(ord) {
			fmt.Fprintf(w, "  %4d  %x\n", t, data[t*s.BytesPerToken:(t+1)*s.BytesPerToken])
		}
	}
	return nil
}

// Dump prints the posting lists that are not empty.
func (p *Postings) Dump(w io.Writer) error {
	fmt.Fprintf(w, "%d centroids, %d postings\n", p.Centroids(), p.Total())
	for c := range p.Centroids() {
		l := p.List(uint32(c))
		if l.Len() == 0 {
			continue
		}
		fmt.Fprintf(w, "%8d  %d:", c, l.Len())
		l.Each(func(ord uint16) { fmt.Fprintf(w, " %d", ord) })
		fmt.Fprintln(w)
	}
	return nil
}

// Dump prints the values of an attribute index with their documents.
func (x *AttributeIndex) Dump(w io.Writer) error {
	fmt.Fprintf(w, "index %d of attribute %q: %d values, %d postings, %d bytes\n", x.meta.ID, x.meta.Path, x.Values(), x.meta.Postings, x.meta.Bytes)
	line := func(name string, list int) {
		l := x.list(list)
		fmt.Fprintf(w, "%s  %d:", name, l.Len())
		l.Each(func(ord uint16) { fmt.Fprintf(w, " %d", ord) })
		fmt.Fprintln(w)
	}
	for kind, name := range []string{"exists", "odd", "null", "false", "true"} {
		if i := x.special[kind]; i > 0 {
			line(name, i-1)
		}
	}
	for i, f := range x.numbers {
		line(strconv.FormatFloat(f, 'g', -1, 64), x.first+i)
	}
	for i := range x.ends {
		line(strconv.Quote(string(x.text(i))), x.first+len(x.numbers)+i)
	}
	return nil
}
