"""Wording of docstrings, pages and messages: the habits that `scripts/prose.py` counts become fewer, and each is recognised."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import prose

pytestmark = pytest.mark.core("a rule on sources, for every change")

MAX_HABITS = 0  # in the docstrings of the package


def lines(habits: list[prose.Habit]) -> str:
    """The habits, one per line."""
    return "\n".join(f"{habit.path}:{habit.line}: {habit.passage!r}: {habit.advice}" for habit in habits)


def test_docstrings_have_none_of_these_habits() -> None:
    habits = list(prose.habits())
    assert len(habits) <= MAX_HABITS, lines(habits)


def test_pages_findings_and_help_texts_have_none_of_these_habits() -> None:
    habits = list(prose.habits_shown())
    assert habits == [], lines(habits)


def test_pages_findings_and_help_texts_are_read(tmp_path: Path) -> None:
    texts = tmp_path / prose.TEXTS
    texts.parent.mkdir(parents=True)
    texts.with_name("a.yaml").write_text('code: "{alone} of the post image alone."\n', encoding="utf-8")
    (tmp_path / "README.md").write_text("```\nit says\n```\nIt says `that of`.\n", encoding="utf-8")
    (tmp_path / "deepnets4eo" / "verb.py").write_text(
        'key("Kept beside.")\nOption(help="Made anew.")\n', encoding="utf-8"
    )
    found = [(habit.path.name, habit.line, habit.passage) for habit in prose.habits_shown(tmp_path)]
    assert found == [("README.md", 4, "says"), ("a.yaml", 1, "alone"), ("verb.py", 1, "beside"), ("verb.py", 2, "anew")]


@pytest.mark.parametrize(
    ("docstring", "advice"),
    [
        ("Return the name, None where it is unknown.", "if or when, not where"),
        ("Read the post image alone.", "only, not alone"),
        ("Return the CRS of the file or that of the layer.", "the noun, not that of"),
        ("Write a row a building.", "one per, not a … a"),
        ("Return the least value.", "minimum and maximum"),
        ("Whether it fits.", "a verb or a noun first"),
        ("(N,) areas.", "Return first, then the shape"),
        ("Return images, of which one is valid.", "whose, or two sentences"),
        ("Return whether the job goes on.", "continues, not goes on"),
        ("Return a folder of its own.", "its own, not of its own"),
        ("Return the CRS instead of its own, and the most similar name.", None),
        ("Return pixels where the mask is set, next to `beside`.", None),
    ],
)
def test_a_habit_is_named_with_what_to_write(tmp_path: Path, docstring: str, advice: str | None) -> None:
    (tmp_path / "module.py").write_text(f'def name():\n    """{docstring}"""\n', encoding="utf-8")
    assert [habit.advice for habit in prose.habits(tmp_path)] == ([] if advice is None else [advice])
