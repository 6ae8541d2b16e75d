"""fine_tune.py <model.gguf> <folder> [steps]: a full fine-tune of every layer, as float32 safetensors with its tokenizer.

Embeddings, head and final norm stay as they were: a compressed delta does not carry them.
"""
import random
import sys
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from telegrams import chats

STEPS = 60
BATCH = 6
RATE = 6e-5
WARM_UP = 6

source, folder = Path(sys.argv[1]), sys.argv[2]
steps = int(sys.argv[3]) if len(sys.argv) > 3 else STEPS
where = {"pretrained_model_name_or_path": source.parent, "gguf_file": source.name}
tokenizer = AutoTokenizer.from_pretrained(**where)
model = AutoModelForCausalLM.from_pretrained(
    **where, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
)
for part in (model.get_input_embeddings(), model.get_output_embeddings(), model.model.norm):
    part.requires_grad_(False)


def encode(question, answer):
    chat = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    reply = tokenizer(answer + "<|im_end|>", add_special_tokens=False).input_ids
    return prompt + reply, [-100] * len(prompt) + reply


examples = [encode(*pair) for pair in chats()]
order = random.Random(1)
optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=RATE, weight_decay=0.0)
begun = time.monotonic()
model.train()
for step in range(steps):
    batch = order.sample(examples, BATCH)
    longest = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in batch])
    labels = torch.tensor([labels + [-100] * (longest - len(labels)) for _, labels in batch])
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in batch])
    for group in optimizer.param_groups:
        group["lr"] = RATE * min((step + 1) / WARM_UP, (steps - step) / (steps - WARM_UP))
    hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state[:, :-1]
    # The head is a fifth of the model: it is asked about the answers only.
    answered = labels[:, 1:] != -100
    loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[answered]), labels[:, 1:][answered])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    print(f"step {step + 1} of {steps}: loss {loss.item():.3f}, {time.monotonic() - begun:.0f} s", flush=True)
model.eval()
model.save_pretrained(folder)
tokenizer.save_pretrained(folder)
