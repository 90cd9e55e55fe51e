"""Makes PLAID indexes with the real packages, and ranks with them exactly.

    plaid.py golden OUT                    tiny indexes of all forms, from the text below
    plaid.py build  FORM BITS VECTORS OUT  an index of a vectors folder
    plaid.py rank   FORM INDEX VECTORS     the exact top 10 of every query, as JSON

FORM is stanford, pylate-stanford, pylate (its default, fast-plaid), fast-plaid or
next-plaid, whose program in nextplaid/ cargo builds where CARGO_TARGET_DIR says.
A vectors folder is what `colbertdb bench --vectors` keeps: docs.npy, doclens.npy,
docids.txt, queries.npy, querylens.npy. "Exact" is MaxSim with every document, over
the vectors that the package's own codec makes of what the index stores.

Packages: torch, colbert-ai, pylate, fast-plaid (see requirements.txt).
"""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import types

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch

TEXT = """the harbour master counts the boats at dawn
a lighthouse keeper writes down the wind
boats that return late tie up at the outer pier
the wind turns to the north before the rain
nets are mended on the pier in winter
the keeper of the harbour lowers the flag
rain fills the barrels behind the boat shed
a ferry crosses the strait twice a day
in winter the strait is closed by ice
the ferry carries salt bread and letters
letters for the lighthouse come by boat
salt keeps the ice from the steps of the pier
the baker of the island sells bread at noon
noon is rung by the bell of the chapel
the bell was cast from two old anchors
anchors lie in a row before the boat shed
a row of lanterns leads from the chapel to the shore
lanterns are lit when the fog comes in
fog hides the outer pier and the ferry waits
the ferry waits for the bell to ring
children collect glass on the shore after storms
storms move the sand and uncover old nets
the sand of the shore is grey in the rain
grey gulls follow the boats to the harbour
gulls sleep on the roof of the chapel
the roof of the boat shed was mended in autumn
autumn storms bring driftwood to the island
driftwood burns blue in the stove of the keeper
the stove warms the room below the lamp
the lamp of the lighthouse turns all night
all night the wind moves the lanterns
the harbour sleeps until the gulls wake it
in spring the ice breaks and the strait is open
open boats race around the island in summer
summer light keeps the lanterns dark until ten
at ten the chapel bell rings once for the ferry
the last ferry brings the baker flour and yeast
yeast and flour rise before the lamp goes out
out on the pier the children fish for crabs
crabs hide under the anchors when the tide is low
the tide is written down beside the wind""".splitlines()


def word_vector(word, dim):
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
    return np.random.default_rng(seed).standard_normal(dim)


def tiny(dim):
    """One vector a word, with some of its neighbours in it."""
    docs = []
    for line in TEXT:
        v = np.stack([word_vector(w, dim) for w in line.split()])
        mixed = v.copy()
        mixed[1:] += 0.3 * v[:-1]
        mixed[:-1] += 0.2 * v[1:]
        docs.append((mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32))
    return docs


def read_vectors(folder):
    def split(name, lens):
        flat, ends = np.load(f"{folder}/{name}", mmap_mode="r"), np.cumsum(np.load(f"{folder}/{lens}"))
        return [np.asarray(flat[e - n:e], dtype=np.float32) for e, n in zip(ends, np.diff(ends, prepend=0))]

    ids = open(f"{folder}/docids.txt").read().splitlines()
    return ids, split("docs.npy", "doclens.npy"), split("queries.npy", "querylens.npy")


def seed():
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)


def stanford(bits, docs, out, chunk=25_000):
    """colbert-ai's indexer, given vectors instead of its encoder's."""
    stub = types.ModuleType("colbert.training.training")  # needs a transformers of 2023
    stub.train = None
    sys.modules["colbert.training.training"] = stub
    from colbert.infra import ColBERTConfig
    from colbert.indexing.collection_indexer import CollectionIndexer
    from colbert.indexing.index_saver import IndexSaver

    class Collection:
        def __len__(self):
            return len(docs)

        def get_chunksize(self):
            return chunk

        def enumerate(self, rank):
            return enumerate(docs)

        def enumerate_batches(self, rank):
            for i, first in enumerate(range(0, len(docs), chunk)):
                yield i, first, docs[first:first + chunk]

    class Encoder:
        def encode_passages(self, passages):
            return torch.from_numpy(np.concatenate(passages)), [len(p) for p in passages]

    class Indexer(CollectionIndexer):
        def _save_plan(self):  # tiny collections have fewer points than it takes clusters
            self.num_partitions = min(self.num_partitions, sum(map(len, docs)) // 4)
            super()._save_plan()

    x = Indexer.__new__(Indexer)
    root, name = os.path.split(os.path.abspath(out))
    x.config = ColBERTConfig(nbits=bits, dim=docs[0].shape[1], root=root, index_path=os.path.abspath(out), kmeans_niters=4, gpus=0)
    x.verbose, x.rank, x.nranks, x.use_gpu = 0, 0, 1, False
    x.collection, x.encoder, x.saver = Collection(), Encoder(), IndexSaver(x.config)
    x.num_sample_embs = sum(map(len, docs))
    os.makedirs(out, exist_ok=True)
    x.run([[None]])


def pylate(bits, ids, docs, out, backend):
    from pylate import indexes

    root, name = os.path.split(os.path.abspath(out))
    if backend == "stanford":
        from pylate.indexes.stanford_plaid import StanfordPLAID

        x = StanfordPLAID(index_folder=root, index_name=name, override=True, embedding_size=docs[0].shape[1], nbits=bits, use_triton=False)
    else:
        x = indexes.PLAID(index_folder=root, index_name=name, override=True, nbits=bits, use_triton=False, show_progress=False, device="cpu")
    x.add_documents(documents_ids=ids, documents_embeddings=docs)


def fast_plaid(bits, docs, out):
    from fast_plaid import search

    x = search.FastPlaid(index=out, device="cpu")
    x.create(documents_embeddings=[torch.from_numpy(d) for d in docs], nbits=bits, kmeans_niters=4, seed=42, use_triton_kmeans=False)


def next_plaid(verb, *args, vectors, out=()):
    with tempfile.TemporaryDirectory() as tmp:
        np.concatenate(vectors).astype("<f4").tofile(f"{tmp}/vectors")
        np.array([len(v) for v in vectors], dtype="<i4").tofile(f"{tmp}/lens")
        manifest = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nextplaid", "Cargo.toml")
        cmd = ["cargo", "run", "--release", "-q", "--manifest-path", manifest, "--", verb, *args, str(vectors[0].shape[1]), f"{tmp}/vectors", f"{tmp}/lens", *out]
        return subprocess.run(cmd, check=True, stdout=subprocess.PIPE, env=os.environ | {"NEXT_PLAID_FLOAT_RESCORE": "1"}).stdout


def build(form, bits, ids, docs, out, chunk=25_000):
    seed()
    shutil.rmtree(out, ignore_errors=True)
    if form == "stanford":
        stanford(bits, docs, out, chunk)
    elif form in ("pylate", "pylate-stanford"):
        pylate(bits, ids, docs, out, form.removeprefix("pylate-"))
    elif form == "fast-plaid":
        fast_plaid(bits, docs, out)
    elif form == "next-plaid":
        next_plaid("build", str(bits), vectors=docs, out=[out])
    else:
        sys.exit(f"unknown form {form}")


def golden(out, only=""):
    for form, bits, dim, chunk in [
        ("stanford", 1, 16, 20), ("stanford", 2, 16, 20), ("stanford", 4, 32, 20), ("stanford", 8, 64, 20),
        ("pylate-stanford", 2, 16, 0), ("pylate", 4, 32, 0), ("fast-plaid", 2, 16, 0), ("fast-plaid", 4, 32, 0),
        ("next-plaid", 2, 16, 0), ("next-plaid", 4, 32, 0),
    ]:
        if not form.startswith(only):
            continue
        ids, docs, folder = [f"line-{i + 1}" for i in range(len(TEXT))], tiny(dim), f"{out}/{form}-{bits}"
        build(form, bits, ids, docs, folder, chunk)
        top = rank(form, folder, docs, docs[:8])
        for root, _, files in os.walk(folder):
            for name in files:  # vectors that the packages keep beside the index for updates, and locks
                if name.startswith(("embeddings", "merged_", "buffer")) or name.endswith(".lock"):
                    os.remove(f"{root}/{name}")
        # What the index is to give: the first lines asked for, with their own vectors.
        np.save(f"{folder}/queries.npy", np.concatenate(docs[:8]))
        json.dump({"dim": dim, "lens": [len(d) for d in docs[:8]], "top": top}, open(f"{folder}/expected.json", "w"))


def decompress(form, index):
    """Every document's vectors, by the package's own codec."""
    if form in ("stanford", "pylate-stanford"):
        if form == "stanford":
            stub = types.ModuleType("colbert.training.training")
            stub.train = None
            sys.modules["colbert.training.training"] = stub
            from colbert.indexing.codecs.residual import ResidualCodec
            from colbert.infra import ColBERTConfig
        else:
            from pylate.indexes.stanford_nlp.indexing.codecs.residual import ResidualCodec
            from pylate.indexes.stanford_nlp.infra import ColBERTConfig
        codec = ResidualCodec.load(index_path=index)
        for chunk in range(json.load(open(f"{index}/metadata.json"))["num_chunks"]):
            vectors = codec.decompress(ResidualCodec.Embeddings.load(index, chunk))
            yield from vectors.split(json.load(open(f"{index}/doclens.{chunk}.json")))
        return


def rank(form, index, docs, queries):
    """The exact top 10 of every query: document numbers and scores."""
    if form == "next-plaid":
        return json.loads(next_plaid("rank", index, vectors=queries))
    out = []
    if form in ("stanford", "pylate-stanford"):
        stored = list(decompress(form, index))
        lens = torch.tensor([len(d) for d in stored])
        flat, owner = torch.cat(stored).float(), torch.repeat_interleave(torch.arange(len(stored)), lens)
        for q in queries:
            sims = flat @ torch.from_numpy(q).T
            best = torch.full((len(stored), sims.shape[1]), -1e9).scatter_reduce(0, owner[:, None].expand_as(sims), sims, "amax")
            top = best.sum(1).topk(10)
            out.append([[int(i), float(s)] for s, i in zip(top.values, top.indices)])
        return out
    from fast_plaid import search

    folder = f"{index}/fast_plaid_index" if form == "pylate" else index
    cells = json.load(open(f"{folder}/metadata.json"))["num_partitions"]
    x = search.FastPlaid(index=folder, device="cpu")
    for q in queries:  # a quarter of n_full_scores is scored in full
        found = x.search(queries_embeddings=torch.from_numpy(q)[None], top_k=10, n_ivf_probe=cells, n_full_scores=4 * len(docs), show_progress=False)
        out.append([[int(i), float(s)] for i, s in found[0]])
    return out


if __name__ == "__main__":
    verb, args = sys.argv[1], sys.argv[2:]
    if verb == "golden":
        golden(*args)
    elif verb == "build":
        ids, docs, _ = read_vectors(args[2])
        build(args[0], int(args[1]), ids, docs, args[3])
    elif verb == "rank":
        ids, docs, queries = read_vectors(args[2])
        json.dump([[[ids[i], s] for i, s in hits] for hits in rank(args[0], args[1], docs, queries)], sys.stdout)
    else:
        sys.exit(__doc__)
