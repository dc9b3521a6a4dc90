"""Each reader of foreign bytes is given damaged ones: it answers, or it raises what becomes one line and exit code 2.

pytest -m slow tests/fuzz                more than 10,000 cases
python -m tests.fuzz --cases 50000       as many as that
"""

import time

import pytest

from bakeoff.errors import DataError

from . import guided
from .guided import fuzz
from .targets import TARGETS, Target

FEW, MANY = 12, 600


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_few_damaged_inputs_end_in_an_answer_or_one_line(target, tmp_path):
    fuzz(target, tmp_path, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_many_damaged_inputs_end_in_an_answer_or_one_line(target, tmp_path):
    fuzz(target, tmp_path, MANY)


def test_a_reader_that_hangs_is_found_even_if_it_takes_the_interruption_for_an_error_of_its_file(monkeypatch, tmp_path):
    def read(*_):
        try:
            time.sleep(10)
        except OSError as error:
            raise DataError("damaged") from error

    monkeypatch.setattr(guided, "PATIENCE", 0.02)
    with pytest.raises(AssertionError, match=r"sleepy: no answer within 0\.02 s"):
        guided._try(Target("sleepy", None, read), b"", tmp_path)
