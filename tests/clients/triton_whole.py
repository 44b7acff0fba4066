"""Calls Berth by tritonclient over HTTP and over gRPC, in every form and with every datatype. Prints what came back as JSON.

Arguments: a JSON object with `address`, `grpc`, `key` (which may call and deploy), `weak` (which may only call), `echo` and
`spinner` (names of deployments), and `runner` (the process that computes for `spinner`).
"""

import json
import pathlib
import queue
import sys

import ml_dtypes
import numpy
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

SAMPLES = {
    "BOOL": numpy.array([True, False]),
    "UINT8": numpy.array([0, 255], dtype=numpy.uint8),
    "UINT16": numpy.array([0, 65535], dtype=numpy.uint16),
    "UINT32": numpy.array([0, 2**32 - 1], dtype=numpy.uint32),
    "UINT64": numpy.array([0, 2**64 - 1], dtype=numpy.uint64),
    "INT8": numpy.array([-128, 127], dtype=numpy.int8),
    "INT16": numpy.array([-32768, 32767], dtype=numpy.int16),
    "INT32": numpy.array([-(2**31), 2**31 - 1], dtype=numpy.int32),
    "INT64": numpy.array([-(2**63), 2**63 - 1], dtype=numpy.int64),
    "FP16": numpy.array([1.5, numpy.inf], dtype=numpy.float16),
    "BF16": numpy.array([1.5, -2.0], dtype=ml_dtypes.bfloat16),
    "FP32": numpy.array([1.25, -3e38], dtype=numpy.float32),
    "FP64": numpy.array([1.25, -1.5e308], dtype=numpy.float64),
    "BYTES": numpy.array([b"", "größe".encode()], dtype=numpy.object_),
}
WITHOUT_JSON = {"FP16", "BF16"}


def same(one, other):
    if one is not None and one.dtype == numpy.object_:
        # What came as JSON is a text here.
        texts = [each.encode() if isinstance(each, str) else each for each in one]
        one = numpy.array(texts, dtype=numpy.object_)
    return one is not None and one.shape == other.shape and bool((one == other).all())


def refused(call):
    """What a call that must fail is told."""
    try:
        call()
        return None
    except InferenceServerException as error:
        return {"status": error.status(), "message": error.message()}


class Http:
    """The client over HTTP with one key."""

    def __init__(self, address, key):
        self.client = tritonclient.http.InferenceServerClient(url=address.removeprefix("http://"))
        self.headers = {"authorization": f"Bearer {key}"}

    def infer(self, model, arrays, binary_in, binary_out, names=None):
        """Runs the model on `arrays`; `binary_out` is `None` for the client's own choice."""
        inputs = []
        for name, array in arrays.items():
            made = tritonclient.http.InferInput(name, list(array.shape), name)
            made.set_data_from_numpy(array, binary_data=binary_in or name in WITHOUT_JSON)
            inputs.append(made)
        wanted = names or [f"{name}_out" for name in arrays]
        outputs = None
        if binary_out is not None:
            make = tritonclient.http.InferRequestedOutput
            without = {f"{name}_out" for name in WITHOUT_JSON}
            outputs = [make(name, binary_data=binary_out or name in without) for name in wanted]
        # The client adds headers to the table that it is given.
        headers = dict(self.headers)
        return self.client.infer(model, inputs, outputs=outputs, headers=headers, request_id="mine")


class Grpc:
    """The client over gRPC with one key."""

    def __init__(self, address, key):
        self.client = tritonclient.grpc.InferenceServerClient(url=address)
        self.headers = {"authorization": f"Bearer {key}"}

    @staticmethod
    def inputs(arrays):
        inputs = []
        for name, array in arrays.items():
            made = tritonclient.grpc.InferInput(name, list(array.shape), name)
            made.set_data_from_numpy(array)
            inputs.append(made)
        return inputs

    def infer(self, model, arrays, names=None):
        outputs = [tritonclient.grpc.InferRequestedOutput(name) for name in names] if names else None
        return self.client.infer(
            model, self.inputs(arrays), outputs=outputs, headers=self.headers, request_id="mine"
        )


def differing(answer):
    """The datatypes that did not come back as they were sent."""
    return [name for name, sent in SAMPLES.items() if not same(answer.as_numpy(f"{name}_out"), sent)]


def forms(http, grpc, model):
    """Every way to send and to get every datatype."""
    told = {}
    for binary_in in (True, False):
        for binary_out in (True, False, None):
            answer = http.infer(model, SAMPLES, binary_in, binary_out)
            told[f"http {binary_in} {binary_out}"] = differing(answer)
    told["grpc"] = differing(grpc.infer(model, SAMPLES))
    return told


def chosen(http, grpc, model):
    """Which outputs come when some are asked for, and how requests are named."""
    names = ["INT8_out", "BYTES_out"]
    rest = http.infer(model, SAMPLES, True, True, names).get_response()
    rpc = grpc.infer(model, SAMPLES, names).get_response()
    return {
        "http": [output["name"] for output in rest["outputs"]],
        "grpc": [output.name for output in rpc.outputs],
        "ids": [rest["id"], rpc.id],
        "versions": [rest["model_version"], rpc.model_version],
    }


def descriptions(http, grpc, model):
    """What the server and the model say of themselves."""
    rest, rpc, both = http.client, grpc.client, {"headers": http.headers}
    return {
        "live": [rest.is_server_live(), rpc.is_server_live()],
        "ready": [rest.is_server_ready(), rpc.is_server_ready()],
        "model_ready": [rest.is_model_ready(model, **both), rpc.is_model_ready(model, **both)],
        "server": [rest.get_server_metadata(), rpc.get_server_metadata(as_json=True)],
        "metadata": [rest.get_model_metadata(model, **both), rpc.get_model_metadata(model, as_json=True, **both)],
        "config": [rest.get_model_config(model, **both), rpc.get_model_config(model, as_json=True, **both)["config"]],
        "statistics": [
            rest.get_inference_statistics(model, **both)["model_stats"],
            rpc.get_inference_statistics(model, as_json=True, **both)["model_stats"],
        ],
        "all_statistics": [
            len(rest.get_inference_statistics(**both)["model_stats"]),
            len(rpc.get_inference_statistics(as_json=True, **both)["model_stats"]),
        ],
        "index": [
            rest.get_model_repository_index(**both),
            rpc.get_model_repository_index(as_json=True, **both)["models"],
        ],
    }


def errors(http, grpc, weak, model):
    """What is told of what is wrong."""
    nobody = {"authorization": "Bearer bth_dev_no_key"}
    bad = {**SAMPLES, "INT8": numpy.zeros([2, 2], dtype=numpy.int8)}
    large = {**SAMPLES, "UINT8": numpy.zeros([300_000], dtype=numpy.uint8)}
    http_nobody, grpc_nobody = Http.__new__(Http), Grpc.__new__(Grpc)
    http_nobody.client, http_nobody.headers = http.client, nobody
    grpc_nobody.client, grpc_nobody.headers = grpc.client, nobody
    return {
        "unknown": [
            refused(lambda: http.infer("no-such-model", SAMPLES, True, True)),
            refused(lambda: grpc.infer("no-such-model", SAMPLES)),
        ],
        "wrong_key": [
            refused(lambda: http_nobody.infer(model, SAMPLES, True, True)),
            refused(lambda: grpc_nobody.infer(model, SAMPLES)),
        ],
        "shape": [
            refused(lambda: http.infer(model, bad, True, True)),
            refused(lambda: grpc.infer(model, bad)),
        ],
        "oversize": [
            refused(lambda: http.infer(model, large, True, True)),
            refused(lambda: grpc.infer(model, large)),
        ],
        "may_not": [
            refused(lambda: weak[0].client.unload_model(model, headers=weak[0].headers)),
            refused(lambda: weak[1].client.unload_model(model, headers=weak[1].headers)),
        ],
    }


def stream(grpc, model):
    """Requests one after the other on one stream, one of them bad; what came back, in order."""
    answers = queue.Queue()
    grpc.client.start_stream(lambda result, error: answers.put((result, error)), headers=grpc.headers)
    bad = {**SAMPLES, "INT8": numpy.zeros([2, 2], dtype=numpy.int8)}
    for name, arrays in (("first", SAMPLES), ("bad", bad), ("last", SAMPLES)):
        grpc.client.async_stream_infer(model, grpc.inputs(arrays), request_id=name)
    told = []
    for _ in range(3):
        result, error = answers.get(timeout=60)
        told.append(str(error) if error else [result.get_response().id, differing(result)])
    grpc.client.stop_stream()
    return told


def repository(http, grpc, model):
    """Stops and resumes the model: over each protocol what the other did is seen."""
    told = {}
    for name, does, sees in (("http", http.client, grpc.client), ("grpc", grpc.client, http.client)):
        does.unload_model(model, headers=http.headers)
        index = does.get_model_repository_index(headers=http.headers)
        models = index if isinstance(index, list) else [{"name": one.name, "state": one.state} for one in index.models]
        told[f"{name} stopped"] = [one["state"] for one in models if one["name"] == model]
        does.load_model(model, headers=http.headers)
        told[f"{name} ready"] = sees.is_model_ready(model, headers=http.headers)
        told[f"{name} answers"] = differing(grpc.infer(model, SAMPLES))
    return told


def ticks(process):
    """How long a process has worked."""
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1].split(" ")
    return int(fields[11]) + int(fields[12])


def cancel(grpc, model, runner):
    """Takes a request back while it is computed. The runner computes one at a time, so it comes to another when it has left it."""

    def inputs(count):
        turns = tritonclient.grpc.InferInput("count", [], "INT64")
        turns.set_data_from_numpy(numpy.array(count, dtype=numpy.int64))
        start = tritonclient.grpc.InferInput("start", [64], "FP32")
        start.set_data_from_numpy(numpy.ones([64], dtype=numpy.float32))
        return [turns, start]

    answers = queue.Queue()
    before = ticks(runner)
    call = grpc.client.async_infer(
        model, inputs(2**62), lambda result, error: answers.put(error), headers=grpc.headers
    )
    while ticks(runner) < before + 10:
        pass
    call.cancel()
    cancelled = answers.get(timeout=60)
    grpc.client.infer(model, inputs(3), headers=grpc.headers, client_timeout=60)
    late = refused(lambda: grpc.client.infer(model, inputs(2**62), headers=grpc.headers, client_timeout=0.5))
    grpc.client.infer(model, inputs(3), headers=grpc.headers, client_timeout=60)
    return {"cancelled": str(cancelled), "late": late}


def main(told):
    http, grpc = Http(told["address"], told["key"]), Grpc(told["grpc"], told["key"])
    weak = Http(told["address"], told["weak"]), Grpc(told["grpc"], told["weak"])
    model = told["echo"]
    print(
        json.dumps(
            {
                "forms": forms(http, grpc, model),
                "chosen": chosen(http, grpc, model),
                "described": descriptions(http, grpc, model),
                "errors": errors(http, grpc, weak, model),
                "stream": stream(grpc, model),
                "repository": repository(http, grpc, model),
                "cancel": cancel(grpc, told["spinner"], told["runner"]),
            }
        )
    )


main(json.loads(sys.argv[1]))
