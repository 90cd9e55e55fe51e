#!/usr/bin/env python3
"""Compares encoder/tokenizer with the Hugging Face tokenizers library, ids and
offsets, on hostile strings, and writes the golden file.

    pip install tokenizers==0.23.3
    scripts/tokenizer_diff.py --tokenizer path/to/tokenizer.json            # compare
    scripts/tokenizer_diff.py --tokenizer ... --golden encoder/tokenizer/testdata/golden.jsonl

The components of the file and their settings are varied too: cased, accents
kept, other normalisers and pre-tokenisers, added tokens that match normalised
text, single words, with white space on either side.
"""
import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

POOLS = {
    "ascii": [chr(c) for c in range(128)],
    "latin": [chr(c) for c in range(0xA0, 0x250)] + list("ẞßİıŒœǅǈﬁﬀ\u1e9e\u017f"),
    "marks": [chr(c) for c in range(0x300, 0x370)] + list("\u0345\u0488\u05b0\u0651\u093c\u094d\u0e48\u0f71\u0f72\u1dc0\u1df6\u20d0\u302e\u302f\u3099\ufe20\U0001d165\U0001d16d\U00011938\u0898\u1ac0\U00010d24\u0c3c\u1abf\ua82c"),
    "space": list(" \t\n\r\v\f\u0085\u00a0\u1680\u2000\u2003\u2009\u2028\u2029\u202f\u205f\u3000\u200b\ufeff"),
    "control": list("\x00\x01\x07\x1b\x7f\x80\x9f\u00ad\u061c\u200c\u200d\u200e\u202a\u202e\u2066\ufff9\ufffd\ufffe\ue000\U000e0001\U000f0000\U0010ffff\u0378\u05ff"),
    "punct": list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡§«»¿–—‘’“”…‰′※⁂、。「」《》！？；：،؛؟।॥\u2e43\u2e52\u1b7d\u061d\u166d\U00011c41"),
    "cjk": list("東京都の漢字仮名交じり文中文测试한국어각힣豈更㐀䶵") + [chr(c) for c in (0x20000, 0x2A6DF, 0x2A700, 0x2B81F, 0x2B820, 0x2B91F, 0x2B920, 0x2CEAF, 0x2CEB0, 0xF900, 0xFAFF, 0x2F800, 0x2FA1F)],
    "emoji": list("🙂👍🏽❤️🇩🇪🏳️‍🌈👨‍👩‍👧‍👦☃⌚1️⃣"),
    "rtl": list("שלום עולםمرحبا بالعالمﷺپ\u05f3\u0640"),
    "greek": list("ΑΒΓΣσςάΐϊᾳᾼΏ\u037e\u1fef\u1fbd\u0387"),
    "cyrillic": list("Привет мирЁёЙйЇї\u04b6Ꙋ"),
    "indic": list("नमस्तेक्षநமிழ்ਪੰਜਾਬীকোড়ঢ়ਸ਼ഓൗ"),
    "math": list("≠≮≯∤Å℃Ωﬁ½²³①ⅳ𝐀𝔘Ⅷ"),
    "clusters": list("\r\n\u0600\u0d4e\u0e33\u0903\u1100\u1161\u11a8\u11a7\u3131\uac00\ud7a3\u200d\u00a9\u2764\ufe0f\u0915\u094d\u0958\u093c\u0300\u0308\u0301\u00a8\u0340\u0344\u0f73\u0f81\u09c7\u09be\u0dd9\u0dcf\u1025\u102e\U0001f1e9\U0001f1ea\U0001f469\U0001f3fd\U00011099\U000110ba\u212b\u2126\u1e9b\u0323\ufb1d"),
    "new": [chr(c) for c in (0x1C89, 0xA7CB, 0xA7DC, 0x10D50, 0x16EA0, 0x11F02, 0x1E4D0, 0x31350, 0x1FAE9, 0x897, 0x2FFC, 0xA7C0, 0x1DFA, 0x1C90, 0x13A0, 0xAB70)],
}
WORDS = """the running presence of communication amid scientific minds unbelievably
antidisestablishmentarianism Ångström CAFÉ naïve résumé Straße İstanbul don't e-mail
state-of-the-art 3.14159 1,000,000 http://example.org/a?b=c&d=e#f user@host.example
snake_case CamelCase [CLS] [SEP] [MASK] [UNK] [PAD] [cls] [unused0] [Q] ##ing ## # [ ] [[MASK]]
x86_64 C++ naïve\u0301 ｆｕｌｌｗｉｄｔｈ ﷽ a\u0300\u0323 e\u0301\u0327\u0304""".split()

SPLITS = """'s 't 're 've 'm 'll 'd 'S 'RE 'lL '\u017f ' '' '' a don't I'LL x's 1 12 123 1234 ½ ² ٣ é 東 ! ... -- $5 (a) _ ▁ ▁▁a""".split() + [
    " ", "  ", "   ", "\n", "\r\n", "\n\n", " \n ", "\t", "\u00a0", "\u3000", "\u2028", " a", " 1", " !", "\na", "\n!", "!\n", "[MASK]", " <mask>", "<mask> ", "[Q] ", "[D] ", "<s>", "</s>", "<unk>"]


def hostile(seed, count):
    r = random.Random(seed)
    pools = list(POOLS.values())
    everything = [c for p in pools for c in p]
    out = ["", " ", "[MASK]", " [MASK] ", "\u0301", "\u0301a", "a" * 100, "a" * 101, "é" * 100, "é" * 101, "e\u0301" * 100, "东" * 300, "[CLS]" * 50, "\ufeffabc", "\u200d" * 20]
    while len(out) < count:
        kind = r.randrange(8)
        if kind == 0:  # words
            out.append(r.choice([" ", "", "\t", "\u00a0", "-"]).join(r.choices(WORDS, k=r.randrange(1, 12))))
        elif kind == 1:  # one pool
            out.append("".join(r.choices(r.choice(pools), k=r.randrange(1, 60))))
        elif kind == 2:  # everything
            out.append("".join(r.choices(everything, k=r.randrange(1, 80))))
        elif kind == 3:  # any code point
            out.append("".join(chr(c) for c in (r.randrange(0x30000 if r.random() < 0.8 else 0x110000) for _ in range(r.randrange(1, 40))) if not 0xD800 <= c < 0xE000))
        elif kind == 4:  # base letters under heaps of marks
            out.append("".join(r.choice("aeiouAEIOUçñ각が") + "".join(r.choices(POOLS["marks"], k=r.randrange(5))) for _ in range(r.randrange(1, 15))))
        elif kind == 5:  # words with a character pushed in
            w = list(" ".join(r.choices(WORDS, k=r.randrange(1, 8))))
            for _ in range(r.randrange(1, 6)):
                w.insert(r.randrange(len(w) + 1), r.choice(everything))
            out.append("".join(w))
        elif kind == 6:  # what byte-level expressions tell apart
            out.append("".join(r.choice(SPLITS) for _ in range(r.randrange(1, 25))))
        else:  # long words around the limit of characters
            out.append("".join(r.choices(r.choice(["abc", "é", "xyz漢", "aİ", "a\u0301"]), k=r.randrange(95, 106))))
    return out


def added(content, **settings):
    return {"content": content, "special": False, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, **settings}


MARKED = [
    added("[Q] ", special=True), added("[D]", lstrip=True, rstrip=True), added("Café", normalized=True),
    added("ing", single_word=True), added("<word>", normalized=True, lstrip=True), added("東京", normalized=True),
]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def component(kind, **settings):
    return {"type": kind, **settings}


def sequence(key, *parts):
    return {"type": "Sequence", key: list(parts)}


def byte_level(use_regex=True, prefix=False):
    return component("ByteLevel", add_prefix_space=prefix, trim_offsets=True, use_regex=use_regex)


def metaspace(scheme="always", split=True):
    return component("Metaspace", replacement="▁", prepend_scheme=scheme, split=split)


def split(pattern, behavior="Isolated", invert=False):
    return component("Split", pattern={"Regex" if "|" in pattern else "String": pattern}, behavior=behavior, invert=invert)


def variants(base):
    """The file as it is and with other components: (name, form)."""
    yield "as it is", base
    kind = base["model"]["type"]

    def varied(name, normalizer=base["normalizer"], pre=base["pre_tokenizer"], post=base["post_processor"], tokens=(), **model):
        v = json.loads(json.dumps({**base, "normalizer": normalizer, "pre_tokenizer": pre, "post_processor": post}))
        v["model"].update(model)
        vocab = v["model"]["vocab"]
        known = {a["content"]: a["id"] for a in v["added_tokens"]}
        known.update(vocab if isinstance(vocab, dict) else {p: i for i, (p, _) in enumerate(vocab)})
        fresh = itertools.count(max(known.values()) + 1)
        have = {a["content"] for a in v["added_tokens"]}
        v["added_tokens"] += [{"id": known[t["content"]] if t["content"] in known else next(fresh), **t} for t in tokens if t["content"] not in have]
        return name, v

    if kind == "WordPiece":
        for clean in (True, False):
            for accents in (None, True, False):
                for lower in (True, False):
                    bert = component("BertNormalizer", clean_text=clean, strip_accents=accents, lowercase=lower, handle_chinese_chars=clean or lower)
                    yield varied(f"clean_text {clean}, strip_accents {accents}, lowercase {lower}", bert, tokens=MARKED)
        return
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        yield varied(form, component(form), tokens=MARKED)
    plain = sequence("normalizers", component("NFKC"), component("Lowercase"), component("StripAccents"))
    if kind == "BPE":
        roberta = component("RobertaProcessing", sep=["[SEP]", 2], cls=["[CLS]", 1], trim_offsets=True, add_prefix_space=True)
        yield varied("prefix space, trimmed offsets", None, byte_level(prefix=True), roberta)
        yield varied("trimmed offsets", None, byte_level(), byte_level())
        yield varied("Llama 3", None, sequence("pretokenizers", split(LLAMA), byte_level(False)), ignore_merges=True)
        yield varied("Qwen 2", component("NFC"), sequence("pretokenizers", split(LLAMA.replace("{1,3}", "")), byte_level(False)))
        yield varied("GPT-2 by Split", None, sequence("pretokenizers", split(GPT2, "Removed", True), byte_level(False)))
        for behavior in ("Removed", "Isolated", "Contiguous", "MergedWithPrevious", "MergedWithNext"):
            yield varied(f"digits, punctuation, {behavior}", plain, sequence("pretokenizers", component("Digits", individual_digits=behavior == "Isolated"), component("Punctuation", behavior=behavior), split("a", behavior), byte_level(False)))
        for fuse in (False, True):
            yield varied(f"unknown characters, fuse_unk {fuse}", None, metaspace(), unk_token="!", fuse_unk=fuse)
        yield varied("characters that vanish", None, metaspace("first"))
        return
    spm = base["normalizer"]
    collapse = component("Replace", pattern={"Regex": " {2,}"}, content="▁")
    yield varied("as SentencePiece is converted", sequence("normalizers", spm, component("Strip", strip_left=False, strip_right=True), collapse), metaspace())
    yield varied("spaces collapsed", sequence("normalizers", spm, component("Replace", pattern={"Regex": " {2,}"}, content=" ")), metaspace("first"), tokens=MARKED)
    yield varied("not cut", sequence("normalizers", component("Prepend", prepend="▁"), component("Replace", pattern={"String": " "}, content="▁▁")), metaspace("never", False))
    plain["normalizers"].append(component("Strip", strip_left=True, strip_right=True))
    yield varied("plain", plain, sequence("pretokenizers", component("WhitespaceSplit"), metaspace("first")))
    yield varied("added tokens", tokens=MARKED)


def yardstick(tok, text):
    """Ids and byte offsets; None where the library panics."""
    try:
        e = tok.encode(text, add_special_tokens=False)
    except BaseException as err:  # pyo3_runtime.PanicException is no Exception
        if type(err).__name__ != "PanicException":
            raise
        return None
    at = [0]
    for c in text:
        at.append(at[-1] + len(c.encode()))
    return [[i, at[a], at[b]] for i, (a, b) in zip(e.ids, e.offsets)]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--tokenizer", required=True)
    p.add_argument("--count", type=int, default=12000, help="strings for the file as it is; a fourth of that for each variant")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--golden")
    a = p.parse_args()
    base = json.load(open(a.tokenizer, encoding="utf-8"))
    base["truncation"] = base["padding"] = None
    if a.golden:
        tok = Tokenizer.from_str(json.dumps(base))
        with open(a.golden, "w", encoding="utf-8") as f:
            for text in hostile(a.seed, 400):
                f.write(json.dumps({"text": text, "tokens": yardstick(tok, text)}) + "\n")
        return
    wrong = total = 0
    for name, form in variants(base):
        texts = hostile(a.seed, a.count if name == "as it is" else a.count // 4)
        if name == "as it is":
            texts += ["x" * (1 << 20), "é" * (1 << 19), "word " * 200000, "xy1é" * (1 << 17)]
        tok = Tokenizer.from_str(json.dumps(form))
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as f:
            json.dump(form, f)
            f.flush()
            lines = "".join(json.dumps(t) + "\n" for t in texts)
            done = subprocess.run(["go", "run", "./encoder/tokenizer/internal/dump", f.name], cwd=ROOT, input=lines, text=True, capture_output=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        results = done.stdout.splitlines()
        assert len(results) == len(texts), (len(results), len(texts))
        bad = panics = 0
        for text, line in zip(texts, results):
            want, got = yardstick(tok, text), json.loads(line)
            if want is None:
                panics += 1
            elif got != want:
                bad += 1
                if bad <= 3:
                    print(f"{name}: {ascii(text)[:300]}\n  want {str(want)[:300]}\n  got  {str(got)[:300]}")
        print(f"{name}: {len(texts) - panics} strings, {bad} differ" + (f"; the library panics on {panics} more" if panics else ""))
        wrong, total = wrong + bad, total + len(texts) - panics
    print(f"{total} strings, {wrong} differ")
    sys.exit(wrong != 0)


if __name__ == "__main__":
    main()
