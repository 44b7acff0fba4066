#!/usr/bin/env python3
"""Writes the list of operators that the pinned ONNX Runtime ships.

    pip install onnxruntime==1.32.0 onnx numpy
    python crates/berth-onnx/operators/update.py            # writes operators/onnxruntime-<version>.txt
    python crates/berth-onnx/operators/update.py --check    # fails when the file is not what the runtime says

The operators come from the runtime's own schema registry, the newest opset of each domain and the newest IR version from
asking it to load tiny models.
"""

import pathlib
import sys

import onnxruntime
from onnx import TensorProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

# Operators of the runtime that no upload may use, and why.
REFUSED = {
    ("com.microsoft", "EPContext"): "names a file or carries a compiled program for a device",
    ("com.microsoft", "Snpe"): "carries a compiled program for a device",
}
# Made by the runtime while it optimises, never stored in a file.
INTERNAL_DOMAINS = {"com.ms.internal.nhwc"}


def loads(opset_imports, ir_version):
    node = helper.make_node("Abs", ["x"], ["y"])
    shape = ["rows", 3]
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in opset_imports]
    model = helper.make_model(graph, opset_imports=imports, ir_version=ir_version)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # whatever it says, it does not load
        return False
    return True


def newest(accepts, start):
    version = start
    if not accepts(version):
        raise SystemExit(f"even version {version} does not load")
    while accepts(version + 1):
        version += 1
    return version


def lines():
    schemas = {}
    for schema in get_all_operator_schema():
        if schema.domain in INTERNAL_DOMAINS or (schema.domain, schema.name) in REFUSED:
            continue
        mark = "x" if schema.deprecated else ""
        versions = schemas.setdefault((schema.domain or "ai.onnx", schema.name), set())
        versions.add((schema.since_version, mark))
    opset = newest(lambda version: loads([("", version)], 8), 13)
    yield "# Operators that ONNX Runtime ships; written by update.py, do not edit."
    yield "# `ir N`: newest IR version. `domain NAME N`: newest opset. `op DOMAIN NAME SINCE…`: opsets that changed the"
    yield "# operator; the one marked x removed it."
    yield f"runtime {onnxruntime.__version__}"
    yield f"ir {newest(lambda version: loads([('', opset)], version), 8)}"
    for domain in sorted({domain for domain, _ in schemas}):
        limit = opset if domain == "ai.onnx" else newest(
            lambda version, domain=domain: loads([("", opset), (domain, version)], 8), 1
        )
        yield f"domain {domain} {limit}"
    for (domain, name), versions in sorted(schemas.items()):
        yield " ".join(["op", domain, name] + [f"{since}{mark}" for since, mark in sorted(versions)])


def main():
    path = pathlib.Path(__file__).with_name(f"onnxruntime-{onnxruntime.__version__}.txt")
    text = "\n".join(lines()) + "\n"
    if "--check" not in sys.argv:
        path.write_text(text)
    elif not path.exists() or path.read_text() != text:
        raise SystemExit(f"{path} is not what the runtime says: run {__file__}")


if __name__ == "__main__":
    main()
