"""A published table beside ours: every row trained on the same scenes, scored on others under one protocol."""

from score_table.folds import missing_layers, run_folds, run_possible
from score_table.rows import BenchmarkScenes, Outcome, Row, run_row, run_rows
from score_table.sheet import contact_sheet
from score_table.table import markdown, write_table

__all__ = [
    "Outcome", "BenchmarkScenes", "Row", "contact_sheet", "markdown", "missing_layers", "run_folds", "run_possible", "run_row",
    "run_rows", "write_table",
]  # fmt: skip
