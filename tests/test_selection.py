"""The choice within two limits is exact: compared with all choices of small cases."""

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.networks.table import TABLE
from bakeoff.study.selection import Cost, Option, count_groups, least_costs, select

COSTS = st.builds(Cost, st.integers(0, 9), st.integers(0, 9))
OPTIONS = st.builds(
    lambda network, error, cost: Option(network, 96, error, cost),
    st.sampled_from(TABLE),
    st.integers(0, 5),
    COSTS,
)
GROUPS = st.lists(st.lists(OPTIONS, min_size=1, max_size=3), max_size=4).map(lambda all_: dict(enumerate(all_)))
LIMITS = st.builds(Cost, st.integers(0, 20), st.integers(0, 20))


def _choices(groups, limits):
    """Every choice that fits, as its options."""
    for choice in product(*([None, *group] for group in groups.values())):
        chosen = [option for option in choice if option]
        total = Cost(sum(option.cost.seconds for option in chosen), sum(option.cost.bytes for option in chosen))
        if total.fits(limits):
            yield chosen, total


@settings(max_examples=100, deadline=None)
@given(groups=GROUPS, limits=LIMITS)
def test_as_many_groups_take_part_as_can(groups, limits):
    most = max(len(chosen) for chosen, _ in _choices(groups, limits))
    assert count_groups(groups, limits, 9) == most
    assert count_groups(groups, limits, 2) == min(2, most)
    costs = least_costs(groups.values(), limits, most)
    for number in range(most + 1):
        possible = [total for chosen, total in _choices(groups, limits) if len(chosen) == number]
        assert set(costs[number]) <= set(possible)
        assert all(any(cost.fits(total) for cost in costs[number]) for total in possible)


@settings(max_examples=100, deadline=None)
@given(groups=GROUPS, limits=LIMITS)
def test_the_least_errors_are_chosen_that_leave_room_for_as_many(groups, limits):
    count = count_groups(groups, limits, 9)
    chosen = select(groups, count, limits, lambda *_: 0)
    errors = [option.error for option in chosen]
    others = [others for others, _ in _choices(groups, limits) if len(others) == count]
    assert len(chosen) == count
    assert errors == sorted(errors)
    assert errors[:1] == min(sorted(option.error for option in each)[:1] for each in others)
    total = Cost(sum(option.cost.seconds for option in chosen), sum(option.cost.bytes for option in chosen))
    assert total.fits(limits)
