"""Images are not mirrored where a mirror image shows another class: which data these are, and what that changes."""

import logging
from dataclasses import replace

import numpy as np
import pytest

import bakeoff
from bakeoff.api.arguments import names_policy
from bakeoff.data.mirroring import describe_unmirrored, find_mirrored
from bakeoff.data.sources import open_source
from bakeoff.errors import NothingTrainedError, OutputError
from bakeoff.runs.config import Candidate, Data, Run, WeightsChoice, run_id
from bakeoff.runs.record import Stage
from bakeoff.runs.study_file import StudyData, read_study
from bakeoff.study import default_space, make_ablation, make_comparison, make_search, open_state, propose, start_from
from bakeoff.study.begin import StudyRequest, open_study, prepare_study
from bakeoff.study.defaults import without_mirroring
from bakeoff.study.state import planned_mirroring
from factories import encode_png, make_forecast
from test_leaks import Watcher
from test_plan import COUNTS, FORECAST, LITES, _plan, _screened

LITE = LITES[0]
DATA = StudyData(name="cifar100-20", fingerprint="d")


@pytest.mark.parametrize(
    ("names", "pair"),
    [
        (("left", "right"), ("left", "right")),
        (("ahead", "turn-left", "turn-right"), ("turn-left", "turn-right")),
        (("arrow left", "arrow_right"), ("arrow left", "arrow_right")),
        (("HandLeft", "HandRight"), ("HandLeft", "HandRight")),
        (("LEFT", "RIGHT"), ("LEFT", "RIGHT")),
        (("eye.L", "eye.R"), ("eye.L", "eye.R")),
        (("handL", "handR"), ("handL", "handR")),
        (("left_to_right", "right_to_left"), ("left_to_right", "right_to_left")),
        (("Pfeil links", "Pfeil rechts"), ("Pfeil links", "Pfeil rechts")),
        (("main gauche", "main droite"), ("main gauche", "main droite")),
        (("giro-izquierda", "giro-derecha"), ("giro-izquierda", "giro-derecha")),
        (("mano_sinistra", "mano_destra"), ("mano_sinistra", "mano_destra")),
        (("seta esquerda", "seta direita"), ("seta esquerda", "seta direita")),
        (("linkes Auge", "rechtes Auge"), ("linkes Auge", "rechtes Auge")),
        (("pied_droit", "pied_gauche"), ("pied_droit", "pied_gauche")),
        (("ojo_derecho", "ojo_izquierdo"), ("ojo_derecho", "ojo_izquierdo")),
        (("piede destro", "piede sinistro"), ("piede destro", "piede sinistro")),
        (("p\u00e9 direito", "p\u00e9 esquerdo"), ("p\u00e9 direito", "p\u00e9 esquerdo")),
        (("left", "straight"), None),
        (("left hand", "right foot"), None),
        (("bright", "cleft"), None),
        (("left", "rechts"), None),
        (("0", "1", "2"), None),
        (("cat", "dog"), None),
    ],
)
def test_two_classes_that_differ_in_left_and_right_are_found(names, pair):
    assert find_mirrored(names) == pair


def test_the_built_in_digits_are_not_mirrored_however_they_are_named(digits, tmp_path, monkeypatch):
    why = "in digits, a mirror image may show another class, or none"
    assert describe_unmirrored(digits) == f"images are not mirrored, neither in training nor in scoring: {why}"
    monkeypatch.chdir(tmp_path)
    _write_images(tmp_path / "digits", ("cat", "dog"))
    assert not open_source(Data(source="builtin:digits")).may_mirror
    assert open_source(Data(source="digits")).may_mirror


def test_the_note_names_two_classes_of_the_view(digits):
    manifest = digits.manifest.model_copy(update={"may_mirror": True})
    assert describe_unmirrored(replace(digits, manifest=manifest)) == ""
    told = describe_unmirrored(replace(digits, manifest=manifest, class_names=("up", "left", "right")))
    assert told.endswith(": by their names, a mirror image of class left shows class right")


def test_a_study_of_such_data_mirrors_nothing():
    for mirror, policy in ((True, "flip-crop"), (False, "crop")):
        plan = _plan(600, [LITE, Candidate(name="lenet", size=32)], mirror=mirror)
        records = _screened(plan, [0.5, 0.1])
        assert {record.config.augment.policy for record in records} == {policy}
        confirm = propose(plan, records, 5000, FORECAST)
        assert confirm.stage is Stage.CONFIRM
        (run,) = confirm.runs
        assert (run.augment.policy, run.train.flip_test) == (policy, mirror)


def test_a_study_of_a_version_that_looked_at_the_name_of_the_data_goes_on_as_it_began():
    for source, mirror in (("digits", False), ("builtin:digits", True), ("photos/", True)):
        older = _plan(600).model_copy(update={"mirror": None, "data": Data(source=source)})
        assert older.may_mirror is mirror
        assert older.asked == older.model_copy(update={"mirror": mirror}).asked


def test_a_recipe_that_names_no_policy_is_without_mirroring_and_keeps_the_rest():
    recipe = Run.model_validate({"augment": {"crop": 0.2}, "train": {"epochs": 3, "flip_test": True}})
    run = start_from(recipe, LITE, Data(), WeightsChoice(), 0, mirror=False)
    assert (run.augment.policy, run.augment.crop, run.train.epochs) == ("crop", 0.2, 3)
    assert (recipe.train.flip_test, run.train.flip_test) == (True, False)
    only = recipe.revised(augment={"policy": "flip"})
    assert without_mirroring(only).augment.policy == "none"


def test_data_that_may_be_mirrored_keep_the_ids_of_their_runs():
    run = start_from(None, LITE, Data(source="photos/"), WeightsChoice(), 0)
    assert run.augment == Run().augment
    assert run_id(run, "d", "w") == run_id(run.revised(augment={"policy": "flip-crop"}), "d", "w")


def test_a_recipe_or_a_setting_that_names_the_policy_is_told_from_one_that_does_not():
    assert not names_policy(None, [])
    assert not names_policy(Run.model_validate({"augment": {"crop": 0.2}}), ["augment.crop=0.1"])
    assert names_policy(Run.model_validate({"augment": {"policy": "flip-crop"}}), [])
    assert names_policy(None, ["augment.policy=flip"])
    assert names_policy(None, ["train.flip_test=true"])
    assert not names_policy(None, ["train.flip_test=false"])


@pytest.mark.parametrize("mirror", [True, False])
def test_a_study_that_was_begun_says_whether_it_mirrors(tmp_path, mirror):
    assert not planned_mirroring(tmp_path / "none")
    base = start_from(None, LITE, Data(source="photos/"), WeightsChoice(), 0, mirror=mirror)
    fields = {"data": base.data, "counts": COUNTS, "weights": WeightsChoice(), "seed": 0, "forecast": make_forecast()}
    plans = [
        _plan(600, mirror=mirror),
        make_comparison([LITE], **fields, budget=600, mirror=mirror),
        make_search(base, default_space(base), budget=3600, counts=COUNTS),
        make_ablation(
            base, default_space(base).only(["model.dropout"]), budget=3600, seeds=1, counts=COUNTS, forecast=FORECAST
        ),
    ]
    for number, plan in enumerate(plans):
        open_state(tmp_path / str(number), plan, data=DATA, command="")
        assert planned_mirroring(tmp_path / str(number)) is mirror


def _write_images(folder, names):
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
            (folder / name / f"{number}.png").write_bytes(encode_png(pixels))


def test_each_verb_mirrors_nothing_there_and_says_so_unless_it_is_told_otherwise(tmp_path, monkeypatch, caplog):
    photos, runs = tmp_path / "photos", []
    _write_images(photos, ("arrow_left", "arrow_right"))
    told = "a mirror image of class arrow_left shows class arrow_right"
    again = {"augment.policy": "flip-crop"}

    def launch(run, **_):
        runs.append(run)
        raise NothingTrainedError("not tried")

    def policy(verb, **options):
        caplog.clear()
        if verb == "train":
            with pytest.raises(NothingTrainedError):
                bakeoff.train(photos, out=tmp_path / "out", progress=False, **options)
            found = runs[-1].augment.policy
        else:
            network = {"candidate" if verb == "tune" else "candidates": "lenet"}
            plan = getattr(bakeoff, verb)(photos, dry_run=True, progress=False, **network, **options).plan
            if verb in ("run", "screen"):
                found = "flip-crop" if plan["mirror"] else "crop"
            else:
                found = (plan["base"] if verb == "tune" else plan["runs"][0])["augment"]["policy"]
        return found, told in caplog.text

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bakeoff.api.runs.launch", launch)
    (tmp_path / "recipe.toml").write_text('model.name = "lenet"\nmodel.size = 32\ntrain.epochs = 1\n')
    with caplog.at_level(logging.INFO, "bakeoff"):
        for verb in ("run", "screen", "compare", "tune"):
            assert policy(verb) == ("crop", True), verb
        for verb in ("run", "screen"):
            assert policy(verb, mirror=True) == ("flip-crop", False), verb
        for verb in ("compare", "tune", "train"):
            assert policy(verb, recipe="recipe.toml") == ("crop", True), verb
            assert policy(verb, recipe="recipe.toml", settings=again) == ("flip-crop", False), verb


def test_a_study_of_the_digits_keeps_the_note_for_its_report(tmp_path):
    watcher = Watcher()
    request = StudyRequest(Data(source="builtin:digits"), candidates=(Candidate(name="lenet"),), out=tmp_path / "out")
    ready = prepare_study(request, watcher)
    with open_study(ready, _plan(600, mirror=not ready.unmirrored), 1, watcher):
        pass
    ((dataset, _),) = [what for kind, what in watcher.told if kind == "began"]
    assert ready.unmirrored in dataset.notes
    assert ready.unmirrored in read_study(tmp_path / "out").data.notes
    assert prepare_study(replace(request, mirror=True), watcher).unmirrored == ""


def test_a_study_that_was_told_not_to_mirror_goes_on_so_and_refuses_to_mirror(tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    _write_images(photos, ("cat", "dog"))
    request = StudyRequest(Data(source=str(photos)), candidates=(Candidate(name="lenet"),), out=out)

    def begin(mirror):
        ready = prepare_study(replace(request, mirror=mirror), Watcher())
        study = open_state(out, _plan(600, mirror=not ready.unmirrored), data=ready.facts, command="")
        return ready.unmirrored, study

    why, study = begin(False)
    assert why.endswith("nor in scoring: as was asked for")
    assert (why in study.data.notes, study.plan.mirror) == (True, False)
    why, study = begin(None)
    assert why.endswith(": as when this study was begun")
    assert study.plan.mirror is False
    with pytest.raises(OutputError, match=r"holds another study \(it does not mirror images\); choose another --out"):
        begin(True)


def test_a_setting_mirrors_again():
    fields = {"data": Data(), "counts": COUNTS, "weights": WeightsChoice(), "seed": 0, "forecast": FORECAST}
    plan = make_comparison([LITE], **fields, images=5000, settings=["augment.policy=flip-crop"], mirror=False)
    assert plan.runs[0].augment.policy == "flip-crop"
