"""Trains one of the demo adapters with transformers and PEFT, and writes it as safetensors in float16.

    pip install torch transformers peft        # and gguf, for --model FILE.gguf
    python examples/adapters/train.py pirate --output my-adapters/pirate
    npm start -- --adapters my-adapters

90 steps of AdamW, batch 8, learning rate 1e-3 with 10 steps of warm-up and linear decay; the loss is on the answer
alone. A few minutes on a laptop's CPU.
"""

import argparse
import sys
from pathlib import Path
from random import Random

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, get_linear_schedule_with_warmup

# This folder is served: keep Python from leaving its cache among the adapters.
sys.dont_write_bytecode = True

from tasks import TASKS  # noqa: E402

BASE_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"

IGNORED = -100
"""The label that transformers leaves out of the loss."""


def load(name: str):
    """Loads model and tokenizer from a hub id, a directory or a GGUF file, in float32."""
    path = Path(name)
    if path.suffix == ".gguf":
        source, options = str(path.parent), {"gguf_file": path.name}
    else:
        source, options = name, {}
    tokenizer = AutoTokenizer.from_pretrained(source, **options)
    return tokenizer, AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, **options)


def encode(tokenizer, question: str, answer: str) -> tuple[list[int], list[int]]:
    """Token ids of a chat and its labels: the answer and the token that ends it."""
    messages = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answer_ids = tokenizer(f"{answer}<|im_end|>", add_special_tokens=False)["input_ids"]
    return prompt_ids + answer_ids, [IGNORED] * len(prompt_ids) + answer_ids


def collate(rows: list[tuple[list[int], list[int]]], pad: int) -> dict[str, torch.Tensor]:
    """Pads a batch on the right to its longest row."""
    width = max(len(ids) for ids, _ in rows)
    return {
        "input_ids": torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in rows]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in rows]),
        "labels": torch.tensor([labels + [IGNORED] * (width - len(labels)) for _, labels in rows]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("--output", required=True, help="folder for adapter_config.json and adapter_model.safetensors")
    parser.add_argument("--model", default=BASE_MODEL, help="hub id, directory or GGUF file")
    parser.add_argument("--steps", type=int, default=90)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    random = Random(options.seed)
    task = TASKS[options.task]
    tokenizer, base = load(options.model)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=task.rank,
        lora_alpha=task.alpha,
        target_modules=task.target_modules,
        use_rslora=task.use_rslora,
    )
    model = get_peft_model(base, config)
    # PEFT records where the weights were read from, which may be a path of this machine.
    model.peft_config["default"].base_model_name_or_path = BASE_MODEL
    model.print_trainable_parameters()

    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-3)
    schedule = get_linear_schedule_with_warmup(optimizer, num_warmup_steps=10, num_training_steps=options.steps)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    for step in range(options.steps):
        rows = [encode(tokenizer, *task.example(random)) for _ in range(options.batch)]
        loss = model(**collate(rows, pad)).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 10 == 0 or step == options.steps - 1:
            print(f"step {step + 1:3} of {options.steps}: loss {loss.item():.4f}", flush=True)

    model.half().save_pretrained(options.output, safe_serialization=True)
    print(f"Wrote {options.output}")


if __name__ == "__main__":
    main()
