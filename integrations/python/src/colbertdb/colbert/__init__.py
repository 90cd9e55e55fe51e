"""Stanford ColBERT's Python interface over colbertdb: programs that are written for it run
when the package is named ``colbertdb.colbert`` where they import ``colbert``::

    from colbertdb.colbert import Indexer, Searcher            # was: from colbert import …
    from colbertdb.colbert.infra import Run, RunConfig, ColBERTConfig
    from colbertdb.colbert.modeling.checkpoint import Checkpoint

What is different:

- Texts are encoded by a model of the server: by the one that the checkpoint names where
  the server has it, else by the server's default, with a warning. ``doc_maxlen``,
  ``query_maxlen`` and all about training, GPUs, codes and cells have no effect: the
  server's model and its collections decide.
- An index is a collection, found by the next search after each write; no clustering, and
  one document is enough. It is in the server that COLBERTDB_URL names, else in one that
  is started for the folder ``colbertdb`` under the run's root (colbertdb.local).
- Tensors are torch's where torch is installed, else NumPy arrays of the same shapes that
  have the few methods of tensors such programs call.
"""

from .index import Indexer, Ranking, Searcher
from .infra import ColBERTConfig, Run, RunConfig
from .modeling.checkpoint import Checkpoint
from .modeling.colbert import colbert_score
from .tensors import torch

__all__ = ["Checkpoint", "ColBERTConfig", "Indexer", "Ranking", "Run", "RunConfig", "Searcher", "colbert_score", "torch"]
