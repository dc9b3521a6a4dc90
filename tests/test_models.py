"""The list of networks: its filters, and what this machine knows of each."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import bakeoff
from bakeoff.console.results import render_models
from bakeoff.errors import ConfigError
from bakeoff.networks.find import find_network
from bakeoff.networks.table import TABLE
from bakeoff.profile import Device, Profile, list_networks
from bakeoff.runs.config import Mode
from bakeoff.study.fields import FIELDS
from factories import make_observation as seen
from running import run_cli
from test_hub import write_preset, write_timm

DEVICE = Device(cpu="a processor", cores=2)


def listed(*observations: Any, **filters: Any) -> list[Any]:
    return list_networks(Profile(device=DEVICE, observations=observations), **filters)


def shown(rows: list[Any]) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(render_models(rows))
    return capture.get()


def test_without_filters_it_is_the_table() -> None:
    assert [row.name for row in listed()] == [row.name for row in TABLE]


def test_filters_hold_together() -> None:
    assert [row.name for row in listed(families=["resnet", "vgg"], max_params=30_000_000)] == [
        "vgg-16",
        "vgg-19",
        "resnet-50",
        "resnet-50-v2",
    ]
    assert listed(families=["vgg"], max_params=1000) == []


def test_at_hand_are_those_from_scratch_in_a_package_and_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    weights = {row.name: row.weights_here for row in listed(at_hand=True)}
    own = dict.fromkeys(("lenet", "cnn-small", "cnn-custom"))
    lites = dict.fromkeys(("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"), "package")
    assert weights == own | lites
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / str(find_network("vgg-19").hub_file)).write_bytes(b"weights")
    assert {row.name: row.weights_here for row in listed(at_hand=True)} == weights | {"vgg-19": "download"}


def test_a_family_that_is_not_there_is_an_error_with_the_closest_one() -> None:
    with pytest.raises(ConfigError, match=r"'convnex'; did you mean convnext"):
        listed(families=["vgg", "convnex"])
    with pytest.raises(ConfigError, match=r"families are lenet, .*convnext"):
        listed(families=["swin"])


def test_the_pace_is_the_newest_of_a_training_else_of_a_forward_pass() -> None:
    rows = {
        row.name: row.pace
        for row in listed(
            seen("vgg-16", mode=Mode.FIT, rate=4.0, size=224),
            seen("vgg-16", mode=Mode.FIT, rate=7.25, size=128),
            seen("vgg-16", rate=60.0),
            seen("vgg-19", rate=50.0),
            seen("lenet", mode=Mode.FIT, rate=0.0),
        )
    }
    assert rows["vgg-16"].model_dump() == {"images_per_second": 7.25, "mode": Mode.FIT, "size": 128, "threads": 2}
    assert (rows["vgg-19"].images_per_second, rows["vgg-19"].mode) == (50.0, Mode.PROBE)
    assert rows["lenet"] is None


def test_the_terminal_shows_paces_and_downloads_and_no_name_is_cut_off() -> None:
    text = shown(listed(seen("vgg-16", mode=Mode.FIT, rate=7.25, size=128), seen("resnet-50", rate=61.0)))
    (vgg,) = (line.split() for line in text.splitlines() if line.startswith("vgg-16"))
    assert vgg == ["vgg-16", "14.8", "M", "32/224", "71.3", "59", "MB", "7.2", "@128", "CC-BY-4.0"]
    assert "(61 @96)" in text
    assert "1.39 GB" in text
    assert "…" not in text
    assert all(row.name in text for row in TABLE)


def test_without_a_measured_pace_there_is_no_column_for_it() -> None:
    assert "img/s" not in shown(listed())


def test_a_family_alone_is_described() -> None:
    assert "ConvNeXt: A ResNet with" in shown(listed(families=["convnext"]))
    assert "ConvNeXt: A ResNet with" not in shown(listed())


def test_presets_on_this_machine_are_listed_by_the_names_that_candidates_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    kept = tmp_path / "hf" / "hub" / "models--timm--resnet18.a1_in1k"
    write_timm(kept / "snapshots" / "0123abcd")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("0123abcd")
    write_preset(tmp_path / "kaggle" / "models" / "me" / "vit" / "keras" / "tiny" / "2")
    # What bakeoff cannot use is left out: a language model, a download that has not ended.
    language = tmp_path / "kaggle" / "models" / "me" / "bert" / "keras" / "bert" / "1"
    write_preset(language, kind="BertBackbone")
    (tmp_path / "hf" / "hub" / "models--me--half" / "blobs").mkdir(parents=True)
    names = ["hf://timm/resnet18.a1_in1k", "kaggle://me/vit/keras/tiny"]
    rows = listed()
    assert [row.name for row in rows] == [*(row.name for row in TABLE), *names]
    assert all(row.weights_at_hand and row.weights_here == "preset" for row in rows[-2:])
    assert [row.name for row in listed(families=["vit"])] == names[1:]
    alone = "".join(shown(listed(families=["vit"])).split())
    assert "kaggle://me/vit/keras/tiny" in alone
    assert "here:preset" in alone


def test_how_presets_are_named_is_said() -> None:
    done = run_cli("models")
    assert "presets of hubs: hub:NAME, hf://OWNER/NAME" in done.stdout


def test_nothing_left_is_said() -> None:
    assert "no network is left" in shown([])


@pytest.mark.parametrize(
    ("text", "count"),
    [("500k", 500_000), ("2.4M", 2_400_000), ("1_000_000", 1_000_000), ("3,000,000", 3_000_000), (997_000, 997_000)],
)
def test_a_count_can_be_written_in_several_ways(text: str | int, count: int) -> None:
    names = [row.name for row in TABLE if row.params_total <= count]
    assert [row.name for row in bakeoff.models(max_params=text)] == names


@pytest.mark.parametrize("text", ["", "few", "-1", "0", 0, 1.5, True, "10 parsecs"])
def test_what_is_no_count_is_an_error(text: Any) -> None:
    with pytest.raises(ConfigError, match="max_params"):
        bakeoff.models(max_params=text)


def test_each_network_has_the_fields_that_it_is_in() -> None:
    fields = {row.name: row.fields for row in bakeoff.models()}
    assert fields["vgg-16"] == ("study", "all")
    assert {name for name, own in fields.items() if "fast" in own} == set(FIELDS["fast"].networks)


def test_the_terminal_names_the_fields_unless_networks_are_filtered() -> None:
    firsts = [line.partition(" ")[0] for line in run_cli("models").stdout.splitlines()]
    assert [first for first in firsts if first in FIELDS] == list(FIELDS)
    assert "--candidates takes" not in run_cli("models", "--family", "vgg").stdout


def test_python_and_the_command_line_list_the_same() -> None:
    done = run_cli("models", "--family", "mobilenet,nasnet", "--max-params", "4M", "--json")
    rows = bakeoff.models(family=["mobilenet", "nasnet"], max_params=4_000_000)
    assert [row.name for row in rows] == ["mobilenet-v1", "mobilenet-v2", "mobilenet-v3-small", "mobilenet-v3-large"]
    assert json.loads(done.stdout) == [row.model_dump(mode="json") for row in rows]
