"""EfficientNet-Lite0 from the file of its weights, which is a pickle of PyTorch's oldest form."""
import pickle
import struct

import numpy as np
from graph import Graph
from onnx import TensorProto

KINDS = {"FloatStorage": np.float32, "LongStorage": np.int64, "HalfStorage": np.float16}

# (repeats, kernel, stride, expansion, channels)
BLOCKS = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)]

# TensorFlow's, which the weights were trained with.
EPSILON = 1e-3


class Unpickler(pickle.Unpickler):
    """Admits what a table of tensors needs, and nothing else."""

    class Table(dict):
        """Takes attributes, as the published one has."""

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return self.Table
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: (storage, offset, size, stride)
        if module == "torch" and name in KINDS:
            return name
        raise pickle.UnpicklingError(f"refused {module}.{name}")

    def persistent_load(self, reference):
        _, kind, key, _, _ = reference[:5]
        return kind, key


def read_weights(path):
    with open(path, "rb") as file:
        load = lambda: Unpickler(file).load()
        if load() != 0x1950A86A20F9469CFC6C:
            raise ValueError("not a file of weights in the old form")
        load(), load()
        table, keys = load(), load()
        kinds = {storage[1]: KINDS[storage[0]] for storage, *_ in table.values()}
        data = {}
        for key in keys:
            (count,) = struct.unpack("<q", file.read(8))
            kind = np.dtype(kinds[key])
            data[key] = np.frombuffer(file.read(count * kind.itemsize), kind)
    weights = {}
    for name, ((_, key), offset, size, stride) in table.items():
        flat = data[key]
        steps = [step * flat.itemsize for step in stride]
        weights[name] = np.lib.stride_tricks.as_strided(flat[offset:], size, steps).copy()
    return weights


def write(weights_path, path):
    weights = read_weights(weights_path)
    graph = Graph("efficientnet_lite0")
    add, constant = graph.add, graph.constant
    least, most = constant(np.float32(0)), constant(np.float32(6))

    def convolution(x, kernel, norm, size, stride, groups=1, bounded=True):
        gain, bias, mean, variance = (weights[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
        scale = gain / np.sqrt(variance + EPSILON)
        folded = (weights[f"{kernel}.weight"] * scale[:, None, None, None]).astype(np.float32)
        inputs = [x, constant(folded), constant((bias - mean * scale).astype(np.float32))]
        shape = {"kernel_shape": [size, size], "strides": [stride, stride]}
        y = add("Conv", inputs, group=groups, auto_pad="SAME_UPPER", **shape)
        return add("Clip", [y, least, most]) if bounded else y

    x, channels, index = convolution("pixel_values", "_conv_stem", "_bn0", 3, 2), 32, 0
    for repeats, size, first_stride, expansion, out in BLOCKS:
        for repeat in range(repeats):
            block, stride, wide, y = f"_blocks.{index}", first_stride if repeat == 0 else 1, channels * expansion, x
            if expansion != 1:
                y = convolution(y, f"{block}._expand_conv", f"{block}._bn0", 1, 1)
            y = convolution(y, f"{block}._depthwise_conv", f"{block}._bn1", size, stride, groups=wide)
            y = convolution(y, f"{block}._project_conv", f"{block}._bn2", 1, 1, bounded=False)
            x = add("Add", [y, x]) if stride == 1 and channels == out else y
            channels, index = out, index + 1
    x = convolution(x, "_conv_head", "_bn1", 1, 1)
    features = add("Flatten", [add("GlobalAveragePool", [x])], axis=1)
    add("Gemm", [features, constant(weights["_fc.weight"]), constant(weights["_fc.bias"])], "logits", transB=1)
    graph.save(
        path,
        [("pixel_values", TensorProto.FLOAT, ["B", 3, 224, 224])],
        [("logits", TensorProto.FLOAT, ["B", 1000])],
    )
