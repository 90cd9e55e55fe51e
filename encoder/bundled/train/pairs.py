"""Extract (query, document) training pairs from permissively licensed text.

    python pairs.py --data ../../../../shared/data --out work/

Three kinds of source, all listed with their licences in SOURCES.md:

- docstrings of Python packages: the first sentence asks, the signature with the
  rest of the docstring (or the code) answers;
- manuals of Debian packages (HTML): the heading asks, its paragraphs answer;
- training splits of judged collections: the question asks, the answer answers;
  and of their texts, a title or a sentence asks for the rest.

Collections are opened through allowed() alone.
"""

import argparse
import ast
import hashlib
import html.parser
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import zipfile

PYPI = """aiohttp==3.14.5 attrs==26.1.0 celery==5.7.0 click==8.5.1 django==5.2.19 flask==3.1.3 jinja2==3.1.6
nltk==3.10.4 numpy==2.4.6 networkx==3.6.1 pandas==3.1.1 pillow==13.0.0 pytest==9.2.0 requests==2.34.2 rich==15.0.0
scikit-learn==1.9.1 scipy==1.17.1 sqlalchemy==2.1.9 statsmodels==0.15.0 sympy==1.14.0 tornado==6.6.1
werkzeug==3.1.9""".split()
DEBIAN = "apache2-doc nodejs-doc postgresql-doc-15 python3.11-doc python-django-doc rust-doc sqlite3-doc".split()
# What may be read of the judged collections. Everything else is refused.
ALLOWED = {
    "scifact/corpus.jsonl", "scifact/queries.jsonl", "scifact/qrels/train.tsv",
    "medquad/corpus.jsonl", "medquad/queries.jsonl", "medquad/qrels/selfqa.tsv",
    "cosqa/corpus.jsonl", "cosqa/queries.jsonl", "cosqa/qrels/dev.tsv",
}  # fmt: skip
# Questions of training splits that test splits ask as well: sha256 of normal().
EXCLUDED = {
    "745900882bd4c69a5a29040dd984de3051574bf87ec43ab0617e659c3f9b4517",
    "12b60b856be0e554106d89679d74f56bd5e8fb65496ab010b33f9a16d13baf0f",
}
# What marks a sentence that was torn out of a page's furniture.
FURNITURE = re.compile(r"[{}<>·🔬−=]|^(Added|Source|Default|Available on|Changed in)|nightly")
WORD = re.compile(r"[A-Za-z]{2,}")


def allowed(data, name):
    """Open a file of the collections, if it is training material."""
    if name not in ALLOWED:
        raise PermissionError(f"{name} is not training material")
    return open(pathlib.Path(data) / name, encoding="utf-8")


def first_sentence(text):
    """Split a docstring into its first sentence and the rest."""
    para, _, rest = text.partition("\n\n")
    para = " ".join(para.split())
    m = re.match(r"(.{12,}?[a-z)`'\"])\.\s+(?=[A-Z`])", para)
    return (m[1], para[m.end() :] + "\n" + rest) if m else (para, rest)


def spelled(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_.:]+", " ", name).strip().lower()


def python_pairs(label, files):
    """One pair a documented function or class."""
    for name, source in files:
        if re.search(r"(^|/)(tests?|testing|_vendor|vendor)/|test_", name):
            continue
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            continue
        module = re.sub(r"(/__init__)?\.py$", "", name).replace("/", ".")
        for node in ast.walk(tree):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                continue
            doc = ast.get_docstring(node)
            if not doc or node.name.startswith("test"):
                continue
            first, rest = first_sentence(doc)
            if not 3 <= len(WORD.findall(first)) <= 30:
                continue
            if isinstance(node, ast.ClassDef):
                sig = "class " + node.name
            else:
                try:
                    sig = f"def {node.name}({ast.unparse(node.args)})"
                except ValueError:
                    continue
            if len(WORD.findall(rest)) < 8:
                body = node.body[1:]
                code = "\n".join(ast.unparse(b) for b in body)[:700]
                if len(code) < 40:
                    continue
                rest = code
            yield {"kind": "api", "group": label + ":" + module, "q": first, "name": node.name, "d": f"{module}: {sig[:300]}\n\n{rest[:1200]}"}


class Sections(html.parser.HTMLParser):
    """Headings of a page with the paragraphs that follow each."""

    def __init__(self):
        super().__init__()
        self.out, self.text, self.skip, self.inside, self.title = [], [], 0, None, ""

    def handle_starttag(self, tag, attrs):
        if tag in ("script", "style", "nav", "head"):
            self.skip += 1
        if tag in ("h1", "h2", "h3", "h4", "dt", "summary"):
            self.flush()
            self.inside, self.head = tag, []
        if tag in ("p", "li", "pre", "dd", "br", "tr"):
            self.text.append("\n")

    def handle_endtag(self, tag):
        if tag in ("script", "style", "nav", "head"):
            self.skip -= 1
        if tag == self.inside:
            self.inside = None
            self.out.append([" ".join("".join(self.head).split()), ""])

    def handle_data(self, data):
        if self.skip > 0:
            return
        if self.inside:
            self.head.append(data)
        else:
            self.text.append(data)

    def flush(self):
        body = re.sub(r"[ \t]+", " ", "".join(self.text))
        body = re.sub(r"\s*\n\s*", "\n", body).strip()
        if self.out:
            self.out[-1][1] = body
        self.text = []


def package_furniture(label):
    """Whether a manual starts its sections with version and source links."""
    return label in ("rust-doc", "nodejs-doc")


def manual_pairs(label, files):
    """One pair a section whose heading says something."""
    for page_name, page in files:
        s = Sections()
        s.feed(page)
        s.close()
        s.flush()
        for head, body in s.out:
            head = re.sub(r"^[\d.]+\s+|[¶§#]|^Chapter \d+\.|\[−\]|\[src\]|source$", " ", head).replace("\xa0", " ").strip()
            head = " ".join(head.split())
            body = re.sub(r"^(.*?(source|🔬.*?API\.?|#\d+|only)\s*(·\s*\[−\]|\[−\])?.*?\n)", "", body) if package_furniture(label) else body
            sentence, rest = first_sentence(body)
            if FURNITURE.search(sentence) or not sentence.isascii() or not head.isascii():
                continue
            api = "(" in head or "::" in head or head.startswith(("fn ", "pub ", "struct ", "class "))
            name = head.split("(")[0].split()
            if api and 4 <= len(WORD.findall(sentence)) <= 30:
                # A function's entry: its first sentence asks.
                doc = head if len(WORD.findall(rest)) < 5 else head + "\n\n" + rest
                yield {"kind": "api", "group": f"{label}:{page_name}", "q": sentence, "name": name[-1] if name else "", "d": doc[:1200], "also": (head + "\n\n" + body)[:1200]}
            elif not api and 2 <= len(WORD.findall(head)) <= 20 and 15 <= len(WORD.findall(body)):
                yield {"kind": "heading", "group": f"{label}:{page_name}", "q": head, "name": "", "d": body[:1200]}


def wheel_files(spec, cache):
    pattern = spec.replace("-", "_").replace("==", "-") + "-*.whl"
    found = list(cache.glob(pattern))
    if not found:
        subprocess.check_call([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(cache), spec])
        found = list(cache.glob(pattern))
    with zipfile.ZipFile(found[0]) as z:
        for n in sorted(z.namelist()):
            if n.endswith(".py"):
                yield n, z.read(n).decode("utf-8", "replace")


def debian_files(package, cache):
    found = sorted(cache.glob(package + "_*.deb"))
    if not found:
        subprocess.check_call(["apt-get", "download", "-qq", package], cwd=cache)
        found = sorted(cache.glob(package + "_*.deb"))
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.check_call(["dpkg-deb", "-x", str(found[0]), tmp])
        root = pathlib.Path(tmp)
        for p in sorted(root.rglob("*.htm*")):
            if p.suffix in (".html", ".htm") and p.is_file() and not p.is_symlink() and p.stat().st_size < 3_000_000:
                rel = str(p.relative_to(root))
                if re.search(r"[./](de|fr|es|ja|ko|tr|pt-br|zh-cn|da|ru)[./]|/src/|/std/(arch|os|simd)/|genindex|search|whatsnew|release|all\.html", rel):
                    continue
                if package == "rust-doc" and not re.search(r"/html/(std|book|rust-by-example)/", rel):
                    continue
                yield rel, p.read_text("utf-8", "replace")


def collection_pairs(data, name, split, kind):
    def rows(file):
        with allowed(data, f"{name}/{file}") as f:
            return {r["_id"]: r for r in map(json.loads, f)}

    corpus, queries = rows("corpus.jsonl"), rows("queries.jsonl")
    with allowed(data, f"{name}/qrels/{split}.tsv") as f:
        next(f)
        for line in f:
            q, d, grade = line.split("\t")
            if int(grade) > 0 and d in corpus and q in queries:
                doc = corpus[d]
                text = (doc.get("title", "") + " " + doc["text"]).strip()
                yield {"kind": kind, "group": name, "q": queries[q]["text"], "name": "", "d": text[:1600], "query_id": q, "doc_id": d}


def passage_pairs(data, name):
    """A title asks for its abstract, and a sentence for the rest of its text
    (the inverse cloze task of Lee et al. 2019): long questions in prose."""
    with allowed(data, f"{name}/corpus.jsonl") as f:
        corpus = [json.loads(line) for line in f]
    rnd = random.Random(11)
    for doc in corpus:
        title, text = " ".join(doc.get("title", "").split()), " ".join(doc["text"].split())
        if name == "scifact" and len(WORD.findall(title)) >= 4 and len(text) > 200:
            yield {"kind": "title", "group": name, "q": title, "name": "", "d": text[:1600], "doc_id": doc["_id"]}
        sentences = re.split(r"(?<=[a-z)][.?!]) (?=[A-Z])", text)
        long = [i for i, x in enumerate(sentences) if 10 <= len(WORD.findall(x)) <= 45]
        if len(sentences) >= 4 and long:
            i = rnd.choice(long)
            rest = " ".join(sentences[:i] + sentences[i + 1 :])
            yield {"kind": "sentence", "group": name, "q": sentences[i], "name": "", "d": rest[:1600], "doc_id": doc["_id"]}


def normal(text):
    return " ".join(re.findall(r"\w+", text.lower()))


def digest(query):
    return hashlib.sha256(normal(query).encode()).digest()


def held_out(pair):
    """A tenth, by the query's text."""
    return digest(pair["q"])[0] < 26


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", type=pathlib.Path, required=True)
    p.add_argument("--cache", type=pathlib.Path, default="work/cache")
    p.add_argument("--out", type=pathlib.Path, default="work")
    a = p.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    (a.cache).mkdir(parents=True, exist_ok=True)
    stdlib = pathlib.Path(ast.__file__).parent
    sources = {"python": lambda: python_pairs("python", ((str(f.relative_to(stdlib)), f.read_text("utf-8", "replace")) for f in sorted(stdlib.rglob("*.py")) if "site-packages" not in f.parts))}
    for spec in PYPI:
        sources[spec.split("==")[0]] = lambda s=spec: python_pairs(s.split("==")[0], wheel_files(s, a.cache))
    for pkg in DEBIAN:
        sources[pkg] = lambda s=pkg: manual_pairs(s, debian_files(s, a.cache))
    for name, split, kind in (("scifact", "train", "claim"), ("medquad", "selfqa", "question"), ("cosqa", "dev", "code")):
        sources[name] = lambda n=name, s=split, k=kind: collection_pairs(a.data, n, s, k)
    for name in ("scifact", "medquad"):
        sources[name + " passages"] = lambda n=name: passage_pairs(a.data, n)
    rnd = random.Random(7)
    seen, used, total = set(), set(), {}
    with open(a.out / "train.jsonl", "w") as train, open(a.out / "heldout.jsonl", "w") as held:
        for label, get in sources.items():
            pairs = list(get())
            rnd.shuffle(pairs)
            n = 0
            for pair in pairs:
                if n >= 12_000:
                    break
                key = (normal(pair["q"]), normal(pair["d"])[:200])
                if key[0] in seen or key[1] in seen or not key[0] or digest(pair["q"]).hex() in EXCLUDED:
                    continue
                seen.update(key)
                n += 1
                used.add(digest(pair["q"])[:6])
                pair["source"] = label
                (held if held_out(pair) else train).write(json.dumps(pair, ensure_ascii=False) + "\n")
            total[label] = n
            print(label, n, flush=True)
    print(json.dumps(total), sum(total.values()))
    # What a test compares with the questions of test splits.
    (a.out / "queries.bin").write_bytes(b"".join(sorted(used)))


if __name__ == "__main__":
    main()
