from colbert import Indexer
from colbert.infra import Run, RunConfig, ColBERTConfig

n_gpu: int = 1
experiment: str = ""
index_name: str = ""

if __name__ == "__main__":
    with Run().context(RunConfig(nranks=n_gpu, experiment=experiment)):
        config = ColBERTConfig(
            doc_maxlen=8192
        )
        indexer = Indexer(
            checkpoint="jinaai/jina-colbert-v1-en",
            config=config,
        )
        documents = [
            "Late interaction compares every token of a query with every token of a passage.",
            "A long document is cut into windows before it is indexed.",
            "Passages are kept as one vector a token, compressed to a centroid and a few bits.",
            "The cat sleeps on the warm windowsill.",
            "Income tax returns are due at the end of May.",
            "The harbour was closed because of the storm.",
        ]
        indexer.index(name=index_name, collection=documents)
