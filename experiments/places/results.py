"""Scores of every method on every site as one table with the goals beside them, as Markdown and JSON.

Takes the files of scores that single runs wrote into a folder, so that a new run adds its column to the others'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deepnets4eo.cards import VOID
from deepnets4eo.display import color_patches, stretch
from deepnets4eo.files import atomic_write, read_json, write_json, write_text
from deepnets4eo.grid import Window, coarse_grid, crop, transform_shapes
from deepnets4eo.rasters import Layer
from places.damage_scores import INTACT_SITES, DamageCase
from places.working_grid import BuildingScene

PANEL_IN, PANEL_PX, MARGIN_PX = 5.0, 1100, 20
RED = (255, 40, 40)
GRADE_COLOURS = {
    -1: (170, 170, 170), 0: (40, 200, 60), 1: (255, 230, 0), 2: (255, 140, 0), 3: (230, 0, 40),
}  # fmt: skip
GRADE_NAMES = ("not assessed", "no damage", "minor", "major", "destroyed")

Scores = Mapping[str, Mapping[str, Any]]  # site → score → value
ALL, INTACT, HURRICANE = "all sites together", "intact sites together", "xbd_post_scenes, hurricane"
TURKEY = "five cities of Turkey together"
BOTH_KINDS = (
    "mean of sites with both kinds"  # damaged and standing buildings; one list of all sites separates sites, too
)
GROUPS = (ALL, INTACT, HURRICANE, TURKEY, BOTH_KINDS)
MIN_BUILDINGS = 30  # of a site whose calibration error counts
MISSING = "missing"


@dataclass(frozen=True)
class Goal:
    """One quantity that is to be reached: score `key` of `site`; `today` as it was measured when the goal was set.

    limit : at least, or at most where `most` is set; None where no goal was set.
    """

    text: str
    site: str
    key: str
    today: str
    limit: float | None
    most: bool = False

    def is_met(self, value: float) -> bool:
        """Whether a value is good enough; False for NaN and where no goal was set."""
        if self.limit is None or math.isnan(value):
            return False
        return value <= self.limit if self.most else value >= self.limit

    @property
    def limit_text(self) -> str:
        """The goal in words."""
        return "–" if self.limit is None else f"{'≤' if self.most else '≥'} {self.limit:g}"


DAMAGE_GOALS = (
    Goal("Joplin, AUC", "joplin", "auc", "0.994", 0.994),
    Goal("Joplin, four grades right", "joplin", "four_grades", "0.80", 0.84),
    Goal("Joplin, quadratic κ", "joplin", "quadratic_kappa", "–", 0.88),
    Goal("xbd_midwest, AUC", "xbd_midwest", "auc", "0.714", 0.80),
    Goal("xbd_midwest, AUC, not assessed ones at one half", "xbd_midwest", "auc_all", "–", None),
    Goal("xbd_midwest, false alarms", "xbd_midwest", "false_alarms", "0.30", 0.10, most=True),
    Goal("xbd_midwest before, post alone, false alarms", "xbd_midwest before", "false_alarms", "0.54", 0.10, most=True),
    Goal("xbd_post_scenes, AUC", "xbd_post_scenes", "auc", "0.965", 0.97),
    Goal("xbd_post_scenes, F1", "xbd_post_scenes", "f1", "0.85", 0.90),
    Goal("xbd_post_scenes, hurricane, AUC", HURRICANE, "auc", "0.80", 0.88),
    Goal("intact sites together, false alarms", INTACT, "false_alarms", "0.11", 0.03, most=True),
    Goal("intact sites together, false alarms at a share of one half", INTACT, "false_alarms_half", "–", None),
    Goal(f"greatest ECE of a site ({MIN_BUILDINGS} buildings or more)", "all", "ece", "0.03–0.08", 0.05, most=True),
)
BUILDING_GOALS = (
    Goal("mean IoU over sites", "all", "iou", "0.25 (forest 0.23)", 0.45),
    Goal("mean object F1 over sites", "all", "object_f1", "–", None),
)
DAMAGE_COLUMNS = (
    "buildings", "damaged", "assessed", "auc", "auc_half", "auc_all", "f1", "four_grades", "quadratic_kappa",
    "false_alarms", "false_alarms_half", "ece", "brier", "intervals", "intervals_right", "interval_width", "auc_range", "f1_range", "four_grades_range", "quadratic_kappa_range",
    "ece_if_right_range",
)  # fmt: skip
BUILDING_COLUMNS = ("iou", "precision", "recall", "object_f1", "object_precision", "object_recall", "objects")


def damage_summary(scores: Scores) -> dict[str, float]:
    """What is derived over sites: the greatest calibration error of those with enough buildings."""
    errors = [
        one["ece"]
        for site, one in scores.items()
        if "ece" in one  # panels have no grades
        and site not in (*GROUPS, *INTACT_SITES)
        and one.get("assessed", 0) >= MIN_BUILDINGS
    ]
    return {"ece": float(max(errors, default=float("nan")))}


def mean_of_sites(scores: Scores) -> dict[str, Any]:
    """Return the mean and the lowest AUC over sites with damaged and standing buildings; of a site at two resolutions the first counts.

    {} if there is no such site. One AUC over the buildings of all sites is higher if some sites are damaged as a whole.
    """
    of_sites = {
        site: one
        for site, one in scores.items()
        if site not in GROUPS and ", " not in site and one.get("auc") is not None and not math.isnan(one["auc"])
    }
    if not of_sites:
        return {}
    worst = min(of_sites, key=lambda site: float(of_sites[site]["auc"]))
    counts = {key: sum(one[key] for one in of_sites.values()) for key in ("buildings", "damaged", "assessed")}
    return counts | {
        "sites": len(of_sites), "auc": _mean([one["auc"] for one in of_sites.values()]), "auc_worst": of_sites[worst]["auc"],
        "worst_site": worst,
    }  # fmt: skip


def building_summary(scores: Scores) -> dict[str, float]:
    """Means over the sites that could be scored."""
    return {key: _mean([one[key] for one in scores.values() if key in one]) for key in ("iou", "object_f1")}


def write_results(folder: Path, notes: Mapping[str, Mapping[str, str]]) -> Path:
    """Gather the scores in `folder` (damage-*.json, buildings-*.json, speed-*.json) into table.md and table.json.

    notes : "damage" and "buildings" → site → remark. Returns the path of the Markdown.
    """
    damage, buildings, speed = (_gather(folder, kind) for kind in ("damage", "buildings", "speed"))
    parts = [
        "# Real places",
        "No weights were trained on them; `real_places.py` names those that were looked at while constants were chosen.",
        "A tick marks a goal that is reached.",
    ]
    if damage:
        parts += ["## Damage", _goal_table(DAMAGE_GOALS, damage, damage_summary), _site_tables(damage, DAMAGE_COLUMNS)]
        parts.append(_notes(notes["damage"]))
    if buildings:
        parts += ["## Buildings from one image", _goal_table(BUILDING_GOALS, buildings, building_summary)]
        parts += [_site_tables(buildings, BUILDING_COLUMNS), _notes(notes["buildings"])]
    if speed:
        columns = list(dict.fromkeys(key for one in speed.values() for key in one))
        rows = [[name, *(_text(one.get(key)) for key in columns)] for name, one in speed.items()]
        parts += ["## Speed", markdown_table(["run", *columns], rows)]
    write_json(folder / "table.json", {"damage": damage, "buildings": buildings, "speed": speed})
    return write_text(folder / "table.md", "\n\n".join(parts) + "\n")


def _gather(folder: Path, kind: str) -> dict[str, Any]:
    return {path.stem.removeprefix(f"{kind}-"): read_json(path) for path in sorted(folder.glob(f"{kind}-*.json"))}


def _goal_table(goals: Sequence[Goal], methods: Mapping[str, Scores], summary: Any) -> str:
    rows = []
    for goal in goals:
        cells = []
        for scores in methods.values():
            site_scores = summary(scores) if goal.site == "all" else scores.get(goal.site, {})
            value = site_scores.get(goal.key)
            tick = value is not None and goal.is_met(float(value))
            cells.append(_text(value) + (" ✓" if tick else ""))
        rows.append([goal.text, goal.today, goal.limit_text, *cells])
    return markdown_table(["quantity", "when the goal was set", "goal", *methods], rows)


def _site_tables(methods: Mapping[str, Scores], columns: Sequence[str]) -> str:
    tables = []
    for method, scores in methods.items():
        rows = []
        for site, one in scores.items():
            missing = one.get(MISSING)
            rows.append([site, missing] if missing else [site, *(_text(one.get(key)) for key in columns)])
        tables.append(f"### {method}\n\n" + markdown_table(["site", *columns], rows))
    return "\n\n".join(tables)


def _notes(notes: Mapping[str, str]) -> str:
    return "\n".join(f"- {site}: {note}" for site, note in notes.items())


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows of cells below a header, as Markdown; short rows are filled up with empty cells."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        cells = [str(cell) for cell in row] + [""] * (len(header) - len(row))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, list):
        return " to ".join(_text(one) for one in value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None and not math.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def save_mask(path: Path, mask: NDArray[np.bool_]) -> None:
    """Keep a result (H, W) as a PNG, from which later sheets are drawn."""
    with atomic_write(path) as partial:
        Image.fromarray(mask.astype(np.uint8) * 255).save(partial, format="PNG")


def building_sheet(path: Path, scenes: Sequence[BuildingScene], maps: Path) -> None:
    """Draw one row a scene: image, reference (void grey), and the kept results `maps`/METHOD/SITE-NUMBER.png;
    the stem of the sheet's path is the site."""
    methods = sorted(folder.name for folder in maps.iterdir() if (folder / f"{path.stem}-0.png").exists())
    titles = ["image", "reference", *methods]
    panels = []
    for number, scene in enumerate(scenes):
        image = stretch(scene.image, np.ones(scene.image.shape[1:], bool))[..., :3]
        row = [image, _over(image, scene.reference == 1, scene.reference == VOID)]
        for method in methods:
            kept = np.asarray(Image.open(maps / method / f"{path.stem}-{number}.png")) > 0
            row.append(_over(image, kept))
        panels.append(row)
    _draw(path, titles, panels)


def damage_sheet(path: Path, case: DamageCase, methods: Mapping[str, gpd.GeoDataFrame]) -> None:
    """Draw one case: pre where there is one, post, the truth and the grades of each method as outlines on post."""
    rows = next(iter(methods.values()))
    window = _window_around(case.post, rows)
    grid = coarse_grid(crop(case.post.grid, window), PANEL_PX)
    images = [("post", _picture(case.post.on(grid)))]
    if case.pre is not None:
        images.insert(0, ("pre, not registered", _picture(case.pre.on(grid))))
    post = images[-1][1]
    lines = [("truth", rows["truth"])] + [(name, table["grade"]) for name, table in methods.items()]
    outlines = transform_shapes(~grid.affine, np.asarray(rows.geometry.to_numpy(), object))
    titles = [name for name, _ in images] + [name for name, _ in lines]
    overlays: list[Any] = [None] * len(images) + [(outlines, list(grades)) for _, grades in lines]
    _draw(path, titles, [[image for _, image in images] + [post] * len(lines)], [overlays])


def _window_around(layer: Layer, rows: gpd.GeoDataFrame) -> Window:
    """The part of an image with the outlines, and a margin."""
    pixels = gpd.GeoSeries(transform_shapes(~layer.grid.affine, np.asarray(rows.geometry.to_numpy(), object)))
    left, top, right, bottom = pixels.total_bounds
    window = Window(int(top), int(left), int(bottom - top) + 1, int(right - left) + 1)
    return window.grow(MARGIN_PX).clip(layer.shape)


def _picture(layer: Layer) -> NDArray[np.uint8]:
    bands, valid = layer.read()
    return np.asarray(stretch(bands[:3] if len(bands) >= 3 else bands[:1], valid)[..., :3])


def _over(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], void: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """The image with a mask in red, half clear, and void pixels in grey."""
    out = image.astype(np.float32)
    out[mask] = 0.5 * out[mask] + 0.5 * np.array(RED, np.float32)
    if void is not None:
        out[void] = 128
    return out.astype(np.uint8)


def _draw(
    path: Path,
    titles: Sequence[str],
    panels: Sequence[Sequence[NDArray[np.uint8]]],
    overlays: Sequence[Sequence[Any]] | None = None,
) -> None:
    from matplotlib.figure import Figure

    tall = max(row[0].shape[0] / row[0].shape[1] for row in panels)
    size = (PANEL_IN * len(titles), PANEL_IN * tall * len(panels) + 0.8)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(panels), len(titles), squeeze=False)
    for number, row in enumerate(panels):
        for column, image in enumerate(row):
            panel = axes[number, column]
            panel.imshow(image, interpolation="nearest")
            panel.set(xticks=[], yticks=[], title=titles[column] if number == 0 else "")
            if overlays is not None and overlays[number][column] is not None:
                _draw_outlines(panel, *overlays[number][column])
    if overlays is not None:
        handles = color_patches(zip(GRADE_COLOURS.values(), GRADE_NAMES, strict=True))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=110)


def _draw_outlines(panel: Any, outlines: NDArray[np.object_], grades: Sequence[int]) -> None:
    for outline, grade in zip(outlines, grades, strict=True):
        colour = [channel / 255 for channel in GRADE_COLOURS[int(grade)]]
        for polygon in getattr(outline, "geoms", [outline]):
            panel.plot(*polygon.exterior.xy, color=colour, linewidth=1.2)
