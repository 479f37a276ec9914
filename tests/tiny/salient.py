"""A salient-object network in ONNX format to which red is what matters."""

from pathlib import Path

import numpy as np
import pytest


def save_tiny_network(
    path: Path, *, inputs: int = 3, outputs: int = 1, threshold: float = 2.0
) -> Path:
    """A convolution of single pixels, red less the mean of the others, and a sigmoid."""
    onnx = pytest.importorskip("onnx")
    weights = np.full((outputs, inputs, 1, 1), -0.5, np.float32)
    weights[:, 0] = 1
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["picture", "weights", "bias"], ["red"]),
            helper.make_node("Sigmoid", ["red"], ["saliency"]),
        ],
        "red",
        [helper.make_tensor_value_info("picture", kind, [1, inputs, 320, 320])],
        [helper.make_tensor_value_info("saliency", kind, [1, outputs, 320, 320])],
        [
            onnx.numpy_helper.from_array(weights, "weights"),
            onnx.numpy_helper.from_array(np.full(outputs, -threshold, np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    onnx.save(model, path)
    return path
