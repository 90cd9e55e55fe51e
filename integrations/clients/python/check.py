"""Reranks with a TEI client from PyPI and prints what it found as one JSON object."""

import json
import sys

from tei_client import HttpClient

given = json.loads(sys.argv[1])
client = HttpClient(given["url"], headers={"Authorization": "Bearer " + given["key"]})
info = client.info()
ranked = client.rerank(given["query"], given["documents"], return_text=True).ranks
print(json.dumps({
    "healthy": client.health(),
    "type": info.server_model_type.value,
    "model": info.server_model_id,
    "ranked": [[r.index, r.score] for r in ranked],
    "texts": [r.text for r in ranked],
}))
