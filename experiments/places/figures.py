"""Figures of real places in README, docs and cards, and which of them differ from what was measured by more than rounding.

Takes the files of scores that `real_places.py` keeps; a figure that is written nowhere any more is a difference, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepnets4eo.files import read_json
from places.results import ALL, INTACT

FREE, BOTH = "weight-free", "shipped-both"
README, METHODS, HOWTO = "README.md", "docs/methods.md", "docs/howto/damage.md"
MODEL_PAGE = "docs/explanation/damage_model.md"
FREE_CARD, NETWORK_CARD = "models/damage-evidence/card.md", "models/damage-network/card.md"


@dataclass(frozen=True)
class Figure:
    """A figure in a file: `pattern` has it as its one group; method, site, key : of the scores; factor : of its unit, 100 for percent."""

    file: str
    pattern: str
    method: str
    site: str
    key: str
    factor: float = 1.0

    def difference(self, root: Path, scores: dict[str, Any]) -> str | None:
        """What is written and what was measured, where these differ; None where they agree or the place was not scored."""
        match = re.search(self.pattern, (root / self.file).read_text(encoding="utf-8"))
        if match is None:
            return f"{self.file}: no figure at {self.pattern!r} ({self.site}, {self.key})"
        value = scores.get(self.method, {}).get(self.site, {}).get(self.key)
        if value is None:
            return None
        written, (_, _, decimals) = float(match[1]), match[1].partition(".")
        if abs(written - self.factor * value) <= 0.5 * 10.0 ** -len(decimals) + 1e-9:
            return None
        return f"{self.file}: {self.site}, {self.key}, {self.method}: {match[1]} is written, {self.factor * value:.4g} was measured"


FIGURES = (
    Figure(README, r"no trained network \| Joplin 2011, (\d+) of 158", FREE, "joplin", "assessed"),
    Figure(README, r"no trained network \| .*, AUC \| ([\d.]+)", FREE, "joplin", "auc"),
    Figure(README, r"the same with the .* \| (\d+) of the 158", BOTH, "joplin", "assessed"),
    Figure(README, r"the same with the .* of the 158 \| ([\d.]+)", BOTH, "joplin", "auc"),
    Figure(README, r"post image only \| .*, (\d+) of 315", BOTH, "xbd_post_scenes", "assessed"),
    Figure(README, r"post image only \| .*, AUC \| ([\d.]+)", BOTH, "xbd_post_scenes", "auc"),
    Figure(METHODS, r"Joplin tornado .* \| without the network \| \d+ \| ([\d.]+)", FREE, "joplin", "auc"),
    Figure(METHODS, r"Joplin tornado .* \| without the network \| \d+ \| [\d.]+ \| ([\d.]+)", FREE, "joplin", "f1"),
    Figure(METHODS, r"Joplin tornado .* \| (\d+) % \|", FREE, "joplin", "four_grades", 100),
    Figure(METHODS, r"\| with the network \| 156 \| ([\d.]+)", BOTH, "joplin", "auc"),
    Figure(METHODS, r"\| with the network \| 156 \| [^|]*\| ([\d.]+)", BOTH, "joplin", "f1"),
    Figure(METHODS, r"\| with the network \| 156 \| [^|]*\| [\d.]+ \| (\d+) %", BOTH, "joplin", "four_grades", 100),
    Figure(METHODS, r"\| with \| 37 \| ([\d.]+)", BOTH, "xbd_midwest", "auc"),
    Figure(METHODS, r"post image only \(315\) \| without \| 180 \| ([\d.]+)", FREE, "xbd_post_scenes", "auc"),
    Figure(METHODS, r"\| with \| 297 \| ([\d.]+)", BOTH, "xbd_post_scenes", "auc"),
    Figure(METHODS, r"\| with \| 297 \| [\d.]+ \| ([\d.]+)", BOTH, "xbd_post_scenes", "f1"),
    Figure(METHODS, r"\| with \| ([\d.]+) % of 450", BOTH, INTACT, "false_alarms", 100),
    Figure(FREE_CARD, r"labelled half \| (\d+) of 158", FREE, "joplin", "assessed"),
    Figure(FREE_CARD, r"labelled half \| 150 of 158 \| ([\d.]+)", FREE, "joplin", "auc"),
    Figure(FREE_CARD, r"labelled half \| .* \| ([\d.]+) \(κ", FREE, "joplin", "four_grades"),
    Figure(FREE_CARD, r"labelled half \| .* \(κ ([\d.]+)\)", FREE, "joplin", "quadratic_kappa"),
    Figure(FREE_CARD, r"four xBD scenes, post image alone \| 180 of 315 \| ([\d.]+)", FREE, "xbd_post_scenes", "auc"),
    Figure(FREE_CARD, r"xBD Midwest, flood \| 24 of 37 \| ([\d.]+)", FREE, "xbd_midwest", "auc"),
    Figure(FREE_CARD, r"six intact places, post image alone \| (\d+) of 470", FREE, INTACT, "assessed"),
    Figure(NETWORK_CARD, r"looked at \| (\d+) of 158", BOTH, "joplin", "assessed"),
    Figure(NETWORK_CARD, r"looked at \| 156 of 158 \| ([\d.]+)", BOTH, "joplin", "auc"),
    Figure(NETWORK_CARD, r"looked at \| 156 of 158 \| [^|]*\| ([\d.]+)", BOTH, "joplin", "four_grades"),
    Figure(NETWORK_CARD, r"post image alone \| 297 of 315 \| ([\d.]+)", BOTH, "xbd_post_scenes", "auc"),
    Figure(NETWORK_CARD, r"post image alone \| 297 of 315 \| [\d.]+, F1 ([\d.]+)", BOTH, "xbd_post_scenes", "f1"),
    Figure(NETWORK_CARD, r"xBD Midwest, flood \| 37 of 37 \| ([\d.]+)", BOTH, "xbd_midwest", "auc"),
    Figure(NETWORK_CARD, r"at \d+ of (\d+) real jobs", BOTH, ALL, "intervals"),
    Figure(NETWORK_CARD, r"real jobs \(mean width ([\d.]+) %", BOTH, ALL, "interval_width", 100),
    Figure(NETWORK_CARD, r"real jobs \(mean width .*\n?.*; Joplin ([\d.]+) %", BOTH, "joplin", "interval_width", 100),
    Figure(NETWORK_CARD, r"the flood ([\d.]+) %\)", BOTH, "xbd_midwest", "interval_width", 100),
    Figure(NETWORK_CARD, r"six intact places, post image alone \| (\d+) of 470", BOTH, INTACT, "assessed"),
    Figure(HOWTO, r"\(xBD Mexico 05\) the interval ends at (\d+)", BOTH, "mexico-earthquake_00000005", "interval_width", 263),
    Figure(MODEL_PAGE, r"real jobs, mean width of the buildings \| (\d+); [\d.]+ \|", FREE, ALL, "intervals_held"),
    Figure(MODEL_PAGE, r"real jobs, mean width of the buildings \| \d+; ([\d.]+) \|", FREE, ALL, "interval_width"),
    Figure(MODEL_PAGE, r"real jobs, mean width of the buildings \| .* \| (\d+); [\d.]+ \|\n", BOTH, ALL, "intervals_held"),
    Figure(MODEL_PAGE, r"real jobs, mean width of the buildings \| .* \| \d+; ([\d.]+) \|\n", BOTH, ALL, "interval_width"),
)  # fmt: skip


def figure_differences(out: Path, root: Path, figures: Sequence[Figure] = FIGURES) -> list[str]:
    """Where figures and kept scores differ, a line each. out : with damage-*.json; root : of the repository."""
    scores = {path.stem.removeprefix("damage-"): read_json(path) for path in sorted(out.glob("damage-*.json"))}
    return [text for figure in figures if (text := figure.difference(root, scores)) is not None]
