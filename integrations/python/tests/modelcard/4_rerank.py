from colbert.modeling.checkpoint import Checkpoint
from colbert.infra import ColBERTConfig

query = ["How are long documents indexed?"]
documents = [
    "The cat sleeps on the warm windowsill.",
    "A long document is cut into windows before it is indexed.",
    "Income tax returns are due at the end of May.",
    "The harbour was closed because of the storm.",
]

config = ColBERTConfig(query_maxlen=32, doc_maxlen=512)
ckpt = Checkpoint(args.reranker, colbert_config=colbert_config)
Q = ckpt.queryFromText([all_queries[i]])
D = ckpt.docFromText(all_passages, bsize=32)[0]
D_mask = torch.ones(D.shape[:2], dtype=torch.long)
scores = colbert_score(Q, D, D_mask).flatten().cpu().numpy().tolist()
ranking = numpy.argsort(scores)[::-1]
print(ranking)
