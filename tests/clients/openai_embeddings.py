"""Calls Berth by the official OpenAI client. Prints what came back as JSON.

Arguments: the address of the server, an API key, the name of a deployment of all-MiniLM-L6-v2.
"""

import json
import math
import sys

import openai


def cosine(one, other):
    return sum(a * b for a, b in zip(one, other)) / (math.hypot(*one) * math.hypot(*other))


def refused(call):
    try:
        call()
    except openai.APIStatusError as error:
        return {"class": type(error).__name__, "status": error.status_code, "code": error.code}
    return None


def main(address, key, model):
    client = openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)
    guitar = "A man is playing a guitar."
    # The client asks for base64 by itself when nothing is said.
    by_default = client.embeddings.create(model=model, input=guitar)
    as_floats = client.embeddings.create(model=model, input=[guitar], encoding_format="float")
    several = client.embeddings.create(
        model=model,
        input=[guitar, "Someone plays an instrument.", "The stock market fell sharply today."],
    )
    vectors = [item.embedding for item in several.data]
    tokens = client.embeddings.create(model=model, input=[101, 1037, 2158, 2003, 2652, 1037, 2858, 1012, 102])
    stranger = openai.OpenAI(base_url=f"{address}/v1", api_key=key[:-1] + ("a" if key[-1] != "a" else "b"), max_retries=0)
    print(
        json.dumps(
            {
                "default": by_default.data[0].embedding,
                "floats": as_floats.data[0].embedding,
                "tokens": tokens.data[0].embedding,
                "prompt_tokens": by_default.usage.prompt_tokens,
                "indices": [item.index for item in several.data],
                "near": cosine(vectors[0], vectors[1]),
                "far": cosine(vectors[0], vectors[2]),
                "alone_and_among_others": max(abs(a - b) for a, b in zip(vectors[0], by_default.data[0].embedding)),
                "models": [item.id for item in client.models.list().data],
                "retrieved": [client.models.retrieve(name).id for name in (model, f"{model}@1")],
                "request_id": by_default._request_id,
                "unknown_model": refused(lambda: client.embeddings.create(model="no-such-model", input="x")),
                "dimensions": refused(lambda: client.embeddings.create(model=model, input="x", dimensions=7)),
                "wrong_key": refused(lambda: stranger.embeddings.create(model=model, input="x")),
            }
        )
    )


main(*sys.argv[1:])
