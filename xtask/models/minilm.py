"""all-MiniLM-L6-v2 from its safetensors file."""
import json
import struct

import numpy as np
from graph import Graph
from onnx import TensorProto

LAYERS, WIDTH, HEADS = 6, 384, 12


def read_safetensors(path):
    raw = open(path, "rb").read()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    kinds = {"F32": np.float32, "F16": np.float16, "I64": np.int64}
    tensors = {}
    for name, about in header.items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in about["data_offsets"])
            tensors[name] = np.frombuffer(raw[begin:end], kinds[about["dtype"]]).reshape(about["shape"])
    return tensors


def write(weights_path, path):
    weights = read_safetensors(weights_path)
    graph = Graph("minilm")
    add, constant = graph.add, graph.constant
    weight = lambda name: constant(weights[name].astype(np.float32))
    whole = lambda *values: constant(np.array(values, np.int64))
    number = lambda value: constant(np.float32(value))

    def linear(x, name):
        product = add("MatMul", [x, constant(weights[f"{name}.weight"].astype(np.float32).T)])
        return add("Add", [product, weight(f"{name}.bias")])

    def normalized(x, name, output=None):
        scale, bias = weight(f"{name}.weight"), weight(f"{name}.bias")
        return add("LayerNormalization", [x, scale, bias], output, axis=-1, epsilon=1e-12)

    def gelu(x):
        erf = add("Erf", [add("Div", [x, number(np.sqrt(2))])])
        return add("Mul", [add("Mul", [x, add("Add", [erf, number(1)])]), number(0.5)])

    def heads(x):
        split = add("Reshape", [x, whole(0, 0, HEADS, WIDTH // HEADS)])
        return add("Transpose", [split], perm=[0, 2, 1, 3])

    words = add("Gather", [weight("embeddings.word_embeddings.weight"), "input_ids"])
    kinds = add("Gather", [weight("embeddings.token_type_embeddings.weight"), "token_type_ids"])
    length = add("Slice", [add("Shape", ["input_ids"]), whole(1), whole(2)])
    positions = add("Slice", [weight("embeddings.position_embeddings.weight"), whole(0), length, whole(0)])
    x = normalized(add("Add", [add("Add", [words, kinds]), positions]), "embeddings.LayerNorm")
    mask = add("Cast", ["attention_mask"], to=TensorProto.FLOAT)
    unmasked = add("Sub", [number(1), add("Unsqueeze", [mask, whole(1, 2)])])
    bias = add("Mul", [unmasked, number(-1e9)])
    for layer in (f"encoder.layer.{index}" for index in range(LAYERS)):
        query, key, value = (heads(linear(x, f"{layer}.attention.self.{part}")) for part in ("query", "key", "value"))
        scores = add("MatMul", [query, add("Transpose", [key], perm=[0, 1, 3, 2])])
        scores = add("Div", [scores, number(np.sqrt(WIDTH // HEADS))])
        shares = add("Softmax", [add("Add", [scores, bias])], axis=-1)
        mixed = add("Transpose", [add("MatMul", [shares, value])], perm=[0, 2, 1, 3])
        mixed = linear(add("Reshape", [mixed, whole(0, 0, WIDTH)]), f"{layer}.attention.output.dense")
        x = normalized(add("Add", [x, mixed]), f"{layer}.attention.output.LayerNorm")
        wide = gelu(linear(x, f"{layer}.intermediate.dense"))
        last = "last_hidden_state" if layer.endswith(str(LAYERS - 1)) else None
        x = normalized(add("Add", [x, linear(wide, f"{layer}.output.dense")]), f"{layer}.output.LayerNorm", last)
    columns = add("Unsqueeze", [mask, whole(2)])
    total = add("ReduceSum", [add("Mul", [x, columns]), whole(1)], keepdims=0)
    mean = add("Div", [total, add("ReduceSum", [columns, whole(1)], keepdims=0)])
    add("LpNormalization", [mean], "sentence_embedding", axis=-1, p=2)
    inputs = ("input_ids", "attention_mask", "token_type_ids")
    graph.save(
        path,
        [(name, TensorProto.INT64, ["B", "S"]) for name in inputs],
        [
            ("last_hidden_state", TensorProto.FLOAT, ["B", "S", WIDTH]),
            ("sentence_embedding", TensorProto.FLOAT, ["B", WIDTH]),
        ],
    )
