"""Write the figures in README, pages and cards from what the scripts stored in `experiments/results/`.

A figure stands between two comments of HTML, the first of which names it: `<!--SCRIPT: NAME>NAME-->0.992<!---->`, where the names
lead to a number in `experiments/results/SCRIPT.json`, or to a list with a number per seed, of which the mean is printed, with `± sd`
where the page has it. ` * 100` after the last name makes a percentage. A figure keeps its number of decimals.

Usage: python experiments/printed_figures.py [--check]
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from deepnets4eo.evaluation import figures_at
from deepnets4eo.files import atomic_write, read_json

ROOT = Path(__file__).resolve().parents[1]
MARK = re.compile(
    r"<!--(?P<script>[\w/-]+): (?P<path>[^\n]+?)(?: \* (?P<factor>[\d.]+))?-->"
    r"(?P<written>−?[\d,]*\.?\d+)(?P<deviation> ± [\d.]+)?<!---->"
)


@dataclass(frozen=True)
class Figure:
    """A figure in a file, and its value in the results.

    Parameters
    ----------
    script : name of the file of results, without its ending
    path : names that lead to the value, joined by ">"
    written : the text in the file
    measured : the value in the unit and decimals of the text; None if the results have no such value
    """

    script: str
    path: str
    written: str
    measured: str | None

    @classmethod
    def of(cls, match: re.Match[str], results: Any) -> Figure:
        """Look up the value that a mark names in the results of its script."""
        values = figures_at(results, match["path"])
        written = match["written"] + (match["deviation"] or "")
        measured = None if values is None else _as_written(match, values)
        return cls(match["script"], match["path"], written, measured)

    @property
    def differs(self) -> bool:
        """Return True if the value is known and rounds to another text."""
        return self.measured is not None and self.measured != self.written

    def __str__(self) -> str:
        return f"{self.script}, {self.path}: {self.written} is written, {self.measured} was measured"


def pages(root: Path = ROOT) -> list[Path]:
    """Return README, all pages and all cards of a repository."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md")), *sorted((root / "models").rglob("card.md"))]


def figures(root: Path = ROOT, results: Mapping[str, Any] | None = None) -> Iterator[tuple[Path, Figure]]:
    """Yield each marked figure with its page.

    Parameters
    ----------
    root : the repository
    results : results by script, which leave out the figures of all others; by default those stored in the repository
    """
    for page in pages(root):
        for match in MARK.finditer(page.read_text(encoding="utf-8")):
            if results is None or match["script"] in results:
                of_script = read_results(root, match["script"]) if results is None else results[match["script"]]
                yield page, Figure.of(match, of_script)


def differences(root: Path = ROOT, results: Mapping[str, Any] | None = None) -> list[str]:
    """Return one line per figure that differs from its value; see `figures`."""
    return [f"{page.relative_to(root)}: {figure}" for page, figure in figures(root, results) if figure.differs]


def write_figures(root: Path = ROOT) -> list[str]:
    """Write the stored values over the figures that differ, and return the lines of `differences` from before."""
    lines = differences(root)
    for page in {page for page, figure in figures(root) if figure.differs}:
        text = MARK.sub(lambda match: _renewed(match, root), page.read_text(encoding="utf-8"))
        with atomic_write(page) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return lines


@cache
def _read(path: Path, changed: int) -> Any:
    return read_json(path)


def read_results(root: Path, script: str) -> Any:
    """Return the results that a script stored; none if there is no such file."""
    path = root / "experiments" / "results" / f"{script}.json"
    return _read(path, path.stat().st_mtime_ns) if path.is_file() else {}


def _as_written(match: re.Match[str], values: list[float]) -> str:
    """Return values as the text of a mark shows its own."""
    decimals = len(match["written"].partition(".")[2])
    scaled = [float(match["factor"] or 1) * value for value in values]
    comma = "," if "," in match["written"] else ""
    text = f"{statistics.fmean(scaled):{comma}.{decimals}f}".replace("-", "−")
    deviation = statistics.stdev(scaled) if len(scaled) > 1 else 0.0
    return text + (f" ± {deviation:.{decimals}f}" if match["deviation"] else "")


def _renewed(match: re.Match[str], root: Path) -> str:
    """Return the text of a mark with its measured figure."""
    figure = Figure.of(match, read_results(root, match["script"]))
    return match[0].replace(f"-->{figure.written}<", f"-->{figure.measured}<") if figure.differs else match[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only list what differs; then the exit status is 1")
    options = parser.parse_args()
    lines = differences() if options.check else write_figures()
    if lines:
        print(*lines, sep="\n")
        sys.exit(int(options.check))


if __name__ == "__main__":
    main()
