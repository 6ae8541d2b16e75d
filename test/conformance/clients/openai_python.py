"""Asks OpenAI's SDK for Python what it is told on standard input, a JSON object a line, and answers in the same way."""

import json
import sys
import time
import typing

import openai
import pydantic


def body(ask):
    fields = {"model": ask["model"], "messages": [{"role": "user", "content": ask["prompt"]}]}
    for name, field in [("temperature", "temperature"), ("maxTokens", "max_completion_tokens"), ("seed", "seed"), ("stop", "stop"), ("n", "n")]:
        if name in ask:
            fields[field] = ask[name]
    if "logprobs" in ask:
        fields |= {"logprobs": True, "top_logprobs": ask["logprobs"]}
    return fields


def counted(usage):
    return None if usage is None else {"prompt": usage.prompt_tokens, "completion": usage.completion_tokens}


def chat(client, ask):
    answer = client.chat.completions.create(**body(ask))
    logprobs = answer.choices[0].logprobs
    return {
        "texts": [choice.message.content for choice in answer.choices],
        "finishReasons": [choice.finish_reason for choice in answer.choices],
        "usage": counted(answer.usage),
        "logprobs": None if logprobs is None else [token.logprob for token in logprobs.content],
    }


def stream(client, ask, leave_after):
    pieces, finish_reason, usage = [], None, None
    try:
        finish_reason, usage = read(client, ask, leave_after, pieces)
    except openai.APIError as error:
        error.pieces = pieces
        raise
    return {"pieces": pieces, "finishReason": finish_reason, "usage": counted(usage)}


def read(client, ask, leave_after, pieces):
    finish_reason, usage = None, None
    with client.chat.completions.create(**body(ask), stream=True, stream_options={"include_usage": True}) as chunks:
        for chunk in chunks:
            for choice in chunk.choices:
                if choice.delta.content:
                    pieces.append(choice.delta.content)
                finish_reason = choice.finish_reason or finish_reason
            usage = chunk.usage or usage
            if leave_after is not None and len(pieces) >= leave_after:
                break
    return finish_reason, usage


def models(client):
    return [model.id for model in client.models.list()]


def embed(client, model, texts):
    answer = client.embeddings.create(model=model, input=texts)
    return {"vectors": [each.embedding for each in answer.data], "promptTokens": answer.usage.prompt_tokens}


def respond(client, ask):
    fields = {"model": ask["model"], "input": ask["input"], "temperature": 0, "max_output_tokens": 40}
    if "previous" in ask:
        fields["previous_response_id"] = ask["previous"]
    if not ask.get("stream"):
        answer = client.responses.create(**fields)
        return {"id": answer.id, "text": answer.output_text, "pieces": []}
    pieces, ident, text = [], None, ""
    for event in client.responses.create(**fields, stream=True):
        if event.type == "response.output_text.delta":
            pieces.append(event.delta)
        elif event.type == "response.output_text.done":
            text = event.text
        elif event.type == "response.completed":
            ident = event.response.id
    return {"id": ident, "text": text, "pieces": pieces}


def call(client, model, prompt, streamed, weather):
    fields = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "tools": [{"type": "function", "function": {**weather, "strict": True}}],
        "tool_choice": "required",
        "temperature": 0,
        "max_completion_tokens": 120,
    }
    if streamed:
        with client.chat.completions.stream(**fields) as events:
            for _ in events:
                pass
            answer = events.get_final_completion()
    else:
        answer = client.chat.completions.create(**fields)
    made = answer.choices[0].message.tool_calls or []
    return [{"name": each.function.name, "arguments": json.loads(each.function.arguments)} for each in made]


class Place(pydantic.BaseModel):
    capital: typing.Literal["Paris", "Berlin"]
    river: typing.Literal["Seine", "Spree"]


def parse(client, model, prompt):
    answer = client.chat.completions.parse(
        model=model,
        messages=[{"role": "user", "content": prompt}],
        response_format=Place,
        temperature=0,
        max_completion_tokens=200,
    )
    return answer.choices[0].message.parsed.model_dump()


def batch(client, content):
    file = client.files.create(file=("prompts.jsonl", content.encode()), purpose="batch")
    made = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    while made.status not in ("completed", "failed", "expired", "cancelled"):
        time.sleep(0.1)
        made = client.batches.retrieve(made.id)
    output = client.files.content(made.output_file_id).text
    client.files.delete(file.id)
    try:
        client.files.retrieve(file.id)
        removed = False
    except openai.NotFoundError:
        removed = True
    counts = {name: getattr(made.request_counts, name) for name in ("total", "completed", "failed")}
    return {"status": made.status, "counts": counts, "output": output, "isRemoved": removed}


ACTS = {"batch": batch, "chat": chat, "stream": stream, "models": models, "embed": embed, "respond": respond, "call": call, "parse": parse}

options = json.loads(sys.stdin.readline())
client = openai.OpenAI(base_url=options["baseUrl"], api_key=options["apiKey"], max_retries=options["retries"])
for line in sys.stdin:
    act, *arguments = json.loads(line)
    try:
        answer = {"result": ACTS[act](client, *arguments)}
    except openai.APIStatusError as error:
        answer = {"failure": {"status": error.status_code, "code": error.code, "message": error.message}}
    except openai.APIError as error:
        failure = {"status": None, "code": error.code, "message": error.message}
        answer = {"failure": failure | {"pieces": getattr(error, "pieces", [])}}
    except Exception as error:
        answer = {"error": repr(error)}
    print(json.dumps(answer), flush=True)
