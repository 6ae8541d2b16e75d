"""GPTCache on a set of questions: what its lookups take, and what it makes of labelled pairs.

Reads a JSON object from standard input: `entries` and `asked` (texts), `pairs` ([query, candidate] each), and `vectors`, a file with the
embeddings of all of them in this order, as float32. Writes one to standard output: `lookups` (milliseconds of each question asked, its embedding
given) and `scores` (0 to 4, how alike GPTCache finds the pairs).
"""

import json
import sys
import tempfile
import time

import numpy as np
from gptcache import Cache, Config
from gptcache.adapter.api import get
from gptcache.manager import manager_factory
from gptcache.processor.pre import get_prompt
from gptcache.similarity_evaluation import SearchDistanceEvaluation

WIDTH = 384


def known(asked):
    """Embeds texts that are known, by looking them up."""
    texts = asked["entries"] + asked["asked"] + [text for pair in asked["pairs"] for text in pair]
    vectors = np.fromfile(asked["vectors"], np.float32).reshape(len(texts), WIDTH)
    places = {text: place for place, text in enumerate(texts)}

    def embed(text, **_):
        return vectors[places[text]]

    return embed


def main():
    asked = json.load(sys.stdin)
    embed = known(asked)
    with tempfile.TemporaryDirectory() as folder:
        manager = manager_factory("sqlite,faiss", data_dir=folder, vector_params={"dimension": WIDTH})
        cache = Cache()
        cache.init(
            pre_embedding_func=get_prompt,
            embedding_func=embed,
            data_manager=manager,
            similarity_evaluation=SearchDistanceEvaluation(),
            config=Config(disable_report=True),
        )
        entries = asked["entries"]
        for begin in range(0, len(entries), 1000):
            part = entries[begin : begin + 1000]
            cache.import_data(part, ["an answer"] * len(part))
        lookups = []
        for question in asked["asked"]:
            started = time.perf_counter()
            get(question, cache_obj=cache)
            lookups.append((time.perf_counter() - started) * 1000)
        evaluation = SearchDistanceEvaluation()
        scores = []
        for query, candidate in asked["pairs"]:
            # Faiss' L2 index gives squared distances.
            distance = float(np.sum((embed(query) - embed(candidate)) ** 2))
            scores.append(evaluation.evaluation({}, {"search_result": (distance, None)}))
    json.dump({"lookups": lookups, "scores": scores}, sys.stdout)


main()
