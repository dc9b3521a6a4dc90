"""Records to ranked rows: the order, the Pareto front, the ties, and the reason why the winner won.

weigh = parse_weights("accuracy=3,memory=1")    or None: accuracy alone
rows = rank(list_records(out), weigh=weigh)
print(explain(rows, weigh))
write_board(out, rows)
"""

from bakeoff.board.ranking import rank
from bakeoff.board.reason import explain, explain_change, explain_win, find_meeting
from bakeoff.board.rows import (
    CRITERIA,
    NOISE,
    STAGES,
    STATES,
    Row,
    are_tied,
    board_text,
    difference_interval,
    do_differ,
    expect_error,
    is_scored,
    order_of,
    read_losses,
    read_row,
    write_board,
)
from bakeoff.board.table import render_table
from bakeoff.board.weigh import parse_weights
from bakeoff.board.words import (
    DASH,
    say_bytes,
    say_caveats,
    say_changes,
    say_count,
    say_memory_error,
    say_percent,
    say_range,
    say_seconds,
    say_top1,
)

__all__ = [
    "CRITERIA",
    "DASH",
    "NOISE",
    "STAGES",
    "STATES",
    "Row",
    "are_tied",
    "board_text",
    "difference_interval",
    "do_differ",
    "expect_error",
    "explain",
    "explain_change",
    "explain_win",
    "find_meeting",
    "is_scored",
    "order_of",
    "parse_weights",
    "rank",
    "read_losses",
    "read_row",
    "render_table",
    "say_bytes",
    "say_caveats",
    "say_changes",
    "say_count",
    "say_memory_error",
    "say_percent",
    "say_range",
    "say_seconds",
    "say_top1",
    "write_board",
]
