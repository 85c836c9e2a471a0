"""Counts habits of wording in the docstrings of the package that a reader stumbles over, and names where they are.

Run: python scripts/prose.py [FOLDER]. Docstrings of functions begin with a verb in the imperative, which ruff checks (D401).
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).resolve().parents[1] / "deepnets4eo"
HABITS = {
    "if or when, not where": r"\b(?:None|else|nothing|none|raised|refused|left out|unknown|NaN|empty)\b[^.;\n]{0,25}\bwhere\b|\bwhere (?:it|there|they|one|none|that|this|no)\b",
    "only, not alone": r"\balone\b",
    "the noun, not that of": r"\b(?:that|those) of\b",
    "next to, not beside": r"\bbeside\b",
    "one per, not a … a": r"\ba (?:row|line|column|file|point|pixel|class|name|number|folder|list|value|table|page|seed|key|byte) an? (?!few)\w+",
    "minimum and maximum": r"\bthe least\b|\bthe most\b(?=\s*(?:[,.;:)]|\Z|that\b|of\b))",
    "states or reports, not says": r"\b(?:says|said|told)\b",
    "synthetic, not made-up": r"\bmade-up\b",
    "again, further, also": r"\b(?:anew|farther|likewise)\b",
    "a verb or a noun first": r"\A\s*(?:What|How|Whether|Where|Which|Why|When)\b",
}  # what to write, not what is found


class Habit(NamedTuple):
    """One passage: where it is, what to write, and the passage itself."""

    path: Path
    line: int
    advice: str
    passage: str


def habits(folder: Path = PACKAGE) -> Iterator[Habit]:
    """Yield each passage of the docstrings below a folder that has one of `HABITS`; literals in backticks do not count."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from _habits_of(path, node)


def _habits_of(path: Path, node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Habit]:
    text = re.sub(
        r"`[^`\n]*`|\"[^\"\n]*\"", "``", re.sub(r"(?m)^\s*(?:>>>|\.\.\.).*$", "", ast.get_docstring(node) or "")
    )
    line = getattr(node, "lineno", 1)
    for advice, pattern in HABITS.items():
        for match in re.finditer(pattern, text):
            yield Habit(path, line, advice, match[0])


if __name__ == "__main__":
    for habit in habits(Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE):
        print(f"{habit.path}:{habit.line}: {habit.passage!r}: {habit.advice}")
