"""Wording of docstrings: the habits that `scripts/prose.py` counts become fewer, and each is recognised."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import prose

MAX_HABITS = 47  # in the docstrings of the package; lower it with them


def test_docstrings_have_no_more_habits_of_wording_than_before() -> None:
    habits = list(prose.habits())
    assert len(habits) <= MAX_HABITS, "\n".join(
        f"{habit.path}:{habit.line}: {habit.passage!r}: {habit.advice}" for habit in habits
    )


@pytest.mark.parametrize(
    ("docstring", "advice"),
    [
        ("Return the name, None where it is unknown.", "if or when, not where"),
        ("Read the post image alone.", "only, not alone"),
        ("Return the CRS of the file or that of the layer.", "the noun, not that of"),
        ("Write a row a building.", "one per, not a … a"),
        ("Return the least value.", "minimum and maximum"),
        ("Whether it fits.", "a verb or a noun first"),
        ("Return pixels where the mask is set, next to `beside`.", None),
    ],
)
def test_a_habit_is_named_with_what_to_write(tmp_path: Path, docstring: str, advice: str | None) -> None:
    (tmp_path / "module.py").write_text(f'def name():\n    """{docstring}"""\n', encoding="utf-8")
    assert [habit.advice for habit in prose.habits(tmp_path)] == ([] if advice is None else [advice])
