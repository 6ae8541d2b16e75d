"""gguf_to_hugging_face.py <model.gguf> <folder>: writes a GGUF model as bf16 safetensors with its tokenizer."""
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

source, folder = Path(sys.argv[1]), sys.argv[2]
where = {"pretrained_model_name_or_path": source.parent, "gguf_file": source.name}
plain = GgufConfig(dequantize=True)
model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.bfloat16, quantization_config=plain)
model.save_pretrained(folder)
AutoTokenizer.from_pretrained(**where).save_pretrained(folder)
