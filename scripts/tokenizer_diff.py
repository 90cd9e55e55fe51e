#!/usr/bin/env python3
"""Compares encoder/tokenizer with the Hugging Face tokenizers library, ids and
offsets, on hostile strings, and writes the golden file.

    pip install tokenizers==0.23.3
    scripts/tokenizer_diff.py --tokenizer path/to/tokenizer.json            # compare
    scripts/tokenizer_diff.py --tokenizer ... --golden encoder/tokenizer/testdata/golden.jsonl

Settings of the file are varied too: cased, accents kept, added tokens that
match normalised text, single words, with white space on either side.
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
    "new": [chr(c) for c in (0x1C89, 0xA7CB, 0xA7DC, 0x10D50, 0x16EA0, 0x11F02, 0x1E4D0, 0x31350, 0x1FAE9, 0x897, 0x2FFC, 0xA7C0, 0x1DFA, 0x1C90, 0x13A0, 0xAB70)],
}
WORDS = """the running presence of communication amid scientific minds unbelievably
antidisestablishmentarianism Ångström CAFÉ naïve résumé Straße İstanbul don't e-mail
state-of-the-art 3.14159 1,000,000 http://example.org/a?b=c&d=e#f user@host.example
snake_case CamelCase [CLS] [SEP] [MASK] [UNK] [PAD] [cls] [unused0] [Q] ##ing ## # [ ] [[MASK]]
x86_64 C++ naïve\u0301 ｆｕｌｌｗｉｄｔｈ ﷽ a\u0300\u0323 e\u0301\u0327\u0304""".split()


def hostile(seed, count):
    r = random.Random(seed)
    pools = list(POOLS.values())
    everything = [c for p in pools for c in p]
    out = ["", " ", "[MASK]", " [MASK] ", "\u0301", "\u0301a", "a" * 100, "a" * 101, "é" * 100, "é" * 101, "e\u0301" * 100, "东" * 300, "[CLS]" * 50, "\ufeffabc", "\u200d" * 20]
    while len(out) < count:
        kind = r.randrange(7)
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
        else:  # long words around the limit of characters
            out.append("".join(r.choices(r.choice(["abc", "é", "xyz漢", "aİ", "a\u0301"]), k=r.randrange(95, 106))))
    return out


def added(content, **settings):
    return {"content": content, "special": False, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, **settings}


def variants(base):
    yield "as it is", base
    for clean in (True, False):
        for accents in (None, True, False):
            for lower in (True, False):
                v = json.loads(json.dumps(base))
                v["normalizer"].update(clean_text=clean, strip_accents=accents, lowercase=lower, handle_chinese_chars=clean or lower)
                vocab = v["model"]["vocab"]
                fresh = itertools.count(len(vocab))
                for t in ([
                    added("[Q] ", special=True), added("[D]", lstrip=True, rstrip=True), added("Café", normalized=True),
                    added("ing", single_word=True), added("<word>", normalized=True, lstrip=True), added("東京", normalized=True),
                ]):
                    v["added_tokens"].append({"id": vocab[t["content"]] if t["content"] in vocab else next(fresh), **t})
                yield f"clean_text {clean}, strip_accents {accents}, lowercase {lower}", v


def yardstick(tok, text):
    """Ids and byte offsets."""
    e = tok.encode(text, add_special_tokens=False)
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
            texts += ["x" * (1 << 20), "é" * (1 << 19), "word " * 200000]
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
        bad = 0
        for text, line in zip(texts, results):
            want, got = yardstick(tok, text), json.loads(line)
            if got != want:
                bad += 1
                if bad <= 3:
                    print(f"{name}: {ascii(text)[:300]}\n  want {str(want)[:300]}\n  got  {str(got)[:300]}")
        print(f"{name}: {len(texts)} strings, {bad} differ")
        wrong, total = wrong + bad, total + len(texts)
    print(f"{total} strings, {wrong} differ")
    sys.exit(wrong != 0)


if __name__ == "__main__":
    main()
