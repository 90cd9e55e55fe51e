package reliability

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// R12: options do not change answers. The same operations under 40 random options
// (sizes of buffers, segments and caches, sealed early or never, merged or not)
// give the same hits with the same scores, bit for bit, at every probe: of an
// exact search, and of one that probes every centroid. So do other kernels.
// The codebook is that of a store made before, since when it is trained is an
// option too.
func TestR12Options(t *testing.T) {
	options := Count(5, 40)
	kernels := []string{"generic"}
	if runtime.GOARCH == "amd64" && Full() {
		kernels = append(kernels, "avx2")
	}
	m, err := newMetamorphic()
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.run(&engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	Seeds(t, 1, options, func(seed uint64) error {
		got, err := m.run(RandomOptions(rand.New(rand.NewPCG(seed, 12))))
		if err != nil {
			return err
		}
		return sameProbes(got, want)
	})
	for _, k := range kernels {
		cmd := exec.Command(os.Args[0], "-test.run=^TestR12Child$", "-test.v")
		cmd.Env = append(os.Environ(), "COLBERTDB_KERNELS="+k, "COLBERTDB_METAMORPHIC=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "digest "+digest(want)) {
			t.Errorf("kernels %s: another answer than %s: %v\n%s", k, digest(want), err, out)
		}
	}
	t.Logf("%d operations and %d probes under %d options and with kernels %v: all equal those under the defaults", len(m.ops), len(want), options, kernels)
}

// TestR12Child prints the digest under the default options, with the kernels that
// it was given.
func TestR12Child(t *testing.T) {
	if os.Getenv("COLBERTDB_METAMORPHIC") == "" {
		t.Skip("runs as a child of TestR12Options")
	}
	m, err := newMetamorphic()
	if err != nil {
		t.Fatal(err)
	}
	probes, err := m.run(&engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("digest", digest(probes))
}

// metamorphic is a store with a codebook, and operations to be run on copies of it.
type metamorphic struct {
	disk *vfs.MemFS
	ops  []Op
}

func newMetamorphic() (*metamorphic, error) {
	m := &metamorphic{disk: vfs.NewCrashableMem()}
	g := NewGenerator(rand.New(rand.NewPCG(12, 12)))
	g.Names, g.DropPercent = nil, 0
	db, closed, err := openTracked(m.disk, &engine.Options{TrainTokens: 100, TrainSample: 512})
	if err != nil {
		return nil, err
	}
	s := State{}
	for i, cfg := range []engine.CollectionConfig{
		{Dim: 8}, {Dim: 8, RetainRaw: true}, {Dim: 8, Profile: engine.Balanced, RetainRaw: true},
		{Dim: 8, Profile: engine.Balanced}, {Dim: 8, Profile: engine.Compact},
	} {
		name := fmt.Sprintf("c%d", i)
		g.Names = append(g.Names, name)
		for _, op := range []Op{{Kind: Create, Collection: name, Config: cfg}, {Kind: Upsert, Collection: name, Docs: g.Batch(60)}, {Kind: Compact, Collection: name}} {
			if _, err := op.Run(ctx, db); err != nil {
				return nil, errors.Join(err, closed())
			}
			s.Apply(op)
		}
	}
	for _, info := range db.Collections() {
		if info.CodebookID == 0 {
			return nil, errors.Join(fmt.Errorf("collection %q has no codebook", info.Name), closed())
		}
	}
	for n := Count(250, 2000); len(m.ops) < n; {
		op := g.Next(s)
		s.Apply(op)
		m.ops = append(m.ops, op)
	}
	return m, closed()
}

// run returns what every probe found.
func (m *metamorphic) run(o *engine.Options) (probes []string, err error) {
	o.DisableRetraining = true
	db, closed, err := openTracked(m.disk.CrashClone(vfs.CrashCloneCfg{}), o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closed()) }()
	g := NewGenerator(rand.New(rand.NewPCG(12, 13)))
	for i, op := range m.ops {
		if _, err := op.Run(ctx, db); err != nil {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
		if i%25 != 24 {
			continue
		}
		for _, info := range db.Collections() {
			col, err := db.Collection(info.Name)
			if err != nil {
				return nil, err
			}
			q := g.Vectors(3)
			exact, err := hits(col, engine.SearchRequest{Vectors: q, K: 1000, Exact: true})
			if err != nil {
				return nil, err
			}
			all, err := hits(col, engine.SearchRequest{Vectors: q, K: 1000, Effort: engine.EffortHigh, NProbe: 256})
			if err != nil {
				return nil, err
			}
			if all != exact {
				return nil, fmt.Errorf("after %d operations a search of %q that probes everything finds\n%s, an exact one\n%s", i+1, info.Name, all, exact)
			}
			probes = append(probes, exact)
		}
	}
	return probes, Verify(ctx, db)
}

// hits are ids, scores and texts of a search.
func hits(col *engine.Collection, req engine.SearchRequest) (string, error) {
	res, err := col.Search(ctx, req)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	for _, h := range res.Hits {
		fmt.Fprintf(&out, "%q %08x %q\n", h.ID, math.Float32bits(h.Score), h.Text)
	}
	return out.String(), nil
}

func sameProbes(got, want []string) error {
	for i := range want {
		if got[i] == want[i] {
			continue
		}
		g, w := strings.Split(got[i], "\n"), strings.Split(want[i], "\n")
		for j := range w {
			if j >= len(g) || g[j] != w[j] {
				return fmt.Errorf("probe %d of %d, hit %d: %.100s, under the defaults %.100s", i+1, len(want), j+1, strings.Join(g[j:min(j+1, len(g))], ""), w[j])
			}
		}
		return fmt.Errorf("probe %d: %d hits, under the defaults %d", i+1, len(g), len(w))
	}
	return nil
}

func digest(probes []string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(probes, "|"))))
}
