#!/usr/bin/env python3
"""Turns a Jina-ColBERT-v1 checkpoint into a model folder with an ONNX graph, and
makes random-weight checkpoints of its architecture for tests.

    pip install torch==2.5.1 onnx numpy safetensors
    jinabert.py convert CHECKPOINT OUT [--half] # config.json, model.safetensors or pytorch_model.bin, artifact.metadata, tokenizer.json
    jinabert.py random CHECKPOINT [--small | --tiny] # a checkpoint of random weights, base size, JinaBERT's small one or tiny
    jinabert.py golden CHECKPOINT OUT.npz       # what PyTorch makes of fixed texts, right and with planted faults
    jinabert.py testdata                        # encoder/onnx/testdata/jina, by these three

The architecture is JinaBERT's (Günther et al. 2023, arXiv:2310.19923): BERT
without position embeddings, with symmetric ALiBi added to the attention scores
and a gated MLP; then a linear layer without bias, as ColBERT has it.

The graph that is exported computes attention for some rows of queries at a time,
in a loop, so that a document of 8,192 tokens never has all of its scores in
memory. The golden values come from a plain implementation, which shares no code
of attention with the exported one. With --half its weights are float16, and it
computes in float16 but for norms and attention's weights.
"""
import argparse
import json
import math
import os
import shutil

import numpy as np
import torch
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
TESTDATA = os.path.join(HERE, "..", "..", "encoder", "onnx", "testdata")
BASE = dict(vocab_size=30528, hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, dim=128, max_position_embeddings=8192)
SMALL = dict(BASE, hidden_size=512, num_hidden_layers=4, num_attention_heads=8, intermediate_size=2048)
TINY = dict(vocab_size=18, hidden_size=48, num_hidden_layers=3, num_attention_heads=6, intermediate_size=64, dim=16, max_position_embeddings=8192)
FAULTS = ("slopes", "causal", "gate", "marker", "cut")


def slopes(heads):
    """ALiBi's slopes (Press et al. 2022), with the rule for other numbers of heads
    than powers of two."""
    def power(n):
        start = 2 ** (-(2 ** -(math.log2(n) - 3)))
        return [start ** (i + 1) for i in range(n)]
    if math.log2(heads).is_integer():
        return power(heads)
    closest = 2 ** math.floor(math.log2(heads))
    return power(closest) + slopes(2 * closest)[0::2][: heads - closest]


BLOCK = 256  # rows of queries whose scores are in memory at once


@torch.jit.script
def attend(q, k, v, slope, at, mask, block: int):
    """q, k and v are [batch, heads, length, width], slope [heads, 1, 1], at
    the positions, mask [batch, 1, 1, length]. A script and no trace, so that the loop is in the graph."""
    out = []
    for start in range(0, at.shape[0], block):
        end = start + block
        distance = (at.unsqueeze(0) - at[start:end].unsqueeze(1)).abs().float()
        scores = torch.matmul(q[:, :, start:end], k.transpose(2, 3)).float() - slope * distance + mask
        out.append(torch.matmul(torch.softmax(scores, -1).to(v.dtype), v))
    return torch.cat(out, 2)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.width = c["num_attention_heads"], c["hidden_size"] // c["num_attention_heads"]
        self.slopes = torch.tensor(slopes(self.heads)).view(-1, 1, 1)
        self.self = nn.ModuleDict({n: nn.Linear(c["hidden_size"], c["hidden_size"]) for n in ("query", "key", "value")})
        self.output = nn.ModuleDict({"dense": nn.Linear(c["hidden_size"], c["hidden_size"]), "LayerNorm": nn.LayerNorm(c["hidden_size"], eps=c["layer_norm_eps"])})

    def forward(self, x, at, mask):
        q, k, v = (self.self[n](x).unflatten(-1, (self.heads, self.width)).transpose(1, 2) for n in ("query", "key", "value"))
        out = attend(q / math.sqrt(self.width), k, v, self.slopes, at, mask, BLOCK)
        return self.output["LayerNorm"](self.output["dense"](out.transpose(1, 2).flatten(2)) + x)


class MLP(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.inner = c["intermediate_size"]
        self.gated_layers = nn.Linear(c["hidden_size"], 2 * self.inner, bias=False)
        self.wo = nn.Linear(self.inner, c["hidden_size"])
        self.layernorm = nn.LayerNorm(c["hidden_size"], eps=c["layer_norm_eps"])
        self.act = {"geglu": nn.functional.gelu, "reglu": nn.functional.relu}[c["feed_forward_type"]]

    def forward(self, x):
        both = self.gated_layers(x)
        return self.layernorm(self.wo(self.act(both[..., : self.inner]) * both[..., self.inner :]) + x)


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.attention, self.mlp = Attention(c), MLP(c)

    def forward(self, x, at, mask):
        return self.mlp(self.attention(x, at, mask))


class Encoder(nn.Module):
    """The parameters have the names that the published checkpoint gives them."""

    def __init__(self, c):
        super().__init__()
        self.config = c
        self.bert = nn.ModuleDict({
            "embeddings": nn.ModuleDict({
                "word_embeddings": nn.Embedding(c["vocab_size"], c["hidden_size"]), "token_type_embeddings": nn.Embedding(c["type_vocab_size"], c["hidden_size"]),
                "LayerNorm": nn.LayerNorm(c["hidden_size"], eps=c["layer_norm_eps"]),
            }),
            "encoder": nn.ModuleDict({"layer": nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))}),
        })
        self.linear = nn.Linear(c["hidden_size"], c["dim"], bias=False)

    def embed(self, ids):
        e = self.bert["embeddings"]
        return e["LayerNorm"](e["word_embeddings"](ids) + e["token_type_embeddings"].weight[0])

    def forward(self, input_ids, attention_mask):
        at = torch.arange(input_ids.shape[1])
        mask = (1 - attention_mask[:, None, None, :].float()) * -1e9
        x = self.embed(input_ids)
        for layer in self.bert["encoder"]["layer"]:
            x = layer(x, at, mask)
        return self.linear(x)


def settings(config):
    """config.json with what it may leave out. Another architecture is refused."""
    c = {"layer_norm_eps": 1e-12, "type_vocab_size": 2, "feed_forward_type": "original", "position_embedding_type": "absolute", **config}
    if c["position_embedding_type"] != "alibi" or c["feed_forward_type"] not in ("geglu", "reglu"):
        raise SystemExit(f"this is no JinaBERT: position_embedding_type {c['position_embedding_type']!r}, feed_forward_type {c['feed_forward_type']!r}")
    return c


def load(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        c = settings(json.load(f))
    path = os.path.join(folder, "model.safetensors")
    if os.path.exists(path):
        from safetensors.torch import load_file
        state = load_file(path)
    else:
        state = torch.load(os.path.join(folder, "pytorch_model.bin"), map_location="cpu", weights_only=True)
    state = {k: v.float() for k, v in state.items() if not k.startswith("bert.pooler.") and not k.endswith("position_ids")}
    c["dim"] = state["linear.weight"].shape[0]
    m = Encoder(c)
    m.load_state_dict(state)  # strict: no weight missing, none left over
    return m.eval()


def random_checkpoint(folder, sizes):
    """Random weights: those of attention so large that it is far from uniform, and
    what it adds so small that tokens do not become alike from layer to layer."""
    from safetensors.torch import save_file
    torch.manual_seed(11)
    c = settings({**sizes, "position_embedding_type": "alibi", "feed_forward_type": "geglu", "model_type": "bert"})
    m = Encoder(c)
    for name, p in m.named_parameters():
        if "LayerNorm.weight" in name or "layernorm.weight" in name:
            nn.init.normal_(p, 1, 0.1)
        elif name.endswith("bias"):
            nn.init.normal_(p, 0, 0.1)
        elif ".self.query." in name or ".self.key." in name:
            nn.init.normal_(p, 0, 1.8 / math.sqrt(p.shape[1]))
        elif "attention.output.dense" in name or "token_type" in name:
            nn.init.normal_(p, 0, 0.5 / math.sqrt(p.shape[1]))
        else:
            nn.init.normal_(p, 0, 1 / math.sqrt(p.shape[-1]))
    os.makedirs(folder, exist_ok=True)
    save_file({k: v.contiguous() for k, v in m.state_dict().items()}, os.path.join(folder, "model.safetensors"))
    write(os.path.join(folder, "config.json"), {k: v for k, v in c.items() if k != "dim"})
    write(os.path.join(folder, "artifact.metadata"), {
        "dim": c["dim"], "query_maxlen": 128, "doc_maxlen": c["max_position_embeddings"], "mask_punctuation": True, "attend_to_mask_tokens": False,
        "query_token_id": "[unused0]", "doc_token_id": "[unused1]",
    })
    tokenizer = os.path.join(TESTDATA, "tokenizer.json") if sizes is TINY else os.path.join(TESTDATA, "..", "..", "bundled", "model", "tokenizer.json")
    shutil.copy(tokenizer, os.path.join(folder, "tokenizer.json"))


def write(path, form):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(form, f, indent=1)
        f.write("\n")


def convert(checkpoint, out, half=False):
    m = load(checkpoint)
    if half:
        m = m.half()
    os.makedirs(out, exist_ok=True)
    ids = torch.tensor([[4, 2, 9, 10, 5], [4, 2, 9, 5, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
    axes = {0: "batch", 1: "length"}
    torch.onnx.export(
        m, (ids, mask), os.path.join(out, "model_fp16.onnx" if half else "model.onnx"), input_names=["input_ids", "attention_mask"], output_names=["embeddings"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "embeddings": axes}, opset_version=17, dynamo=False,
    )
    for name in ("config.json", "artifact.metadata", "tokenizer.json", "README.md"):
        if os.path.exists(os.path.join(checkpoint, name)):
            shutil.copy(os.path.join(checkpoint, name), os.path.join(out, name))


@torch.no_grad()
def plain(m, ids, fault=""):
    """One text, all heads at once; and the mean entropy of attention, as a share of
    the uniform one's."""
    c, n = m.config, len(ids)
    state = m.state_dict()
    heads = c["num_attention_heads"]
    s = torch.tensor(slopes(heads))
    if fault == "slopes":
        s = s.roll(1)
    if fault == "marker":
        ids = [*ids[:1], 1, *ids[2:]]
    if fault == "cut":
        ids = ids[:512]
    x = m.embed(torch.tensor([ids]))[0]
    at = torch.arange(len(ids))
    distance = (at[None, :] - at[:, None]).abs()
    together = heads if len(ids) <= 2048 else 1  # heads whose scores are in memory at once
    entropies = []
    for i in range(c["num_hidden_layers"]):
        def w(name):
            return state[f"bert.encoder.layer.{i}.{name}"]
        def linear(name, x):
            return x @ w(name + ".weight").T + w(name + ".bias")
        def norm(name, x):
            return nn.functional.layer_norm(x, x.shape[-1:], w(name + ".weight"), w(name + ".bias"), c["layer_norm_eps"])
        q, k, v = (linear("attention.self." + name, x).view(len(ids), heads, -1).transpose(0, 1) for name in ("query", "key", "value"))
        mixed, entropy = [], 0.0
        for h in range(0, heads, together):
            group = slice(h, h + together)
            scores = q[group] @ k[group].transpose(1, 2) / math.sqrt(q.shape[-1]) - s[group, None, None] * distance
            if fault == "causal":
                scores = scores.masked_fill(at[None, None, :] > at[None, :, None], -1e9)
            p = torch.softmax(scores, -1)
            mixed.append(p @ v[group])
            if len(ids) <= 2048:
                entropy += float(-(p * p.clamp_min(1e-30).log()).sum(-1).mean() / math.log(len(ids)))
        if entropy:
            entropies.append(entropy)
        x = norm("attention.output.LayerNorm", x + linear("attention.output.dense", torch.cat(mixed).transpose(0, 1).reshape(len(ids), -1)))
        both = x @ w("mlp.gated_layers.weight").T
        inner = both.shape[-1] // 2
        gated = nn.functional.gelu(both[:, :inner])
        if fault != "gate":
            gated = gated * both[:, inner:]
        x = norm("mlp.layernorm", x + linear("mlp.wo", gated))
    out = x @ state["linear.weight"].T
    return nn.functional.normalize(out, dim=-1).numpy(), entropies


def golden(checkpoint, out, lengths, every):
    """For each length the ids of a document and every so manieth of its vectors;
    at 600 tokens, for each fault the same."""
    m = load(checkpoint)
    with open(os.path.join(checkpoint, "tokenizer.json"), encoding="utf-8") as f:
        vocab = json.load(f)["model"]["vocab"]
    words = [i for p, i in vocab.items() if p.isalpha() and p.islower()][:2000]
    special = [vocab[p] for p in ("[CLS]", "[unused1]", "[SEP]")]
    names = {i: p for p, i in vocab.items()}
    r = np.random.default_rng(5)
    result = {"documents": []}
    for n in [*lengths, 600]:
        body = [words[i] for i in r.integers(0, len(words), n - 3)]
        ids = [special[0], special[1], *body, special[2]]
        right, entropies = plain(m, ids)
        step = every if n > 64 else 1
        doc = {"length": n, "text": " ".join(names[i] for i in body), "every": step, "vectors": right[::step].round(6).tolist(), "faults": {}}
        if entropies:
            doc["entropy"] = max(entropies)
        if n == 600:
            for fault in FAULTS:
                doc["faults"][fault] = plain(m, ids, fault)[0][::step].round(6).tolist()
        result["documents"].append(doc)
        print(n, "tokens, greatest entropy of a layer", max(entropies, default=0), {f: float(min(np.dot(a, b) for a, b in zip(v, doc["vectors"]))) for f, v in doc["faults"].items()}, flush=True)
    with open(out, "w", encoding="utf-8") as f:
        json.dump(result, f, separators=(",", ":"))
        f.write("\n")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("do", choices=("convert", "random", "golden", "testdata"))
    p.add_argument("paths", nargs="*")
    p.add_argument("--tiny", action="store_true")
    p.add_argument("--small", action="store_true")
    p.add_argument("--half", action="store_true")
    p.add_argument("--lengths", default="8,512,2048,8192")
    p.add_argument("--every", type=int, default=1)
    a = p.parse_args()
    lengths = [int(n) for n in a.lengths.split(",")]
    if a.do == "convert":
        convert(*a.paths, half=a.half)
    elif a.do == "random":
        random_checkpoint(a.paths[0], TINY if a.tiny else SMALL if a.small else BASE)
    elif a.do == "golden":
        golden(*a.paths, lengths, a.every)
    else:
        import tempfile
        with tempfile.TemporaryDirectory() as tmp:
            random_checkpoint(tmp, TINY)
            convert(tmp, os.path.join(TESTDATA, "jina"))
            convert(tmp, os.path.join(TESTDATA, "jina"), half=True)
            golden(tmp, os.path.join(TESTDATA, "jina", "golden.json"), lengths, 37)


if __name__ == "__main__":
    main()
