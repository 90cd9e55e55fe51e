#!/usr/bin/env python3
"""Writes the tiny models of this folder and what onnxruntime makes of them.

    pip install -r ../../bundled/export/requirements.txt && python tiny.py

A model adds to each token's vector the mean of the attended tokens' vectors, so
that markers, masks and padding all show in the output. Four forms:

    types.onnx    float32, three inputs, dimension known
    half.onnx     float16, two inputs, dimension not in the graph
    nan.onnx      gives NaN at the token "nan"
    external.onnx types.onnx with its weights in external.onnx.data
"""
import json
import pathlib

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
DIM = 8
PIECES = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "nan", "what", "color", "is", "amber", "urine", "the", "of", "##s", ".", ","]
table = np.random.default_rng(7).standard_normal((len(PIECES), DIM)).astype(np.float32)


def model(types, half, nan):
    weights = table.copy()
    if nan:
        weights[PIECES.index("nan")] = np.nan
    init = {"table": weights, "axis1": np.array([1]), "axis2": np.array([2])}
    node = helper.make_node
    nodes = [
        node("Gather", ["table", "input_ids"], ["tokens"]),
        node("Cast", ["attention_mask"], ["mask2"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["mask2", "axis2"], ["mask"]),
        node("Mul", ["tokens", "mask"], ["attended"]),
        node("ReduceSum", ["attended", "axis1"], ["sum"], keepdims=1),
        node("ReduceSum", ["mask", "axis1"], ["count"], keepdims=1),
        node("Div", ["sum", "count"], ["mean"]),
        node("Add", ["tokens", "mean"], ["mixed"]),
    ]
    last = "mixed"
    inputs = ["input_ids", "attention_mask"]
    if types:
        inputs.append("token_type_ids")
        init["kinds"] = np.array([[0] * DIM, [1] * DIM], np.float32)
        nodes += [node("Gather", ["kinds", "token_type_ids"], ["kind"]), node("Add", ["mixed", "kind"], ["kinded"])]
        last = "kinded"
    out = "last_hidden_state" if half else "embeddings"
    nodes.append(node("Cast", [last], [out], to=TensorProto.FLOAT16 if half else TensorProto.FLOAT))
    axes = ["batch", "length"]
    graph = helper.make_graph(
        nodes, "tiny",
        [helper.make_tensor_value_info(n, TensorProto.INT64, axes) for n in inputs],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT16 if half else TensorProto.FLOAT, axes + ["dim" if half else DIM])],
        [numpy_helper.from_array(v, k) for k, v in init.items()],
    )
    m = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="colbertdb")
    onnx.checker.check_model(m)
    return m.SerializeToString()


def golden(data, types, cases):
    s = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    out = []
    for ids, mask in cases:
        feed = {"input_ids": np.array([ids]), "attention_mask": np.array([mask])}
        if types:
            feed["token_type_ids"] = np.zeros_like(feed["input_ids"])
        v = s.run(None, feed)[0][0].astype(np.float64)
        v /= np.linalg.norm(v, axis=1, keepdims=True)
        out.append({"ids": ids, "mask": mask, "vectors": v.round(7).tolist()})
    return out


def main():
    tokenizer = {
        "version": "1.0",
        "added_tokens": [{"id": PIECES.index(p), "content": p, "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False} for p in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {p: i for i, p in enumerate(PIECES)}},
    }
    config = {
        "query_prefix": "[unused0]", "document_prefix": "[unused1]", "query_prefix_id": 1, "document_prefix_id": 2,
        "query_length": 8, "document_length": 10, "do_query_expansion": True, "attend_to_expansion_tokens": False,
        "embedding_dim": DIM, "uses_token_type_ids": True, "mask_token_id": 6, "pad_token_id": 0, "skiplist_words": [".", ","], "do_lower_case": True,
    }
    (HERE / "tokenizer.json").write_text(json.dumps(tokenizer, indent=1) + "\n")
    (HERE / "onnx_config.json").write_text(json.dumps(config, indent=1) + "\n")
    (HERE / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    w = {p: i for i, p in enumerate(PIECES)}
    query = [w[p] for p in ("[CLS]", "[unused0]", "what", "color", "[SEP]", "[MASK]", "[MASK]", "[MASK]")]
    document = [w[p] for p in ("[CLS]", "[unused1]", "the", "color", "##s", "of", "amber", ".", "[SEP]")]
    cases = [(query, [1] * 5 + [0] * 3), (document, [1] * 9)]
    gold = {}
    for name, types, half, nan in (("types", True, False, False), ("half", False, True, False), ("nan", False, False, True)):
        data = model(types, half, nan)
        (HERE / f"{name}.onnx").write_bytes(data)
        if types:
            onnx.save(onnx.load_from_string(data), HERE / "external.onnx", save_as_external_data=True, location="external.onnx.data", size_threshold=60)
        if not nan:
            gold[name] = golden(data, types, cases)
    (HERE / "golden.json").write_text(json.dumps(gold, indent=1) + "\n")


if __name__ == "__main__":
    main()
