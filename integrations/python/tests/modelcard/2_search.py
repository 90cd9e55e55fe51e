from colbert import Searcher
from colbert.infra import Run, RunConfig, ColBERTConfig

n_gpu: int = 0
experiment: str = ""
index_name: str = ""
k: int = 10

if __name__ == "__main__":
    with Run().context(RunConfig(nranks=n_gpu, experiment=experiment)):
        config = ColBERTConfig(
            query_maxlen=128
        )
        searcher = Searcher(
            index=index_name,
            config=config
        )
        query = "How are long documents indexed?"
        results = searcher.search(query, k=k)
