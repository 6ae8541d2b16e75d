"""Trains an adapter of every type that PEFT has on a tiny model for a few steps, and saves it just as PEFT does.

    python3 test/parity/train_adapters.py MODEL FOLDER

FOLDER gets a directory for each, and `expected.json`: what the trained models say.
"""

import json
import sys
from pathlib import Path

import peft
import torch
from peft import IA3Config, LoraConfig, RoadConfig, VeraConfig
from transformers import AutoModelForCausalLM

CAUSAL = {"task_type": "CAUSAL_LM"}
ALL_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# PEFT's defaults wherever these tiny models allow it: RoAd's groups of 64 do not divide their widths.
TYPES = {
    "lora": LoraConfig(**CAUSAL),
    "rslora": LoraConfig(
        **CAUSAL, use_rslora=True, target_modules="all-linear", rank_pattern={"q_proj": 5}, alpha_pattern={"down_proj": 4}
    ),
    "dora": LoraConfig(**CAUSAL, use_dora=True, target_modules=ALL_MODULES),
    "ia3": IA3Config(**CAUSAL),
    "road-1": RoadConfig(**CAUSAL, group_size=32, target_modules=ALL_MODULES),
    "road-2": RoadConfig(**CAUSAL, variant="road_2", group_size=16, target_modules=ALL_MODULES),
    "road-4": RoadConfig(**CAUSAL, variant="road_4", group_size=8, target_modules=ALL_MODULES),
    "vera": VeraConfig(**CAUSAL, r=16),
}
STEPS = 20
PROMPT_TOKENS = 12
GREEDY_TOKENS = 12


def train(model, config, text):
    tuned = peft.get_peft_model(model, config)
    optimizer = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=0.02)
    for _ in range(STEPS):
        loss = tuned(input_ids=text, labels=text).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return tuned.eval()


@torch.no_grad()
def say(model, prompt):
    """A greedy continuation, its logprobs, and how far each choice is from the runner-up."""
    ids, logprobs, margins = prompt, [], []
    for _ in range(GREEDY_TOKENS):
        best = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1], dim=-1).topk(2)
        logprobs.append(best.values[0].item())
        margins.append((best.values[0] - best.values[1]).item())
        ids = [*ids, best.indices[0].item()]
    rows = torch.log_softmax(model(torch.tensor([ids])).logits[0], dim=-1)
    all_logprobs = [rows[i, ids[i + 1]].item() for i in range(len(ids) - 1)]
    greedy_ids = ids[len(prompt) :]
    return {"prompt": prompt, "greedy_ids": greedy_ids, "margins": margins, "logprobs": all_logprobs}


def main():
    model_directory, folder = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    expected = []
    for name, config in TYPES.items():
        model = AutoModelForCausalLM.from_pretrained(model_directory, dtype=torch.float32)
        text = torch.randint(3, model.config.vocab_size, (1, PROMPT_TOKENS + GREEDY_TOKENS))
        prompt = text[0, :PROMPT_TOKENS].tolist()
        before = say(model.eval(), prompt)
        tuned = train(model, config, text)
        tuned.save_pretrained(folder / name)
        expected.append({"adapter": name, **say(tuned, prompt), "without": before["logprobs"]})
    (folder / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    main()
