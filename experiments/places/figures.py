"""Figures of real places in README, docs and cards, which this module writes from the scores that `real_places.py` keeps.

A figure stands between two comments of HTML, the first of which names it: `<!--METHOD/SITE/KEY-->0.992<!---->`, with `*100`
after KEY for a percentage. It keeps its number of decimals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepnets4eo.files import atomic_write, read_json

FILES = (
    "README.md", "docs/methods.md", "docs/howto/damage.md", "docs/explanation/damage_model.md", "models/damage-evidence/card.md",
    "models/damage-network/card.md",
)  # fmt: skip
MARK = re.compile(
    r"<!--(?P<method>[\w-]+)/(?P<site>[^/>]+)/(?P<key>\w+?)(?:\*(?P<factor>\d+))?-->(?P<written>[\d.]+)<!---->"
)


@dataclass(frozen=True)
class Figure:
    """A figure in a file, and its score.

    Parameters
    ----------
    name : method, site and key of the score
    written : the text in the file
    measured : the score in the unit and decimals of the text; None if the site was not scored
    """

    name: str
    written: str
    measured: str | None

    @classmethod
    def of(cls, match: re.Match[str], scores: dict[str, Any]) -> Figure:
        """Look up the score that a mark names."""
        value = scores.get(match["method"], {}).get(match["site"], {}).get(match["key"])
        decimals = len(match["written"].partition(".")[2])
        measured = None if value is None else f"{float(match['factor'] or 1) * value:.{decimals}f}"
        return cls(f"{match['method']}, {match['site']}, {match['key']}", match["written"], measured)

    @property
    def differs(self) -> bool:
        """Return True if the score is known and rounds to another text."""
        return self.measured is not None and self.measured != self.written


def figure_differences(out: Path, root: Path, files: Sequence[str] = FILES) -> list[str]:
    """Return one line per figure that differs from its score. out : with damage-*.json; root : of the repository."""
    return [
        f"{file}: {figure.name}: {figure.written} is written, {figure.measured} was measured"
        for file, figure in _figures(out, root, files)
        if figure.differs
    ]


def write_figures(out: Path, root: Path, files: Sequence[str] = FILES) -> list[str]:
    """Write the scores over the figures that differ, and return the lines of `figure_differences` from before."""
    differences = figure_differences(out, root, files)
    scores = read_scores(out)
    for file in {line.partition(":")[0] for line in differences}:
        text = MARK.sub(
            lambda match: _renewed(match, Figure.of(match, scores)), (root / file).read_text(encoding="utf-8")
        )
        with atomic_write(root / file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return differences


def read_scores(out: Path) -> dict[str, Any]:
    """Read the kept scores by method."""
    return {path.stem.removeprefix("damage-"): read_json(path) for path in sorted(out.glob("damage-*.json"))}


def _figures(out: Path, root: Path, files: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    scores = read_scores(out)
    for file in files:
        for match in MARK.finditer((root / file).read_text(encoding="utf-8")):
            yield file, Figure.of(match, scores)


def _renewed(match: re.Match[str], figure: Figure) -> str:
    """Return the text of a mark with its measured figure."""
    return match[0].replace(f"-->{figure.written}<", f"-->{figure.measured}<") if figure.differs else match[0]
