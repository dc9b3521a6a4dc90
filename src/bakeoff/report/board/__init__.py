"""Records to ranked rows: the order, the Pareto front, the ties, and why the winner won.

criteria = parse_criteria("accuracy=3,memory=1")    or None: accuracy alone decides
rows = rank(list_records(out), criteria=criteria)
print(explain(rows, criteria))
write_board(out, rows)
"""

from bakeoff.report.board.comparing import (
    CRITERIA,
    GAIN,
    MAX_EPOCHS,
    NOISE,
    Lead,
    expect_error,
    is_clearly_cheaper,
    measure_lead,
    order_of,
    read_losses,
)
from bakeoff.report.board.criteria import parse_criteria
from bakeoff.report.board.fitting import Column, FittingTable
from bakeoff.report.board.formatting import (
    DASH,
    Headline,
    format_arm,
    format_bytes,
    format_caveats,
    format_changes,
    format_count,
    format_difference,
    format_estimate,
    format_headline,
    format_interval,
    format_memory_error,
    format_percent,
    format_range,
    format_score,
    format_seconds,
    format_value,
    format_where,
    name_images,
)
from bakeoff.report.board.ranking import rank
from bakeoff.report.board.reason import (
    HeadToHead,
    explain,
    explain_change,
    explain_exception,
    explain_win,
    find_head_to_head,
    list_reasons,
)
from bakeoff.report.board.rows import (
    STAGES,
    STATES,
    Row,
    find_metric,
    format_csv,
    is_scored,
    read_row,
    read_score,
    write_board,
)
from bakeoff.report.board.table import render_table

__all__ = [
    "CRITERIA",
    "DASH",
    "GAIN",
    "MAX_EPOCHS",
    "NOISE",
    "STAGES",
    "STATES",
    "Column",
    "FittingTable",
    "HeadToHead",
    "Headline",
    "Lead",
    "Row",
    "expect_error",
    "explain",
    "explain_change",
    "explain_exception",
    "explain_win",
    "find_head_to_head",
    "find_metric",
    "format_arm",
    "format_bytes",
    "format_caveats",
    "format_changes",
    "format_count",
    "format_csv",
    "format_difference",
    "format_estimate",
    "format_headline",
    "format_interval",
    "format_memory_error",
    "format_percent",
    "format_range",
    "format_score",
    "format_seconds",
    "format_value",
    "format_where",
    "is_clearly_cheaper",
    "is_scored",
    "list_reasons",
    "measure_lead",
    "name_images",
    "order_of",
    "parse_criteria",
    "rank",
    "read_losses",
    "read_row",
    "read_score",
    "render_table",
    "write_board",
]
