"""The shipped recipes are configs that can run, and say what the pages about them say."""

from pathlib import Path

import pytest

from bakeoff.networks.backbone import check_size
from bakeoff.networks.find import find_network
from bakeoff.runs.config import BatchNorm, Mode, Optimizer, Run, Schedule, read_comparison

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
# One epoch of the original study, whatever the size of its data: 40 steps of 128 images.
EPOCH = 40 * 128

ORIGINAL = [
    "vgg-16",
    "vgg-19",
    "mobilenet-v2",
    "resnet-50",
    "resnet-152-v2",
    "xception",
    "densenet-121",
    "densenet-169",
    "densenet-201",
    "efficientnet-b7",
    "inception-v3",
]


def runs_of(path: Path) -> list[Run]:
    """The runs that a recipe asks for: one for each of its candidates, or the one that it is."""
    run, candidates = read_comparison(path)
    return [run.revised(model={"name": each.name, "size": each.size}) for each in candidates] or [run]


@pytest.fixture(scope="module")
def table() -> list[Run]:
    return runs_of(ROOT / "recipes/original-table.toml")


@pytest.fixture(scope="module")
def final() -> Run:
    (run,) = runs_of(ROOT / "recipes/original-final.toml")
    return run


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_run_of_a_recipe_is_valid_and_its_network_takes_its_size(path: Path) -> None:
    runs = runs_of(path)
    assert len({run.candidate for run in runs}) == len(runs)
    for run in runs:
        check_size(find_network(run.model.name), run.model.size)


def test_the_originals_table_has_its_networks_at_its_size_and_two_small_ones_beside_them(table: list[Run]) -> None:
    names = [run.model.name for run in table]
    assert names[:11] == ORIGINAL
    assert names[11:] == ["efficientnet-b0", "efficientnet-v2-b0"]
    assert {run.model.size for run in table} == {78}


def test_the_originals_table_trains_all_networks_alike_for_fifty_epochs(table: list[Run]) -> None:
    assert len({run.revised(model={"name": "lenet"}) for run in table}) == 1
    train = table[0].train
    assert (train.mode, train.images, train.batch, train.evaluations) == (Mode.FIT, 50 * EPOCH, 128, 50)
    assert train.patience == 0
    assert table[0].augment.policy == "none"
    assert table[0].optim.learning_rate == 5e-5


def test_the_originals_final_network_is_augmented_and_stops_on_validation_loss(final: Run) -> None:
    assert (final.candidate, final.model.dropout) == ("densenet-201@96", 0.5)
    assert final.augment.policy == "flip-rotate-zoom-contrast"
    assert (final.augment.rotation, final.augment.zoom, final.augment.contrast) == (0.1, 0.1, 0.1)
    assert final.optim.learning_rate == 2.5e-5
    assert (final.train.images, final.train.batch, final.train.patience) == (100 * EPOCH, 128, 7)
    assert final.train.images == final.train.evaluations * EPOCH


def test_the_original_is_plain_adam_on_a_whole_pretrained_network(table: list[Run], final: Run) -> None:
    for run in (*table, final):
        assert (run.data.source, run.data.classes) == ("cifar100", "80" if run is final else "20")
        model, optim = run.model, run.optim
        assert (model.weights, model.unfreeze, model.batch_norm) == ("auto", 1.0, BatchNorm.TRAIN)
        assert (optim.name, optim.schedule) == (Optimizer.ADAM, Schedule.CONSTANT)
        assert (optim.warmup, optim.weight_decay, optim.label_smoothing, optim.ema) == (0, 0, 0, 0)
        assert (run.train.probe_images, run.train.sizes) == (0, ())
