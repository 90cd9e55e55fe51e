package encoder

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"

	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// projection are the Dense layers after a model's transformer. They are applied
// here where the graph stops before them.
type projection []dense

// dense is a linear layer and what follows it.
type dense struct {
	file       string // its configuration
	in, out    int
	weightFile string
	weights    []float32 // [in][width(out)], the rest 0; nil: the file is not there
	bias       []float32 // [out]; nil: none
	activation func(x []float32)
	// residual is added after the activation (PyLate's use_residual): what goes in,
	// by weights of the same layout where it has another width.
	residual bool
	shortcut []float32
}

func (p projection) in() int      { return p[0].in }
func (p projection) out() int     { return p.last().out }
func (p projection) last() *dense { return &p[len(p)-1] }

// missing returns the first file of weights that is not there, "" where all are.
func (p projection) missing() string {
	for _, d := range p {
		if d.weights == nil {
			return d.weightFile
		}
	}
	return ""
}

// width is how many columns a layer's weights have: a multiple of 16.
func width(out int) int { return (out + 15) &^ 15 }

// tile is how many rows are multiplied at once, a multiple of 4.
const tile = 64

// apply projects n rows of in() components to out().
func (p projection) apply(rows []float32, n int) []float32 {
	for _, d := range p {
		out := make([]float32, n*d.out)
		padded, product := make([]float32, tile*d.in), make([]float32, tile*width(d.out))
		var added []float32
		if d.residual {
			added = make([]float32, tile*width(d.out))
		}
		for at := 0; at < n; at += tile {
			many := min(tile, n-at)
			copy(padded, rows[at*d.in:(at+many)*d.in])
			simd.MatMul(product, width(d.out), padded, d.in, d.weights, width(d.out), (many+3)&^3, d.in, width(d.out))
			if d.shortcut != nil {
				simd.MatMul(added, width(d.out), padded, d.in, d.shortcut, width(d.out), (many+3)&^3, d.in, width(d.out))
			}
			for r := range many {
				row := out[(at+r)*d.out : (at+r+1)*d.out]
				copy(row, product[r*width(d.out):])
				for i, b := range d.bias {
					row[i] += b
				}
				if d.activation != nil {
					d.activation(row)
				}
				switch {
				case d.shortcut != nil:
					addTo(row, added[r*width(d.out):])
				case d.residual:
					addTo(row, padded[r*d.in:])
				}
			}
		}
		rows = out
	}
	return rows
}

func addTo(row, x []float32) {
	for i := range row {
		row[i] += x[i]
	}
}

// each makes an activation of a function of one number.
func each(f func(x float64) float64) func([]float32) {
	return func(x []float32) {
		for i := range x {
			x[i] = float32(f(float64(x[i])))
		}
	}
}

// activations by the last part of their Python name.
var activations = map[string]func([]float32){
	"":         nil,
	"Identity": nil,
	"Tanh":     each(math.Tanh),
	"ReLU":     each(func(x float64) float64 { return max(x, 0) }),
	"GELU":     each(func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) }),
	"SiLU":     each(func(x float64) float64 { return x / (1 + math.Exp(-x)) }),
}

// readProjection reads the Dense layers that modules.json names, else those of
// 1_Dense; where there are none, the linear layer that Stanford's checkpoints
// keep beside the transformer.
func (f *Folder) readProjection(fsys fs.FS) error {
	var folders []string
	b, err := fs.ReadFile(fsys, modulesFile)
	switch {
	case err == nil:
		if folders, err = readModules(b); err != nil {
			return fmt.Errorf("%s: %w", modulesFile, err)
		}
		f.files = append(f.files, modulesFile)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	default:
		if _, err := fs.Stat(fsys, "1_Dense/config.json"); err == nil {
			folders = []string{"1_Dense"}
		}
	}
	for _, folder := range folders {
		if err := f.readDense(fsys, folder); err != nil {
			return err
		}
	}
	if p := f.projection; p != nil {
		if f.bert.Hidden > 0 && p.in() != f.bert.Hidden {
			return fmt.Errorf("%s says hidden_size is %d, %s says in_features is %d", bertFile, f.bert.Hidden, p[0].file, p.in())
		}
		return nil
	}
	if _, err := fs.Stat(fsys, stanfordFile); err != nil || f.said.Dim == nil || f.bert.Hidden == 0 {
		return nil
	}
	const weights = "model.safetensors"
	d := dense{file: stanfordFile, in: f.bert.Hidden, out: *f.said.Dim, weightFile: weights}
	tensor, err := readTensor(fsys, weights, "linear.weight", d.out, d.in)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNoTensor) {
		return nil // then the graph has it
	}
	if err != nil {
		return fmt.Errorf("%s: %w", weights, err)
	}
	f.files = append(f.files, weights)
	d.weights = d.transposed(tensor)
	f.projection = projection{d}
	return nil
}

// readDense appends a layer.
func (f *Folder) readDense(fsys fs.FS, folder string) error {
	file := path.Join(folder, "config.json")
	b, err := fs.ReadFile(fsys, file)
	if err != nil {
		return err
	}
	var c struct {
		In         int    `json:"in_features"`
		Out        int    `json:"out_features"`
		Bias       bool   `json:"bias"`
		Activation string `json:"activation_function"`
		Residual   bool   `json:"use_residual"`
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	d := dense{file: file, in: c.In, out: c.Out, weightFile: path.Join(folder, "model.safetensors")}
	name := path.Ext(c.Activation)
	if name != "" {
		name = name[1:]
	} else {
		name = c.Activation
	}
	activation, ok := activations[name]
	switch {
	case c.In < 1 || c.Out < 1 || c.In > 1<<16 || c.Out > 1<<16:
		return fmt.Errorf("%s: in_features %d, out_features %d", file, c.In, c.Out)
	case !ok:
		return fmt.Errorf("%s: activation_function %q is not known; known are Identity, Tanh, ReLU, GELU, SiLU", file, c.Activation)
	}
	if n := len(f.projection); n > 0 && f.projection[n-1].out != d.in {
		return fmt.Errorf("%s says out_features is %d, %s, which follows, says in_features is %d", f.projection[n-1].file, f.projection[n-1].out, file, d.in)
	}
	d.activation, d.residual = activation, c.Residual
	tensor, err := readTensor(fsys, d.weightFile, "linear.weight", d.out, d.in)
	switch {
	case errors.Is(err, fs.ErrNotExist): // an error where the graph needs it
	case err != nil:
		return fmt.Errorf("%s: %w", d.weightFile, err)
	default:
		d.weights = d.transposed(tensor)
		if c.Residual && c.In != c.Out {
			tensor, err := readTensor(fsys, d.weightFile, "residual.weight", d.out, d.in)
			if err != nil {
				return fmt.Errorf("%s: %w", d.weightFile, err)
			}
			d.shortcut = d.transposed(tensor)
		}
		if c.Bias {
			if d.bias, err = readTensor(fsys, d.weightFile, "linear.bias", d.out); err != nil {
				return fmt.Errorf("%s: %w", d.weightFile, err)
			}
		}
		f.files = append(f.files, d.weightFile)
	}
	f.files = append(f.files, file)
	f.projection = append(f.projection, d)
	return nil
}

// transposed brings weights, [out][in], to the layout of a layer's.
func (d *dense) transposed(tensor []float32) []float32 {
	weights := make([]float32, d.in*width(d.out))
	for o := range d.out {
		for i := range d.in {
			weights[i*width(d.out)+o] = tensor[o*d.in+i]
		}
	}
	return weights
}

// digest adds the weights to a fingerprint.
func (p projection) digest(h io.Writer) {
	for _, d := range p {
		binary.Write(h, binary.LittleEndian, d.weights) // to a hash: it cannot fail
		binary.Write(h, binary.LittleEndian, d.bias)
		if d.residual {
			fmt.Fprint(h, "residual")
			binary.Write(h, binary.LittleEndian, d.shortcut)
		}
	}
}
