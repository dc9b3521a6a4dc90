"""The default field, on invented machines: no Keras, no clock, no network."""

import io
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bakeoff.console.plans import render_plan
from bakeoff.networks.find import find_network
from bakeoff.networks.table import TABLE
from bakeoff.networks.weights.published import file_size
from bakeoff.runs.config import Candidate, Data, WeightsChoice, parse_candidate
from bakeoff.study import make_comparison, make_plan
from bakeoff.study.compare import least_seconds
from bakeoff.study.default_field import MAX_NETWORKS, Availability, Terms, choose_field
from bakeoff.study.planning import begin_screen, limit_screen
from bakeoff.study.sizes import predict_error, sizes_for
from factories import make_forecast

COUNTS = {"train": 9000, "val": 1000, "test": 2000}
SCRATCH = [row for row in TABLE if row.from_scratch]
PRETRAINED = [row for row in TABLE if not row.from_scratch]
LITES = [row for row in PRETRAINED if row.family == "efficientnet-lite"]
OFFLINE = {row.name: Availability.AT_HAND if row in LITES else Availability.OFFLINE for row in PRETRAINED}
ONLINE = {row.name: Availability.AT_HAND if row in LITES else Availability.DOWNLOAD for row in PRETRAINED}


def _terms(budget=600.0, rate=300.0, available=ONLINE, overhead=7.0, side=32, download_limit=5e8, **changes):
    forecast = make_forecast(rate, overhead)
    screen = begin_screen(budget, forecast, WeightsChoice(), COUNTS, 20)
    terms = Terms(
        available=available,
        side=side,
        images=COUNTS["train"],
        forecast=forecast,
        seconds=limit_screen(budget, 0.0),
        price=screen.least_seconds,
        training_seconds=budget / 2,
        download_limit=download_limit,
        download_seconds=limit_screen(budget, 0.0),
    )
    return replace(terms, **changes)


def _candidates(field):
    return [parse_candidate(entrant.candidate) for entrant in field.entrants]


def _names(field):
    return [candidate.name for candidate in _candidates(field)]


def _reasons(field):
    return {name: absent.why for absent in field.absent for name in absent.networks}


MACHINES = st.builds(
    _terms,
    budget=st.floats(30, 7200),
    rate=st.floats(2, 10_000),
    available=st.fixed_dictionaries({row.name: st.sampled_from(Availability) for row in PRETRAINED}),
    overhead=st.floats(2, 30),
    side=st.sampled_from([8, 32, 64, 200]),
    download_limit=st.sampled_from([0, 5e7, 5e8, 2e9]),
)
NETWORKS = st.lists(st.sampled_from(PRETRAINED), unique=True).map(lambda some: [*some, *SCRATCH])


@settings(max_examples=60, deadline=None)
@given(terms=MACHINES, networks=NETWORKS)
def test_any_field_keeps_to_the_limits_and_says_what_became_of_every_network(terms, networks):
    field = choose_field(networks, terms)
    names = _names(field)
    assert 1 <= len(names) <= MAX_NETWORKS
    assert len(set(names)) == len(names)
    assert len(names) == 1 or sum(map(terms.price, _candidates(field))) <= terms.seconds + 1e-3
    assert sum(entrant.download_bytes for entrant in field.entrants) <= terms.download_limit
    for name in names:
        assert terms.availability(find_network(name)) in (Availability.AT_HAND, Availability.DOWNLOAD)
    waiting = [parse_candidate(name).name for name in field.waiting]
    assert sorted([*names, *waiting, *_reasons(field)]) == sorted(row.name for row in networks)
    assert len(names) + len(waiting) <= MAX_NETWORKS
    for name in waiting:
        assert terms.availability(find_network(name)) is Availability.AT_HAND


@settings(max_examples=60, deadline=None)
@given(terms=MACHINES, networks=NETWORKS)
def test_two_sizes_of_a_family_take_part_only_if_no_other_family_fits(terms, networks):
    field = choose_field(networks, terms)
    families = [entrant.family for entrant in field.entrants if not entrant.from_scratch]
    if len(set(families)) == len(families):
        return
    seconds = terms.limits.seconds - sum(map(terms.price, _candidates(field))) - 1e-3
    free = terms.limits.bytes - sum(entrant.download_bytes for entrant in field.entrants)
    others = [row for row in networks if not row.from_scratch and row.family not in families]
    for entrant, candidate in zip(field.entrants, _candidates(field), strict=True):
        if families.count(entrant.family) < 2:
            continue
        # Without this one its family would still take part.
        for row in others:
            needed = {Availability.AT_HAND: 0, Availability.DOWNLOAD: file_size(row)}
            if needed.get(terms.availability(row), float("inf")) > free + entrant.download_bytes:
                continue
            for size in sizes_for(row, terms.side):
                price = terms.price(Candidate(name=row.name, size=size))
                assert price > seconds + terms.price(candidate), (row.name, entrant.candidate)


@settings(max_examples=60, deadline=None)
@given(terms=MACHINES, networks=NETWORKS)
def test_the_same_facts_give_the_same_field_in_any_order(terms, networks):
    field = choose_field(networks, terms)
    assert choose_field(networks, terms) == field
    assert choose_field(list(reversed(networks)), terms).entrants == field.entrants


@settings(max_examples=80, deadline=None)
@given(
    budget=st.floats(30, 7200),
    rate=st.floats(2, 5000),
    faster=st.floats(1, 20),
    overhead=st.floats(2, 30),
    side=st.sampled_from([8, 32, 64, 200]),
    available=st.fixed_dictionaries({row.name: st.sampled_from(Availability) for row in PRETRAINED}),
    networks=NETWORKS,
)
def test_a_faster_machine_never_gets_a_poorer_field(budget, rate, faster, overhead, side, available, networks):
    slow, fast = (
        choose_field(networks, _terms(budget, pace, available, overhead, side)) for pace in (rate, rate * faster)
    )

    def kinds(field):
        return {entrant.candidate if entrant.from_scratch else entrant.family for entrant in field.entrants}

    def best_here(field):
        here = [each.expected_error for each in field.entrants if not each.from_scratch and not each.download_bytes]
        return min(here, default=2.0)

    assert len(kinds(fast)) >= len(kinds(slow))
    both = len(kinds(fast)) == len(fast.entrants) == len(kinds(slow)) == len(slow.entrants)
    if both and best_here(slow) < 2.0:
        assert best_here(fast) <= best_here(slow) + 1e-4


def test_on_a_machine_without_a_network_the_sizes_of_one_family_fill_the_field():
    field = choose_field(TABLE, _terms(300, available=OFFLINE))
    assert sorted(_names(field)) == sorted([*(row.name for row in LITES), *(row.name for row in SCRATCH)])
    assert field.waiting == ()
    assert set(_reasons(field).values()) == {"not on this machine, and nothing is downloaded"}


def test_what_there_is_no_time_for_waits_if_it_is_on_this_machine():
    field = choose_field(TABLE, _terms(60, available=OFFLINE))
    assert len(field.entrants) + len(field.waiting) == len(LITES) + len(SCRATCH)
    assert field.waiting
    assert find_network(_names(field)[0]) in LITES


def test_a_download_brings_other_families_in_place_of_further_sizes():
    field = choose_field(TABLE, _terms(600))
    families = [entrant.family for entrant in field.entrants if not entrant.from_scratch]
    assert len(families) == len(set(families)) == MAX_NETWORKS - len(SCRATCH)
    assert {row.name for row in SCRATCH} <= set(_names(field))
    reasons = _reasons(field)
    assert reasons["efficientnet-b7"] == "another network of the family takes part"
    assert "take part already" in reasons["vgg-19"]


def test_further_sizes_stand_in_for_downloads_that_do_not_arrive():
    field = choose_field(TABLE, _terms(1800))
    downloads = [entrant for entrant in field.entrants if entrant.download_bytes]
    here = {parse_candidate(name).name for name in field.stand_ins}
    assert 0 < len(here) <= len(downloads)
    assert here < {row.name for row in LITES}
    assert not here & set(_names(field))
    assert choose_field(TABLE, _terms(1800, available=OFFLINE)).stand_ins == ()


def test_a_family_is_represented_by_what_promises_the_least_error_on_this_machine():
    def of_family(rate):
        networks = [row for row in TABLE if row.family == "densenet" or row.from_scratch]
        field = choose_field(networks, _terms(1800, rate))
        (found,) = (entrant for entrant in field.entrants if not entrant.from_scratch)
        return found

    slow, fast = of_family(20.0), of_family(20_000.0)
    assert slow.imagenet_top1 < fast.imagenet_top1


@pytest.mark.parametrize("side", [8, 32])
def test_a_network_far_below_its_designed_size_comes_after_smaller_ones(side):
    forecast = make_forecast(20_000.0)

    def expect(row):
        size = min(sizes_for(row, side))
        return predict_error(row, size, side=side, seconds=float("inf"), images=1000, forecast=forecast)

    for family in ("efficientnet", "efficientnet-v2"):
        rows = sorted((row for row in PRETRAINED if row.family == family), key=expect)
        assert rows[0].native_size <= 300
        assert rows[-1].native_size >= 480
    field = choose_field(TABLE, _terms(7200, 20_000.0, side=side, download_limit=2e9))
    assert max(find_network(name).native_size for name in _names(field)) < 400
    assert "efficientnet-b6" in _reasons(field)


def test_what_is_over_the_limit_of_downloads_is_left_out():
    field = choose_field(TABLE, _terms(600, download_limit=6e7))
    assert 0 < sum(entrant.download_bytes for entrant in field.entrants) <= 6e7
    reasons = _reasons(field)
    assert reasons["efficientnet-b7"] == "more to download than is left of the limit of 60 MB"
    assert (
        choose_field(TABLE, _terms(600, download_limit=0)).entrants
        == choose_field(TABLE, _terms(600, available=OFFLINE)).entrants
    )


def test_a_slow_connection_downloads_no_more_than_comes_in_time():
    field = choose_field(TABLE, _terms(600, bandwidth=1e5))
    assert sum(entrant.download_bytes for entrant in field.entrants) <= 1e5 * 210


def test_who_is_given_weights_takes_part_in_any_case():
    available = OFFLINE | {"vgg-19": Availability.AT_HAND}
    field = choose_field(TABLE, _terms(60, available=available), ["vgg-19"])
    assert "vgg-19" in _names(field)
    entrant = next(each for each in field.entrants if each.family == "vgg")
    assert entrant.expected_error is None


def test_in_a_comparison_as_many_take_part_as_can_train_for_a_while():
    forecast = make_forecast()

    def field(seconds):
        terms = _terms(available=OFFLINE, seconds=seconds, waits=False, training_seconds=float("inf"))
        return choose_field(TABLE, replace(terms, price=lambda each: least_seconds(each, forecast)))

    assert len(field(float("inf")).entrants) == len(LITES) + len(SCRATCH)
    few = field(114.0)
    assert 1 < len(few.entrants) < 4
    assert few.waiting == ()
    plan = make_comparison(
        _candidates(few),
        data=Data(),
        counts=COUNTS,
        weights=WeightsChoice(),
        seed=0,
        forecast=forecast,
        budget=120,
        field=few,
    )
    assert "no time for them in this budget" in _show(plan)


def _show(plan):
    stream = io.StringIO()
    Console(file=stream, width=200).print(render_plan(plan))
    return stream.getvalue()


@pytest.mark.parametrize("available", [OFFLINE, ONLINE], ids=["offline", "online"])
def test_the_plan_says_who_takes_part_and_who_does_not(available):
    terms = _terms(200, available=available)
    field = choose_field(TABLE, terms)
    plan = make_plan(
        200, data=Data(), counts=COUNTS, candidates=_candidates(field), forecast=terms.forecast, side=32, field=field
    )
    assert set(plan.cut) >= set(field.waiting)
    assert type(plan).model_validate(plan.model_dump(mode="json")) == plan
    text = _show(plan)
    assert "field" in text
    assert "on this machine" in text
    for absent in field.absent:
        assert absent.why in text
        assert absent.networks[0] in text
    assert ("MB to download" in text) == (available is ONLINE)


def test_a_plan_whose_candidates_were_named_says_nothing_of_others():
    plan = make_plan(
        600,
        data=Data(),
        counts=COUNTS,
        candidates=[Candidate(name="lenet", size=32)],
        forecast=make_forecast(),
        side=32,
    )
    assert plan.field is None
    assert "left out" not in _show(plan)
