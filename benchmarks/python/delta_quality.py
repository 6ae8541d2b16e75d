"""delta_quality.py <base.gguf> <fine-tune> <delta> <oracle.json>: what a compressed delta loses, in float32.

The fine-tune answers the oracle's prompts; at each token of its answers its own distribution is compared with that of
the base model, and of the base model with the delta. Prints JSON.
"""
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GgufConfig

NEW_TOKENS = 24
LEVELS = torch.tensor([-110.0, -68.0, -35.0, 35.0, 68.0, 110.0])
PAIRS = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]

base_file, tuned_folder, delta_folder, oracle_file = (Path(argument) for argument in sys.argv[1:])
cases = json.loads(oracle_file.read_text(encoding="utf-8"))["cases"]
prompts = [case["prompt_ids"] for case in cases if case["adapter"] is None]


def values_of_codes():
    table = torch.zeros(217, 4)
    for code in range(216):
        first, second = PAIRS[code // 36]
        table[code, first], table[code, second] = LEVELS[code // 6 % 6], LEVELS[code % 6]
    return table


def apply(model, folder):
    """Makes of the base model what a delta says: W becomes (W + B·A + sparse) · input scales."""
    tensors = load_file(folder / "adapter_model.safetensors")
    table = values_of_codes()
    for name, module in model.named_modules():
        own = {key: tensors.get(f"base_model.model.{name}.{key}") for key in (
            "delta_codes", "delta_scales", "lora_A.weight", "lora_B.weight", "input_scales",
        )}  # fmt: skip
        if own["delta_codes"] is None:
            continue
        weight = module.weight.data
        weight += table[own["delta_codes"].long()].reshape(weight.shape) * own["delta_scales"].T
        if own["lora_A.weight"] is not None:
            weight += own["lora_B.weight"].float() @ own["lora_A.weight"].float()
        if own["input_scales"] is not None:
            weight *= own["input_scales"]


@torch.no_grad()
def distributions(model, answers):
    rows = []
    for prompt, answer in zip(prompts, answers, strict=True):
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        rows.append(torch.log_softmax(logits.double(), dim=-1))
    return torch.cat(rows)


def loss(exact, other, tokens):
    divergence = (exact.exp() * (exact - other)).sum(dim=-1)
    error = exact.gather(1, tokens[:, None]) - other.gather(1, tokens[:, None])
    return {
        "meanKl": divergence.mean().item(),
        "largestKl": divergence.max().item(),
        "meanLogprobError": error.abs().mean().item(),
        "sameTop1": (exact.argmax(dim=-1) == other.argmax(dim=-1)).double().mean().item(),
    }


tuned = AutoModelForCausalLM.from_pretrained(tuned_folder, dtype=torch.float32).eval()
answers = []
for prompt in prompts:
    ids = tuned.generate(torch.tensor([prompt]), max_new_tokens=NEW_TOKENS, do_sample=False)[0].tolist()
    answers.append(ids[len(prompt) :])
exact = distributions(tuned, answers)
tokens = torch.tensor([token for answer in answers for token in answer])
del tuned

model = AutoModelForCausalLM.from_pretrained(
    base_file.parent, gguf_file=base_file.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
).eval()
without = loss(exact, distributions(model, answers), tokens)
apply(model, delta_folder)
own = exact.gather(1, tokens[:, None])[:, 0].split([len(answer) for answer in answers])
print(
    json.dumps(
        {
            "answers": [
                {"prompt": prompt, "ids": ids, "logprobs": logprobs.tolist()}
                for prompt, ids, logprobs in zip(prompts, answers, own, strict=True)
            ],
            "base": without,
            "delta": loss(exact, distributions(model, answers), tokens),
        }
    )
)
