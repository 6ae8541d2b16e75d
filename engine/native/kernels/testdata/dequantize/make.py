"""Writes the fixtures of dequantize.rs: random blocks, then their float32 values by the `gguf` package.

Needs numpy and gguf; run it in this directory.
"""

from pathlib import Path

import gguf
import numpy as np

VALUES = 1024
rng = np.random.default_rng(20261121)

# Where in a block its f16 fields are: those get finite values, everything else is random bytes.
HALVES = {"F16": [0], "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q4_K": [0, 2], "Q6_K": [208]}

for name in ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"]:
    kind = gguf.GGMLQuantizationType[name]
    block_len, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    count = VALUES // block_len
    blocks = rng.integers(0, 256, (count, block_bytes), dtype=np.uint8)
    for at in HALVES.get(name, []):
        halves = rng.normal(0, 0.05, count).astype(np.float16)
        blocks[:, at : at + 2] = halves.view(np.uint8).reshape(count, 2)
    if name == "BF16":
        values = rng.normal(0, 1, VALUES).astype(np.float32).view(np.uint32) >> 16
        blocks = values.astype(np.uint16).view(np.uint8).reshape(count, 2)
    values = gguf.quants.dequantize(blocks.reshape(-1), kind).astype(np.float32).reshape(-1)
    assert values.shape == (VALUES,) and np.isfinite(values).all(), name
    Path(f"{name}.bin").write_bytes(blocks.tobytes() + values.tobytes())
