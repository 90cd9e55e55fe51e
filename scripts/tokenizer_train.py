#!/usr/bin/env python3
"""Trains small tokenizers built like those of ModernBERT (byte-level BPE) and
XLM-RoBERTa (Unigram), and writes their tokenizer.json.

    pip install tokenizers==0.23.3
    scripts/tokenizer_train.py --out encoder/tokenizer/testdata          # the committed ones
    scripts/tokenizer_train.py --out DIR --size 30000 --spm FILE TEXT…   # larger ones, of other text

The committed ones learn from this repository's own documentation and from the
characters of tokenizer_diff.py. Their map of characters is made here, of a part
of NFKC; --spm takes the one of a SentencePiece model instead (pip install
sentencepiece; what SentencePieceTrainer writes holds nmt_nfkc, as XLM-RoBERTa's
file does).
"""
import argparse
import base64
import glob
import json
import os
import random
import struct
import unicodedata

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

import tokenizer_diff

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def charsmap(pairs):
    """SentencePiece's precompiled_charsmap of a dict: a double-array trie over the
    bytes of the keys, and the values, each ended by NUL."""
    values, at = bytearray(), {}
    root = {}
    for key, value in sorted(pairs.items()):
        if value not in at:
            at[value] = len(values)
            values += value.encode() + b"\0"
        node = root
        for b in key.encode():
            node = node.setdefault(b, {})
        node[-1] = at[value]
    units, used, bases, free = [], [], set(), [1]

    def grow(n):
        while len(units) < n:
            units.extend([0] * 256)
            used.extend([False] * 256)

    def place(labels):
        while used[free[0]] if free[0] < len(used) else False:
            free[0] += 1
        base = max(1, free[0] ^ labels[0])
        while True:
            grow((base | 255) + 1)
            if base not in bases and not any(used[base ^ c] for c in labels):
                return base
            base += 1

    grow(256)
    used[0] = True
    stack = [(0, root, 0)]
    while stack:
        position, node, label = stack.pop()
        labels = sorted(0 if c == -1 else c for c in node)
        base = place(labels)
        bases.add(base)
        assert position ^ base < 1 << 21
        units[position] = label | (1 << 8 if -1 in node else 0) | (position ^ base) << 10
        for c in labels:
            used[base ^ c] = True
        if -1 in node:
            units[base] = node[-1] | 1 << 31
        stack.extend((base ^ c, child, c) for c, child in node.items() if c != -1)
    trie = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(trie)) + trie + bytes(values)


def some_nfkc():
    """A part of what nmt_nfkc maps: compatibility forms below U+2500, full-width
    forms, compositions with the common marks, white space and controls."""
    pairs = {}
    for c in [*range(0xA0, 0x2500), *range(0x3000, 0x3100), *range(0xFB00, 0xFB50), *range(0xFF00, 0xFFEF)]:
        s = chr(c)
        n = unicodedata.normalize("NFKC", s)
        if n != s:
            pairs[s] = n
        d = unicodedata.normalize("NFD", s)
        if d != s and len(d) == 2 and unicodedata.normalize("NFC", d) == s:
            pairs[d] = unicodedata.normalize("NFKC", s)
    for c in [*range(1, 9), 0xB, *range(0xE, 0x20), 0x7F, 0x8F, 0x9F]:
        pairs[chr(c)] = ""
    for c in [9, 10, 12, 13, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF, 0xFFFD]:
        pairs[chr(c)] = " "
    return charsmap(pairs)


def spm_charsmap(path):
    """The charsmap of a SentencePiece model: field 3 (normalizer_spec), field 2."""
    def field(data, want):
        i = 0
        def varint():
            nonlocal i
            n = shift = 0
            while True:
                b = data[i]
                i += 1
                n |= (b & 127) << shift
                shift += 7
                if b < 128:
                    return n
        while i < len(data):
            key = varint()
            kind = key & 7
            if kind == 0:
                varint()
            elif kind == 5:
                i += 4
            elif kind == 1:
                i += 8
            else:
                n = varint()
                if key >> 3 == want:
                    return data[i : i + n]
                i += n
        raise SystemExit(f"{path} has no field {want}")
    with open(path, "rb") as f:
        return field(field(f.read(), 3), 2)


def byte_level(texts, size):
    """As ModernBERT: NFC, GPT-2's expression, no prefix space, runs of spaces as
    added tokens, [MASK] taking the space before it; and the markers that PyLate
    adds."""
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    t.add_special_tokens([AddedToken(s, special=True, normalized=False, lstrip=s == "[MASK]") for s in ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")])
    t.add_tokens([AddedToken("[Q] ", normalized=True), AddedToken("[D] ", normalized=True)])
    cls, sep = t.token_to_id("[CLS]"), t.token_to_id("[SEP]")
    t.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", cls), ("[SEP]", sep)])
    return t


def unigram(texts, size, charmap):
    """As XLM-RoBERTa: SentencePiece's normalisation, words of ▁, Viterbi."""
    def components(t):
        t.normalizer = normalizers.Precompiled(charmap)
        t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
        return t
    t = components(Tokenizer(models.Unigram()))
    t.train_from_iterator(texts, trainers.UnigramTrainer(vocab_size=size, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False))
    vocab = [tuple(p) for p in json.loads(t.to_str())["model"]["vocab"]]
    t = components(Tokenizer(models.Unigram([*vocab, ("<mask>", 0.0)], unk_id=3, byte_fallback=False)))
    t.add_special_tokens([AddedToken(s, special=True, normalized=False, lstrip=s == "<mask>") for s in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")])
    t.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", [("<s>", 0), ("</s>", 2)])
    return t


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", required=True)
    p.add_argument("--size", type=int, default=1200)
    p.add_argument("--spm")
    p.add_argument("text", nargs="*")
    a = p.parse_args()
    texts = []
    for path in a.text or sorted(glob.glob(os.path.join(ROOT, "docs", "**", "*.md"), recursive=True)):
        with open(path, encoding="utf-8") as f:
            texts += f.read().splitlines()
    r = random.Random(3)
    texts += ["".join(r.choices(pool, k=20)) for pool in tokenizer_diff.POOLS.values() for _ in range(40)]
    charmap = spm_charsmap(a.spm) if a.spm else some_nfkc()
    for name, t in (("bpe", byte_level(texts, a.size)), ("unigram", unigram(texts, a.size, charmap))):
        form = json.loads(t.to_str())
        with open(os.path.join(a.out, name + ".json"), "w", encoding="utf-8") as f:
            json.dump(form, f, ensure_ascii=False, separators=(",", ":"))
            f.write("\n")
        print(name, t.get_vocab_size())


if __name__ == "__main__":
    main()
