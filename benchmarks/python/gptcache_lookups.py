"""GPTCache on a set of questions: what its lookups take, and what it makes of labelled pairs.

Reads a JSON object from standard input: `encoder` (a folder with our encoder's model.onnx and tokenizer.json), `entries` and `asked`
(texts), and `pairs` ([query, candidate] each). Writes one to standard output: `lookups` (milliseconds of each question asked, embedding included)
and `scores` (0 to 4, how alike GPTCache finds the pairs). It computes embeddings by the same graph as the other side, in ONNX Runtime on one thread.
"""

import json
import sys
import tempfile
import time

import numpy as np
import onnxruntime as ort
from gptcache import Cache, Config
from gptcache.adapter.api import get
from gptcache.manager import manager_factory
from gptcache.processor.pre import get_prompt
from gptcache.similarity_evaluation import SearchDistanceEvaluation
from tokenizers import Tokenizer

WIDTH = 384


def encoder(folder):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.no_padding()
    (name,) = [each.name for each in session.get_inputs()]

    def embed(text, **_):
        ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
        states = session.run(None, {name: ids})[0]
        mean = states[0].mean(axis=0)
        return (mean / np.linalg.norm(mean)).astype("float32")

    return embed


def main():
    asked = json.load(sys.stdin)
    embed = encoder(asked["encoder"])
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
