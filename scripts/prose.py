"""Counts habits of wording that a reader stumbles over, and names where they are: in docstrings, help texts, findings and pages.

Run: python scripts/prose.py [FOLDER]. Docstrings of functions begin with a verb in the imperative, which ruff checks (D401).
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "deepnets4eo"
THINGS = "row|line|column|file|point|pixel|class|name|number|folder|list|value|table|page|seed|key|byte|band|word|verb|polygon"
CONDITION = r"\b(?:None|else|nothing|none|raised|refused|left out|unknown|NaN|empty)\b[^.;\n]{0,25}\bwhere\b"
HABITS = {
    "if or when, not where": rf"{CONDITION}|\bwhere (?:it|there|they|one|none|that|this|no)\b",
    "only, not alone": r"\balone\b",
    "the noun, not that of": r"\b(?:that|those) of\b",
    "next to, not beside": r"\bbeside\b",
    "one per, not a … a": rf"\b(?:a|one|One) (?:{THINGS}) an? (?!few|time)\w+",
    "minimum and maximum": r"\bthe least\b|\bthe most\b(?=\s*(?:[,.;:)]|\Z|that\b|of\b))",
    "states or reports, not says": r"\b(?:says|said|told)\b",
    "synthetic, not made-up": r"\bmade-up\b",
    "again, further, also": r"\b(?:anew|farther|likewise)\b",
    "whose, or two sentences": r"\bof which\b",
    "continues, not goes on": r"\bgo(?:es)? on\b",
    "its own, not of its own": r"(?<!instead )\bof (?:its|their) own\b",
}  # what to write, not what is found
FIRST = {
    "a verb or a noun first": r"\A\s*(?:What|How|Whether|Where|Which|Why|When)\b",
    "Return first, then the shape": r"\A\s*\([A-Zhwn…0-9]",
}  # of docstrings
SHOWN = HABITS | {"if or when, not where": CONDITION}  # pages describe places, where things are
PAGES = ("README.md", "docs/*.md", "docs/explanation/*.md", "docs/howto/**/*.md")
MADE = ("lineage.md", "methods.md")  # by scripts, or with rows named as in scripts
TEXTS = "deepnets4eo/outputs/texts/en/*.yaml"


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
                text = re.sub(r"(?m)^\s*(?:>>>|\.\.\.).*$", "", ast.get_docstring(node) or "")
                yield from _habits_of(path, getattr(node, "lineno", 1), text, HABITS | FIRST)


def habits_shown(root: Path = ROOT) -> Iterator[Habit]:
    """Yield each such passage that users read: of the README and the pages in docs, of findings, and of help texts."""
    for path in sorted(path for pattern in PAGES for path in root.glob(pattern) if path.name not in MADE):
        text = re.sub(
            r"(?ms)^\s*```.*?^\s*```", lambda code: "\n" * code[0].count("\n"), path.read_text(encoding="utf-8")
        )
        for number, line in enumerate(text.split("\n"), 1):
            yield from _habits_of(path, number, line)
    for path in sorted(root.glob(TEXTS)):
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            yield from _habits_of(path, number, line.partition(": ")[2].strip('["]'))
    for path in sorted((root / "deepnets4eo").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield from _habits_of(path, node.lineno, _help_of(node))


def _help_of(call: ast.Call) -> str:
    """Return the help text of an option in a call, "" for other calls."""
    texts = [keyword.value for keyword in call.keywords if keyword.arg == "help"]
    if isinstance(call.func, ast.Name) and call.func.id in ("key", "option"):
        texts += call.args[:1]
    return " ".join(str(text.value) for text in texts if isinstance(text, ast.Constant))


def _habits_of(path: Path, line: int, text: str, refused: dict[str, str] = SHOWN) -> Iterator[Habit]:
    text = re.sub(r"<!--[^\n]*?-->", "", text)  # names of figures
    text = re.sub(r"`[^`\n]*`|\"[^\"\n]*\"|\{\w+[^{}\n]*\}", "``", text)
    for advice, pattern in refused.items():
        for match in re.finditer(pattern, text):
            yield Habit(path, line, advice, match[0])


if __name__ == "__main__":
    found = [*habits(Path(sys.argv[1]))] if len(sys.argv) > 1 else [*habits(), *habits_shown()]
    for habit in found:
        print(f"{habit.path}:{habit.line}: {habit.passage!r}: {habit.advice}")
