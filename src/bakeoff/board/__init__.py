"""Records to ranked rows: the order, the Pareto front, the ties, and the reason why the winner won.

rows = rank(list_records(out))
print(explain(rows))
write_board(out, rows)
"""

from bakeoff.board.rows import CRITERIA, STAGES, Row, difference_interval, rank, write_board
from bakeoff.board.words import (
    explain,
    render_table,
    say_bytes,
    say_count,
    say_percent,
    say_range,
    say_seconds,
    say_top1,
)

__all__ = [
    "CRITERIA",
    "STAGES",
    "Row",
    "difference_interval",
    "explain",
    "rank",
    "render_table",
    "say_bytes",
    "say_count",
    "say_percent",
    "say_range",
    "say_seconds",
    "say_top1",
    "write_board",
]
