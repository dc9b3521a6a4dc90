"""Operations of TensorFlow that tf2onnx does not know, written with those of ONNX.

They can be anywhere in a network, also inside layers that are not Keras' own: GELU (`erfc`), CELU (`expm1`).
"""

from typing import Any

import numpy as np

__all__ = ["register_operations"]

# From this version on ONNX has `Erf`.
_OPSET = 9


def register_operations() -> None:
    """Let tf2onnx convert these operations, in this process."""
    from tf2onnx.constants import ONNX_DOMAIN
    from tf2onnx.handler import tf_op

    for name, convert in {"Erfc": _erfc, "Expm1": _expm1, "Log1p": _log1p}.items():
        tf_op.register_handler(convert, _OPSET, [name], ONNX_DOMAIN, {})


def _erfc(graph: Any, node: Any, **_: Any) -> None:
    erf = graph.make_node("Erf", node.input).output[0]
    _put(graph, node, "Sub", [_one(graph, node), erf])


def _expm1(graph: Any, node: Any, **_: Any) -> None:
    exp = graph.make_node("Exp", node.input).output[0]
    _put(graph, node, "Sub", [exp, _one(graph, node)])


def _log1p(graph: Any, node: Any, **_: Any) -> None:
    sum_ = graph.make_node("Add", [node.input[0], _one(graph, node)]).output[0]
    _put(graph, node, "Log", [sum_])


def _one(graph: Any, node: Any) -> str:
    """A constant of the operation's type."""
    from tf2onnx.utils import make_name, map_onnx_to_numpy_type

    dtype = map_onnx_to_numpy_type(graph.get_dtype(node.input[0]))
    name: str = graph.make_const(make_name("one"), np.array(1, dtype)).output[0]
    return name


def _put(graph: Any, node: Any, kind: str, inputs: list[str]) -> None:
    """Put an operation in a node's place, with the same output."""
    shapes, dtypes = node.output_shapes, node.output_dtypes
    graph.remove_node(node.name)
    graph.make_node(kind, inputs, name=node.name, outputs=node.output, shapes=shapes, dtypes=dtypes)
