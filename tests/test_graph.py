"""The operations of a model are visited in order, by a private method that the supported versions of Keras have."""

import inspect
import re
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest

from bakeoff.networks.graph import run_graph

# The versions of Keras whose `Function._run_through_graph` was read, and called by these tests.
CHECKED = ("3.15",)


def test_the_installed_keras_is_one_whose_private_method_was_checked():
    assert ".".join(keras.__version__.split(".")[:2]) in CHECKED
    parameters = list(inspect.signature(keras.Function._run_through_graph).parameters)
    assert parameters[:3] == ["self", "inputs", "operation_fn"]


def test_no_later_keras_is_installed_by_itself():
    text = Path("pyproject.toml").read_text(encoding="utf-8")
    (wanted,) = [each for each in tomllib.loads(text)["project"]["dependencies"] if re.match(r"keras\b", each)]
    last = CHECKED[-1].split(".")
    assert wanted == f"keras>={CHECKED[0]},<{last[0]}.{int(last[1]) + 1}"


def test_every_operation_is_visited_in_order_and_those_of_models_inside():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="first"), keras.layers.ReLU(name="second")])
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2, name="third")(inner(inputs)))
    seen = []

    def visit(operation):
        seen.append(operation.name)
        return operation

    images = np.ones((1, 4), np.float32)
    assert np.allclose(run_graph(model, images, visit, inner=True), model(images))
    assert [name for name in seen if name in ("first", "second", "third")] == ["first", "second", "third"]
    assert inner.name not in seen


class Shortcut(keras.Sequential):
    """A sequence with a `call` of its own."""

    def call(self, inputs, training=None):
        return inputs + super().call(inputs, training=training)


def test_a_model_inside_with_a_call_of_its_own_is_called_as_it_is():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, Shortcut([keras.layers.Dense(4)])(inputs))
    images = np.ones((1, 4), np.float32)
    assert np.allclose(run_graph(model, images, lambda operation: operation, inner=True), model(images))


@pytest.mark.parametrize("call", ["list", "dict", "dict for a list", "keyword"])
def test_a_model_inside_gets_its_inputs_however_it_is_called(call):
    first, second = keras.Input((4,), name="first"), keras.Input((4,), name="second")
    difference = keras.layers.Subtract()([first, second])
    inputs = keras.Input((4,))
    named = {"second": inputs, "first": 3 * inputs}
    outputs = {
        "list": lambda: keras.Model([second, first], difference)([inputs, 3 * inputs]),
        "dict": lambda: keras.Model({"second": second, "first": first}, difference)(named),
        "dict for a list": lambda: keras.Model([second, first], difference)(named),
        "keyword": lambda: keras.Model([second, first], difference)(inputs=[inputs, 3 * inputs]),
    }
    model = keras.Model(inputs, outputs[call]())
    images = np.ones((1, 4), np.float32)
    found = run_graph(model, images, lambda operation: operation, inner=True)
    assert np.allclose(found, 2)
    assert np.allclose(found, model(images))
