"""Calls Berth by tritonclient over HTTP. Prints what came back as JSON.

Arguments: the address of the server, an API key, the name of a deployment of all-MiniLM-L6-v2.
"""

import json
import sys

import numpy
import tritonclient.http
from tritonclient.utils import InferenceServerException

# "A man is playing a guitar." as the model's tokenizer writes it.
TOKENS = [101, 1037, 2158, 2003, 2652, 1037, 2858, 1012, 102]


def tensor(name, rows, binary_data=False):
    array = numpy.array(rows, dtype=numpy.int64)
    made = tritonclient.http.InferInput(name, list(array.shape), "INT64")
    made.set_data_from_numpy(array, binary_data=binary_data)
    return made


def normalized(hidden):
    pooled = hidden.mean(axis=1)[0]
    return pooled / numpy.linalg.norm(pooled)


def main(address, key, model):
    headers = {"authorization": f"Bearer {key}"}
    client = tritonclient.http.InferenceServerClient(url=address.removeprefix("http://"))
    rows = [TOKENS]
    inputs = [
        tensor("input_ids", rows),
        tensor("attention_mask", numpy.ones_like(rows)),
        tensor("token_type_ids", numpy.zeros_like(rows)),
    ]
    outputs = [tritonclient.http.InferRequestedOutput("last_hidden_state", binary_data=False)]
    answer = client.infer(model, inputs, outputs=outputs, headers=headers, request_id="a request")
    hidden = answer.as_numpy("last_hidden_state")
    # Both ask for the binary form, the client's own choice.
    unnamed = client.infer(model, inputs, headers=headers)
    wish = tritonclient.http.InferRequestedOutput("last_hidden_state")
    wished = client.infer(model, inputs, outputs=[wish], headers=headers)
    in_binary = [
        tensor("input_ids", rows, True),
        tensor("attention_mask", numpy.ones_like(rows), True),
        tensor("token_type_ids", numpy.zeros_like(rows), True),
    ]
    binary = client.infer(model, in_binary, outputs=outputs, headers=headers)
    try:
        client.infer("no-such-model", inputs, outputs=outputs, headers=headers)
        unknown = None
    except InferenceServerException as error:
        unknown = error.status()
    print(
        json.dumps(
            {
                "live": client.is_server_live(),
                "ready": client.is_server_ready(),
                "model_ready": client.is_model_ready(model, headers=headers),
                "metadata": client.get_model_metadata(model, headers=headers),
                "server": client.get_server_metadata()["name"],
                "id": answer.get_response()["id"],
                "shape": list(hidden.shape),
                "vector": normalized(hidden).tolist(),
                "without_outputs": normalized(unnamed.as_numpy("last_hidden_state")).tolist(),
                "default_output": normalized(wished.as_numpy("last_hidden_state")).tolist(),
                "binary_inputs": normalized(binary.as_numpy("last_hidden_state")).tolist(),
                "unknown_model": unknown,
            }
        )
    )


main(*sys.argv[1:])
