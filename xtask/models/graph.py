"""A graph that is written node by node."""
import numpy as np
import onnx
from onnx import helper, numpy_helper


class Graph:
    def __init__(self, name):
        self.name, self.nodes, self.constants = name, [], []

    def constant(self, array, name=None):
        name = name or f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator, inputs, output=None, **attributes):
        output = output or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def save(self, path, inputs, outputs):
        """Writes it for ONNX Runtime 1.15 and later. Inputs and outputs are (name, element type, shape)."""
        values = lambda specs: [helper.make_tensor_value_info(*spec) for spec in specs]
        graph = helper.make_graph(self.nodes, self.name, values(inputs), values(outputs), self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, path)
