"""Makes the models of benchmarks from published weights.

    python make_models.py FOLDER MINILM.safetensors EFFICIENTNET.pth

tiny.onnx          a perceptron 4 -> 16 -> 3 with seeded weights: x [B, 4] -> y [B, 3]
minilm.onnx        all-MiniLM-L6-v2 in float32 with its pooling: input_ids, attention_mask, token_type_ids [B, S]
                   -> last_hidden_state [B, S, 384], sentence_embedding [B, 384]
efficientnet.onnx  EfficientNet-Lite0: pixel_values [B, 3, 224, 224] -> logits [B, 1000]
"""
import sys

import efficientnet
import minilm
import numpy as np
from graph import Graph
from onnx import TensorProto


def tiny(path):
    random = np.random.default_rng(7)
    weights = lambda *shape: graph.constant((random.standard_normal(shape) / 4).astype(np.float32))
    graph = Graph("tiny")
    hidden = graph.add("Relu", [graph.add("Gemm", ["x", weights(4, 16), weights(16)])])
    graph.add("Softmax", [graph.add("Gemm", [hidden, weights(16, 3), weights(3)])], "y", axis=-1)
    graph.save(path, [("x", TensorProto.FLOAT, ["B", 4])], [("y", TensorProto.FLOAT, ["B", 3])])


if __name__ == "__main__":
    folder, minilm_weights, efficientnet_weights = sys.argv[1:]
    tiny(f"{folder}/tiny.onnx")
    minilm.write(minilm_weights, f"{folder}/minilm.onnx")
    efficientnet.write(efficientnet_weights, f"{folder}/efficientnet.onnx")
