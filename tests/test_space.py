"""The parameters of a recipe: files, defaults, conditions, and runs drawn from them."""

import pytest

from bakeoff.errors import ConfigError
from bakeoff.networks.find import find_network
from bakeoff.networks.table import TABLE
from bakeoff.runs.config import Data, Run, WeightsChoice, look_up
from bakeoff.study import default_factors, default_run, default_space, read_space
from bakeoff.study.space import Parameter, Space

BASE = Run().revised(optim={"learning_rate": 5e-4}, train={"epochs": None, "seconds": 60.0})


def _read(tmp_path, text):
    path = tmp_path / "space.toml"
    path.write_text(text)
    return read_space(path)


def _draw(space, values, base=BASE):
    """Draw the value given for the parameter's name, else the first choice or the lowest value."""
    return space.draw(
        base,
        lambda parameter: values.get(parameter.name, parameter.choices[0] if parameter.choices else parameter.low),
    )


@pytest.mark.parametrize("table", ["parameter", "knob"])
def test_a_space_is_read_from_toml(tmp_path, table):
    space = _read(
        tmp_path,
        f"""
        [[{table}]]
        key = "optim.learning_rate"
        low = 1e-4
        high = 1e-2
        log = true
        when = {{ "optim.name" = ["adamw"] }}

        [[{table}]]
        key = "train.patience"
        choices = [0, 3]
        also = {{ "train.evaluations" = 12 }}
        """,
    )
    rate, patience = space.parameters
    assert (rate.low, rate.high, rate.log, rate.when) == (1e-4, 1e-2, True, {"optim.name": ("adamw",)})
    assert (patience.choices, patience.also) == ((0, 3), {"train.evaluations": 12})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("knob = 3", "cannot|tables|space"),
        ("parameter = 3", "space"),
        ("[[knobs]]", "tables and nothing else"),
        ("[[parameter]]\nkey = 'a.b'\n[[knob]]\nkey = 'a.b'", "tables and nothing else"),
        ("", "tables and nothing else"),
        ("[[parameter]]\nkey = 'a.b'", "give either choices, or low and high"),
        ("[[knob]]\nkey = 'a.b'", "give either choices, or low and high"),
        ("[[knob]]\nkey = 'a.b'\nchoices = [1]\nlow = 1\nhigh = 2", "give either choices, or low and high"),
        ("[[knob]]\nkey = 'a.b'\nlow = 2\nhigh = 1", "low must be below high"),
        ("[[knob]]\nkey = 'a.b'\nlow = 0\nhigh = 1\nlog = true", "low must be above 0"),
        ("[[knob]]\nkey = 'a.b'\nchoices = [1]\nstep = 2", "step"),
        ("this is no TOML", "cannot read the space"),
    ],
)
def test_the_error_for_a_bad_file_names_the_mistake(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as raised:
        _read(tmp_path, text)
    assert "space.toml" in str(raised.value)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (Parameter(key="optim.learning", choices=(1, 2)), "learning"),
        (Parameter(key="optim.name", choices=("adamw", "adamant")), "adamant"),
        (Parameter(key="model.dropout", low=0.1, high=1.5), "model.dropout"),
        (Parameter(key="train.batch", choices=(32,), when={"optim.nam": ("sgd",)}), "optim.nam"),
        (Parameter(key="model.size", choices=(16, 96)), "efficientnet-lite0@16: the input is too small"),
        (Parameter(key="model.size", low=16, high=96), "efficientnet-lite0@16: the input is too small"),
    ],
)
def test_invalid_keys_and_values_are_refused_before_training(parameter, message):
    with pytest.raises(ConfigError, match=message):
        Space(parameters=(parameter,)).widened_to(BASE)


@pytest.mark.parametrize(
    ("change", "key", "low", "message"),
    [
        ({"unfreeze": "block5"}, "model.unfreeze", 0.2, "the base recipe's value 'block5' is no number; give choices"),
        ({"name": "nasnet-mobile"}, "model.size", 64.0, "nasnet-mobile takes multiples of 32 pixels; give choices"),
    ],
)
def test_a_range_in_which_a_run_cannot_have_each_value_is_refused(change, key, low, message):
    space = Space(parameters=(Parameter(key=key, low=low, high=1.5 * low),))
    with pytest.raises(ConfigError, match=message):
        space.widened_to(BASE.revised(model=change))


def test_of_a_key_of_whole_numbers_only_whole_numbers_are_drawn():
    batch = Parameter(key="train.batch", low=16, high=200)
    assert Space(parameters=(batch,)).widened_to(BASE).parameters == (batch.model_copy(update={"whole": True}),)
    crop = Parameter(key="augment.crop", low=0.0, high=0.5)
    assert Space(parameters=(crop,)).widened_to(BASE).parameters == (crop,)


def test_a_space_is_widened_to_the_base_recipe():
    parameters = (
        Parameter(key="train.batch", choices=(128, 256)),
        Parameter(key="optim.learning_rate", low=1e-3, high=1e-2, log=True),
    )
    batch, rate = Space(parameters=parameters).widened_to(BASE).parameters
    assert batch.choices == (64, 128, 256)
    assert (rate.low, rate.high) == (5e-4, 1e-2)


@pytest.mark.parametrize(
    ("base", "key"),
    [(BASE.revised(optim={"weight_decay": 0.0}), "optim.weight_decay"), (BASE, "optim.clip_norm")],
)
def test_a_base_value_that_a_logarithmic_scale_cannot_have_is_refused_with_what_can_be_done(base, key):
    space = Space(parameters=(Parameter(key=key, low=1e-3, high=1.0, log=True),))
    with pytest.raises(
        ConfigError, match=rf"{key}: .* 0\.0 is not on a logarithmic scale.*--set {key}=0\.001.*choices"
    ):
        space.widened_to(base)
    # Where it is not drawn for the base recipe, its value there does not matter.
    conditional = Space(parameters=(Parameter(key=key, low=1e-3, high=1.0, log=True, when={"optim.name": ("sgd",)}),))
    assert conditional.widened_to(base) == conditional


def test_a_parameter_is_drawn_only_under_its_condition_and_keeps_the_base_value_otherwise():
    space = Space(
        parameters=(
            Parameter(key="optim.name", choices=("adamw", "sgd")),
            Parameter(key="optim.learning_rate", low=1e-4, high=1e-3, when={"optim.name": ("adamw",)}),
            Parameter(key="optim.learning_rate", low=0.01, high=0.1, when={"optim.name": ("sgd",)}),
        )
    )
    run, changes = _draw(space, {"optim.name": "sgd"})
    assert (run.optim.name, run.optim.learning_rate) == ("sgd", 0.01)
    assert changes == {"optim.name": "sgd", "optim.learning_rate": 0.01}
    run, changes = _draw(space, {"optim.learning_rate (optim.name adamw)": 5e-4})
    assert run == BASE
    assert changes == {}


def test_a_parameter_that_changes_may_set_other_keys():
    space = Space(parameters=(Parameter(key="train.patience", choices=(0, 3), also={"train.evaluations": 12}),))
    assert _draw(space, {"train.patience": 3})[1] == {"train.patience": 3, "train.evaluations": 12}
    assert _draw(space, {"train.patience": 0})[1] == {}


def test_a_space_can_be_limited_to_some_keys():
    space = default_space(BASE)
    assert {parameter.key for parameter in space.only(["train.batch", "optim.name"]).parameters} == {
        "train.batch",
        "optim.name",
    }
    with pytest.raises(ConfigError, match=r"has no 'train\.bath'"):
        space.only(["train.bath"])


@pytest.mark.parametrize("name", [spec.name for spec in TABLE])
@pytest.mark.parametrize("make", [default_space, default_factors])
def test_every_network_has_a_space_around_its_default_recipe(name, make):
    spec = find_network(name)
    base = default_run(spec, max(96, spec.min_size), Data(), WeightsChoice(), 0)
    if spec.from_scratch:
        base = base.revised(model={"size": spec.native_size})
    space = make(base)
    run, changes = space.draw(base, lambda parameter: space.values_of(base)[parameter.name])
    assert run == base
    assert changes == {}
    keys = {parameter.key for parameter in space.parameters}
    assert ("model.unfreeze" in keys) != spec.from_scratch


@pytest.mark.parametrize(("imbalance", "there"), [(1.0, False), (4.9, False), (5.0, True), (60.0, True)])
def test_the_balance_of_classes_is_searched_where_they_are_uneven(imbalance, there):
    keys = {parameter.key: parameter.choices for parameter in default_space(BASE, imbalance).parameters}
    assert ("train.balance" in keys) == there
    assert keys.get("train.balance", ("none",))[0] == "none"


def test_the_default_space_of_a_recipe_without_weight_decay_has_none_among_its_choices():
    for decay, choices in ((0.02, ()), (0.0, (0.0, 0.001, 0.01, 0.05, 0.2))):
        space = default_space(BASE.revised(optim={"weight_decay": decay}))
        (parameter,) = (each for each in space.parameters if each.key == "optim.weight_decay")
        assert (parameter.choices, parameter.log) == (choices, not choices)


def test_digits_are_never_flipped():
    base = BASE.revised(augment={"policy": "crop"})
    policies = next(
        parameter.choices for parameter in default_space(base).parameters if parameter.key == "augment.policy"
    )
    assert not any("flip" in policy for policy in policies)
    assert "flip-crop-cutmix" in next(
        parameter.choices for parameter in default_space(BASE).parameters if parameter.key == "augment.policy"
    )


def test_the_levels_of_a_space_are_its_other_choices_one_at_a_time():
    parameters = (
        Parameter(key="train.batch", choices=(32, 64)),
        Parameter(key="train.patience", choices=(0, 3), also={"train.evaluations": 12}),
    )
    levels = Space(parameters=parameters).widened_to(BASE).levels(BASE)
    assert [(key, value) for key, value, _ in levels] == [("train.batch", 32), ("train.patience", 3)]
    assert levels[0][2] == BASE.revised(train={"batch": 32})
    assert levels[1][2] == BASE.revised(train={"patience": 3, "evaluations": 12})


def test_a_range_is_refused_as_a_factor():
    with pytest.raises(ConfigError, match="is a range"):
        Space(parameters=(Parameter(key="model.dropout", low=0.1, high=0.5),)).levels(BASE)


def test_the_original_studys_eight_factors_are_there():
    keys = {parameter.key for parameter in default_factors(BASE).parameters}
    assert keys == {
        "model.size",
        "augment.policy",
        "model.unfreeze",
        "model.dropout",
        "train.patience",
        "optim.learning_rate",
        "train.batch",
        "optim.name",
    }
    assert look_up(BASE, "optim.learning_rate") in next(
        parameter.choices for parameter in default_factors(BASE).parameters if parameter.key == "optim.learning_rate"
    )
