"""The operations of a model are visited in order, by a private method that the supported versions of Keras have."""

import inspect
import re
import tomllib
from pathlib import Path

import keras
import numpy as np

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
        def call(*args, **kwargs):
            if isinstance(operation, keras.Model):
                return run_graph(operation, args, visit)
            seen.append(operation.name)
            return operation(*args, **kwargs)

        return call

    images = np.ones((1, 4), np.float32)
    assert np.allclose(run_graph(model, (images,), visit), model(images))
    assert [name for name in seen if name in ("first", "second", "third")] == ["first", "second", "third"]
