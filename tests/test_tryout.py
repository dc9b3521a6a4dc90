"""Precision and XLA are tried by two timed steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bakeoff.errors import ConfigError
from bakeoff.profile import Variant
from bakeoff.runs.config import Model, Precision, Run
from bakeoff.training.tryout import VARIANTS, StepTrial, choose_variant, find_xla_error, try_variants

PLAIN, HALF, XLA = Variant(), Variant(precision=Precision.FLOAT16), Variant(jit_compile=True)


def _run(size=16, name="lenet"):
    return Run(model=Model(name=name, size=size)).revised(train={"batch": 4}, optim={"name": "sgd", "ema": 0.0})


def _trial(variant, seconds):
    return StepTrial(variant=variant, seconds=seconds, reason="" if seconds else "it does not work")


def test_every_precision_is_tried_with_xla_and_without():
    assert VARIANTS[0] == PLAIN
    assert {(each.precision, each.jit_compile) for each in VARIANTS} == {
        (precision, jit) for precision in Precision for jit in (False, True)
    }


@pytest.mark.slow
def test_steps_are_timed_and_the_policy_is_as_before():
    policy = keras.config.dtype_policy()
    trials = try_variants(_run(), side=16, classes=5, variants=[PLAIN, HALF, XLA])
    assert [trial.variant for trial in trials] == [PLAIN, HALF, XLA]
    for trial in trials:
        assert trial.reason == ""
        assert trial.seconds > 0
    assert keras.config.dtype_policy() == policy
    assert choose_variant(trials) in trials


def _whole(model):
    """As if XLA compiled the resizing, too."""
    return lambda images: images, model


@pytest.mark.slow
def test_xla_is_used_for_images_that_are_made_smaller_which_it_cannot_do_by_itself():
    (xla,) = try_variants(_run(), side=24, classes=5, variants=[XLA])
    assert xla.reason == ""
    assert xla.seconds > 0


def test_xla_is_not_used_where_it_computes_something_else(monkeypatch):
    assert find_xla_error(_run(96, "cnn-small"), side=32, classes=5) == ""
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
    resize = keras.layers.Resizing(96, 96, interpolation="bilinear")
    # Wrong on CPUs in TF 2.21.
    right, found = (tf.function(resize, jit_compile=jit)(images, training=False).numpy() for jit in (False, True))
    monkeypatch.setattr("bakeoff.training.tryout.split_resizing", _whole)
    error = find_xla_error(_run(96, "cnn-small"), side=32, classes=5)
    assert error.startswith("XLA computes other logits" if np.abs(found - right).max() > 1 else "")
    assert bool(error) == bool(np.abs(found - right).max() > 1)


def test_what_xla_cannot_compile_is_said_and_the_others_are_tried(monkeypatch):
    # Images are made smaller with antialiasing.
    monkeypatch.setattr("bakeoff.training.tryout.split_resizing", _whole)
    plain, xla = try_variants(_run(), side=24, classes=5, variants=[PLAIN, XLA])
    assert plain.seconds > 0
    assert xla.seconds is None
    assert "InvalidArgumentError: Detected unsupported operations" in xla.reason


def test_a_step_that_fails_says_why(monkeypatch):
    def fail(*_args, **_kwargs):
        raise MemoryError("no\n  room")

    monkeypatch.setattr("bakeoff.training.tryout.random_step", fail)
    (trial,) = try_variants(_run(), side=16, classes=5, variants=[HALF])
    assert trial == StepTrial(variant=HALF, reason="MemoryError: no room")
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("plain", "half", "xla", "chosen"),
    [
        (1.0, 0.5, 0.7, HALF),
        (1.0, 0.9, 0.7, XLA),
        (1.0, 0.96, 0.97, PLAIN),
        (1.0, None, None, PLAIN),
        (None, 0.9, 0.7, XLA),
    ],
)
def test_the_fastest_is_chosen_if_it_gains_enough(plain, half, xla, chosen):
    trials = [_trial(PLAIN, plain), _trial(HALF, half), _trial(XLA, xla)]
    assert choose_variant(trials).variant == chosen


def test_without_a_usable_variant_the_reason_is_said_once():
    with pytest.raises(ConfigError, match=r"no training step can be taken: it does not work$"):
        choose_variant([_trial(PLAIN, None), _trial(HALF, None)])


def test_trials_are_stored_and_read():
    trial = _trial(HALF, np.float64(0.25))
    assert StepTrial.model_validate_json(trial.model_dump_json()) == trial
