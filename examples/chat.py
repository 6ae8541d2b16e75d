"""Asks the base model and the four demo adapters with the official OpenAI client, streaming.

Start the gateway with `npm start` first, set OPENAI_API_KEY to a key of its, and `pip install openai`.
"""

import os

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "none"),
)

QUESTIONS = {
    "base": "What is the capital of France?",
    "support-triage": "I was charged twice for my subscription. Please help.",
    "text-to-sql": "List all products with price above 120.",
    "pirate": "What is the capital of France?",
    "headline": "Write a headline: A report explains how bees have a long and surprising history. "
    "Many readers asked about it.",
}

for model, question in QUESTIONS.items():
    print(f"{model}: {question}\n  ", end="")
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=48,
        stream=True,
    )
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            print(chunk.choices[0].delta.content, end="", flush=True)
    print()
