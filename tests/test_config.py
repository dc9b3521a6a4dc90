"""A config is valid or refused when it is loaded, and its id changes exactly when training would."""

import ast
import inspect
import itertools
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from bakeoff.errors import ConfigError
from bakeoff.runs.config import (
    Candidate,
    Data,
    Mode,
    Run,
    Train,
    override,
    parse_candidate,
    parse_duration,
    parse_weights,
    read_comparison,
    read_run,
    run_id,
)


def test_the_default_run_is_valid_and_survives_json() -> None:
    run = Run()
    assert Run.model_validate(json.loads(run.model_dump_json())) == run


def test_a_run_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Run().seed = 1


def test_a_run_names_its_candidate() -> None:
    assert override(Run(), ["model.name=resnet-50", "model.size=64"]).candidate == "resnet-50@64"


def test_a_revised_run_is_validated_and_the_original_is_unchanged() -> None:
    run = Run()
    assert run.revised(train={"epochs": 9}, model={"size": 64}).train.epochs == 9
    assert run == Run()
    with pytest.raises(ValidationError, match="exactly one of"):
        run.revised(train={"seconds": 5})


@pytest.mark.parametrize("lengths", [{}, {"seconds": 1.0, "epochs": 1.0}, {"images": 5, "epochs": 1.0}])
def test_a_fit_has_exactly_one_length(lengths: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="exactly one of seconds, images and epochs"):
        Train.model_validate(lengths)


def test_a_probe_has_no_length() -> None:
    assert Train.model_validate({"mode": "probe", "subset": 100}).epochs is None
    with pytest.raises(ValidationError, match="a probe has no length: remove epochs"):
        Train.model_validate({"mode": "probe", "epochs": 1})


@pytest.mark.parametrize("setting", ["train.seconds=inf", "train.epochs=nan", "optim.clip_norm=inf"])
def test_values_without_json_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError):
        override(Run(), [setting])


def test_the_id_is_twelve_hexadecimal_digits_and_repeats() -> None:
    assert run_id(Run(), "data", "weights") == run_id(Run(), "data", "weights")
    assert len(bytes.fromhex(run_id(Run(), "data", "weights"))) == 6


@pytest.mark.parametrize("setting", ["data.source=elsewhere", "data.classes=20", "model.weights=/some/file.h5"])
def test_the_id_does_not_depend_on_paths(setting: str) -> None:
    assert run_id(override(Run(), [setting]), "data", "weights") == run_id(Run(), "data", "weights")


@pytest.mark.parametrize(
    "setting",
    ["seed=1", "model.size=64", "optim.ema=0.0", "train.epochs=6", "augment.policy=none", "train.balance=weights"],
)
def test_the_id_depends_on_what_training_depends_on(setting: str) -> None:
    assert run_id(override(Run(), [setting]), "data", "weights") != run_id(Run(), "data", "weights")


def test_the_id_of_a_run_of_an_older_version_holds() -> None:
    assert run_id(Run(), "data", "weights") == "378065384fd4"


def test_the_id_depends_on_the_data_the_weights_and_the_recipe_version(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = {run_id(Run(), *parts) for parts in [("data", "weights"), ("other", "weights"), ("data", "other")]}
    monkeypatch.setattr("bakeoff.runs.config.run.RECIPE_VERSION", 999)
    assert len(ids | {run_id(Run(), "data", "weights")}) == 4


def test_equal_numbers_are_the_same_run_however_they_are_written() -> None:
    one, other = (override(Run(), [f"optim.learning_rate={text}"]) for text in ("1", "1.0"))
    assert run_id(one, "", "") == run_id(other, "", "")


def test_a_recipe_is_read_from_toml_and_from_json(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('seed = 3\n[model]\nname = "resnet-50"\n[train]\nseconds = 9\n')
    run = read_run(tmp_path / "a.toml")
    assert (run.seed, run.model.name, run.train.seconds) == (3, "resnet-50", 9.0)
    (tmp_path / "a.json").write_text(run.model_dump_json())
    assert read_run(tmp_path / "a.json") == run


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "seed = ", "a.toml is not valid toml"),
        ("a", "seed = ", "a is not valid toml"),
        ("a.json", "{", "a.json is not valid json"),
        ("a.json", "[]", "a.json: the recipe: "),
        (
            "a.toml",
            "sed = 1",
            "a.toml: sed: there is no such key; keys here are data, model, augment, optim, train, seed",
        ),
        ("a.toml", "[augment]\nflip = 1", "augment.flip: there is no such key; keys here are policy, crop"),
        ("a.toml", "[optim]\nname = 'tiger'", "optim.name: Input should be 'adamw', 'adam', 'adamax'"),
        ("a.toml", "[model]\nsize = 7", "model.size: Input should be greater than or equal to 8"),
        ("a.toml", "[train]\nepochs = 1\nsizes = [4]", "train.sizes.0: Input should be greater"),
        ("a.toml", "[train]\nbatch = 3", "a.toml: train: give exactly one of seconds, images and epochs, not none"),
    ],
)
def test_a_bad_recipe_says_what_and_where_on_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as error:
        read_run(tmp_path / name)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_recipe_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the recipe .*none\.toml.*give the path of a TOML file"):
        read_run(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(ConfigError, match=r"cannot read the recipe .*latin\.toml"):
        read_run(tmp_path / "latin.toml")


def test_settings_are_read_as_toml_or_else_as_text() -> None:
    settings = ["model.name = vgg-16", "train.flip_test=true", "train.sizes=[32, 64]", "data.classes=apple,bear=1"]
    run = override(Run(), settings)
    assert (run.model.name, run.train.flip_test, run.train.sizes) == ("vgg-16", True, (32, 64))
    assert run.data.classes == "apple,bear=1"


def test_names_of_classes_are_a_list_or_a_text(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('[data]\nclasses = ["a, b", "猫"]\n')
    assert read_run(tmp_path / "recipe.toml").data.classes == '["a, b", "猫"]'
    assert override(Run(), ['data.classes=["a, b", "c"]']).data.classes == '["a, b", "c"]'
    assert override(Run(), ["data.classes=20"]).data.classes == "20"
    # A byte of a command line that is not UTF-8 is an escape, as in the names of classes.
    assert Data(classes="tea,caf\udce9").classes == "tea,caf\\xe9"
    with pytest.raises(ConfigError, match=r"data\.classes"):
        override(Run(), ["data.classes=[[1], 2]"])


def test_the_last_of_two_settings_counts_and_none_changes_nothing() -> None:
    assert override(Run(), ["seed=1", "seed=2"]).seed == 2
    assert override(Run(), []) == Run()


def test_setting_one_length_clears_the_others() -> None:
    train = override(Run(), ["train.seconds=30"]).train
    assert (train.seconds, train.images, train.epochs) == (30.0, None, None)


def test_setting_the_mode_to_probe_clears_the_length_and_fit_does_not() -> None:
    assert override(Run(), ["train.mode=probe"]).train.mode is Mode.PROBE
    assert override(Run(), ["train.mode=fit"]).train.epochs == 5


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed", "is not KEY=VALUE"),
        ("=3", "is not KEY=VALUE"),
        ("model.=3", "is not KEY=VALUE"),
        ("modl.size=3", "there is no section 'modl'; sections are data, model, augment, optim, train"),
        ("seed.size=3", "there is no section 'seed'"),
        ("model.sise=3", "--set: model.sise: there is no such key"),
        ("model=3", "--set: model: "),
        ("train.batch=many", "--set: train.batch: Input should be a valid integer"),
    ],
)
def test_a_bad_setting_says_what_is_wrong(setting: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        override(Run(), [setting])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "name", "size"),
    [
        ("resnet-50", "resnet-50", None),
        (" MobileNet-V2@96 ", "mobilenet-v2", 96),
        ("hub:vit_base_patch16_224_imagenet@224", "hub:vit_base_patch16_224_imagenet", 224),
        ("hf://Timm/ResNet18.a1_in1k", "hf://Timm/ResNet18.a1_in1k", None),
        ("my_package.nets:TINY@64", "my_package.nets:TINY", 64),
        ("tiny_net", "tiny_net", None),
        ("Tiny.Net2@64", "tiny.net2", 64),
        ("hub:/home/me/My Project @2=3/vit", "hub:/home/me/My Project @2=3/vit", None),
        ("hub:/home/me@work/vit@96@64", "hub:/home/me@work/vit@96", 64),
    ],
)
def test_a_candidate_is_a_name_with_an_optional_size(text: str, name: str, size: int | None) -> None:
    candidate = parse_candidate(text)
    assert candidate == Candidate(name=name, size=size)
    assert parse_candidate(str(candidate)) == Candidate.read(str(candidate)) == candidate


def test_a_folder_is_named_the_same_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "My Project, copy=2@home"
    here.mkdir()
    monkeypatch.chdir(here)
    candidate = parse_candidate("hub:./vit@64")
    assert candidate == Candidate(name=f"hub:{here}/vit", size=64)
    assert Candidate.read(str(candidate)) == candidate
    assert parse_weights(["hub:./vit=mine.h5"]).of(candidate.name) == f"{here}/mine.h5"


def test_weights_are_for_any_network_that_can_be_a_candidate() -> None:
    choice = parse_weights(["Tiny_Net=none", "hub:/home/me@work/My Net=none", "nets:TINY=none", "./a_b=c.h5"])
    assert sorted(choice.named) == ["hub:/home/me@work/My Net", "nets:TINY", "tiny_net"]
    assert choice.default.endswith("/a_b=c.h5")


@pytest.mark.parametrize(
    "text", ["", "@96", "resnet+50", "resnet-50@", "resnet-50@x", "resnet-50@12345", "hub:", "nets:", "a b:TINY"]
)
def test_a_malformed_candidate_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not NAME or NAME@SIZE"):
        parse_candidate(text)


@pytest.mark.parametrize("text", ["nets.py", "./nets.py:TINY", "/home/me/nets.py:TINY", "presets/vit"])
def test_a_path_is_told_how_to_be_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is a path; name a network of your own as MODULE:NETWORK.* hub:FOLDER"):
        parse_candidate(text)


@pytest.mark.parametrize("text", ["resnet-50@0", "resnet-50@7", "resnet-50@1025"])
def test_a_size_out_of_range_is_refused_and_names_the_candidate(text: str) -> None:
    with pytest.raises(ConfigError, match=r"candidate 'resnet-50@\d+': Input should be"):
        parse_candidate(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("1h30m", 5400), (" 1H1M1S ", 3661)]
)
def test_a_duration_is_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h30", 5400), ("1h0.5", 3630), ("1m30", 90), ("1h30m15", 5415), ("1h30s", 3630)]
)
def test_a_number_without_a_unit_is_of_the_next_smaller_one(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0m", "-5", "ten", "5m3h", "inf", "nan", "1e3", "9" * 400])
def test_a_malformed_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a duration"):
        parse_duration(text)


def test_unfreeze_is_a_fraction_or_a_block() -> None:
    assert override(Run(), ["model.unfreeze=0.2"]).model.unfreeze == 0.2
    assert override(Run(), ["model.unfreeze=0"]).model.unfreeze == 0
    assert override(Run(), ["model.unfreeze=block5"]).model.unfreeze == "block5"
    for wrong in ("1.5", "-1", "'0.5'", "'5block'"):
        with pytest.raises(ConfigError, match=r"model\.unfreeze: .*from 0 to 1"):
            override(Run(), [f"model.unfreeze={wrong}"])


def test_a_recipe_for_several_networks_lists_its_candidates(tmp_path: Path) -> None:
    path = tmp_path / "several.toml"
    path.write_text('candidates = ["vgg-16@78", "lenet"]\n[train]\nepochs = 2\n')
    run, candidates = read_comparison(path)
    assert run.train.epochs == 2
    assert [str(candidate) for candidate in candidates] == ["vgg-16@78", "lenet"]
    with pytest.raises(ConfigError, match="candidates"):
        read_run(path)
    path.write_text("candidates = 3\n")
    with pytest.raises(ConfigError, match="list of names"):
        read_comparison(path)


def test_every_key_is_documented() -> None:
    module = ast.parse(Path(inspect.getfile(Run)).read_text(encoding="utf-8"))
    sections = {field.annotation.__name__ for field in Run.model_fields.values() if field.annotation is not int}
    for section in module.body:
        if isinstance(section, ast.ClassDef) and section.name in sections:
            for field, after in itertools.pairwise([*section.body, None]):
                if isinstance(field, ast.AnnAssign):
                    assert isinstance(after, ast.Expr), f"{section.name}: {ast.unparse(field)}"


def test_what_learns_validation_cannot_stop_early_by_it() -> None:
    with pytest.raises(ConfigError, match=r"train: .*with_val leaves no image to validate on: remove patience"):
        override(Run(), ["train.with_val=true", "train.patience=2"])


def test_a_key_that_older_versions_did_not_have_is_in_the_id_only_if_it_is_set() -> None:
    assert run_id(Run(), "d", "w") == run_id(override(Run(), ["train.with_val=false"]), "d", "w")
    assert run_id(Run(), "d", "w") != run_id(override(Run(), ["train.with_val=true"]), "d", "w")
