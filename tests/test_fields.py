"""Named fields of candidates, wherever networks can be named."""

import pytest

from bakeoff.api.arguments import read_candidates
from bakeoff.errors import ConfigError
from bakeoff.networks.backbone import Origin
from bakeoff.networks.find import find_network
from bakeoff.networks.table import TABLE
from bakeoff.networks.weights import DOWNLOAD_LIMIT
from bakeoff.networks.weights.published import file_size
from bakeoff.runs.config import Candidate, WeightsChoice, read_comparison
from bakeoff.study import FIELDS, choose_candidates, expand_fields
from running import run_cli
from test_docs import ROOT


@pytest.mark.parametrize("name", FIELDS)
def test_every_network_of_a_field_exists_once(name):
    field = FIELDS[name]
    assert field.name == name
    assert [find_network(each).name for each in field.networks] == list(dict.fromkeys(field.networks))
    assert len(field.networks) > 2
    assert name not in {row.name for row in TABLE}


def test_the_field_of_the_original_study_has_its_eleven_networks_and_those_from_scratch():
    _, listed = read_comparison(ROOT / "recipes" / "original-table.toml")
    scratch = {row.name for row in TABLE if row.from_scratch}
    assert set(FIELDS["study"].networks) == {each.name for each in listed[:11]} | scratch
    assert len(FIELDS["study"].networks) == 14


def test_the_best_are_accurate_and_the_fast_need_little_arithmetic():
    best, fast = ([find_network(name) for name in FIELDS[field].networks] for field in ("best", "fast"))
    assert len({row.family for row in best}) == len(best)
    assert min(row.imagenet_top1 for row in best) > 77
    assert max(row.multiply_adds for row in fast) < 1e9
    for rows in (best, fast):
        assert sum(file_size(row) for row in rows if Origin.HUB in row.weight_origins) < DOWNLOAD_LIMIT


def test_the_page_about_networks_lists_the_fields_in_their_words():
    page = (
        (ROOT / "docs" / "how-to" / "choose-networks.md")
        .read_text(encoding="utf-8")
        .replace("[the original study](../why/original-study.md)", "the original study")
    )
    for field in FIELDS.values():
        assert f"| `{field.name}` | {field.about} |" in page


def test_all_is_the_whole_table():
    assert FIELDS["all"].networks == tuple(row.name for row in TABLE)


def test_fields_and_networks_are_mixed_and_a_size_holds_for_the_whole_field():
    found = choose_candidates(read_candidates("candidates", "fast@128,vgg-16,lenet@48,vgg-16"), 32, WeightsChoice())
    assert [str(each) for each in found[: len(FIELDS["fast"].networks)]] == [
        f"{name}@128" for name in FIELDS["fast"].networks
    ]
    assert list(map(str, found[-2:])) == ["vgg-16@96", "lenet@48"]


def test_a_network_that_two_fields_have_is_one_candidate():
    found = expand_fields([Candidate(name="fast"), Candidate(name="all"), Candidate(name="lenet")])
    assert sorted(each.name for each in found) == sorted(FIELDS["all"].networks)


def test_a_recipe_may_list_a_field(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('candidates = ["study@78"]\n[train]\nepochs = 2\n')
    _, listed = read_comparison(path)
    assert {str(each) for each in expand_fields(listed)} == {f"{name}@78" for name in FIELDS["study"].networks}


@pytest.mark.parametrize(
    ("wrong", "meant"), [("fsat", "fast"), ("studdy", "study"), ("bets", "best"), ("resnet-5", "resnet-50")]
)
def test_a_wrong_name_gets_a_suggestion(wrong, meant):
    with pytest.raises(ConfigError, match=f"there is no network '{wrong}'; did you mean .*{meant}"):
        expand_fields([Candidate(name=wrong)])


def test_a_size_that_is_too_small_for_one_network_of_a_field_names_it():
    with pytest.raises(ConfigError, match="xception@32: the input is too small"):
        choose_candidates([Candidate(name="study", size=32)], 32, WeightsChoice())


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "digits", "--candidates", "lenet,fsat"],
        ["screen", "digits", "--candidates", "fsat@64"],
        ["compare", "digits", "--candidates", "fsat"],
        ["tune", "digits", "--candidate", "fsat"],
        ["weights", "export", "kit", "--networks", "fsat"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_verb_that_takes_networks_knows_the_fields(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run_cli(*arguments)
    assert done.returncode == 2
    assert "did you mean fast" in done.stderr


def test_a_search_is_for_one_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run_cli("tune", "digits", "--candidate", "fast")
    assert done.returncode == 2
    assert "name one network, as in mobilenet-v3-small" in done.stderr
