"""Each reader of foreign bytes is given damaged ones: it answers, or it raises what becomes one line and exit code 2.

pytest -m slow tests/fuzz                more than 10,000 cases
python -m tests.fuzz --cases 50000       as many as that
"""

import pytest

from .guided import fuzz
from .targets import TARGETS

FEW, MANY = 12, 600


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_few_damaged_inputs_end_in_an_answer_or_one_line(target, tmp_path):
    fuzz(target, tmp_path, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_many_damaged_inputs_end_in_an_answer_or_one_line(target, tmp_path):
    fuzz(target, tmp_path, MANY)
