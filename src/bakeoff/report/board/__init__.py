"""Records to ranked rows: the order, the Pareto front, the ties, and the reason why the winner won.

weigh = parse_criteria("accuracy=3,memory=1")    or None: accuracy alone
rows = rank(list_records(out), weigh=weigh)
print(explain(rows, weigh))
write_board(out, rows)
"""

from bakeoff.report.board.formatting import (
    DASH,
    format_bytes,
    format_caveats,
    format_changes,
    format_count,
    format_memory_error,
    format_percent,
    format_range,
    format_seconds,
    format_top1,
)
from bakeoff.report.board.ranking import rank
from bakeoff.report.board.reason import explain, explain_change, explain_win, find_head_to_head
from bakeoff.report.board.rows import (
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
from bakeoff.report.board.table import render_table
from bakeoff.report.board.weigh import parse_criteria

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
    "find_head_to_head",
    "format_bytes",
    "format_caveats",
    "format_changes",
    "format_count",
    "format_memory_error",
    "format_percent",
    "format_range",
    "format_seconds",
    "format_top1",
    "is_scored",
    "order_of",
    "parse_criteria",
    "rank",
    "read_losses",
    "read_row",
    "render_table",
    "write_board",
]
