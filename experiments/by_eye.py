"""Pairs of images without grades: a sheet of drawn buildings to grade by eye, and the damage map beside these grades.

A folder has NAME_pre.jpg and NAME_post.jpg of each pair. The first run maps each pair, outlines found by the network for
buildings, and writes NAME.png and NAME.csv. Write s (it stands), c (collapsed) or nothing (not clear) into the column `eye`,
looking at the sheet alone, and run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from challenge import calls_of
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from script import require_files

from deepnets4eo.cli.main import main as command_line
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import write_text
from deepnets4eo.grid import transform_shapes
from deepnets4eo.rasters import Layer

GSD_M = 0.5
SAMPLE, CALLED = 40, 20  # buildings of a sheet; at most so many of them are called damaged
CROP_PX, ZOOM, ACROSS = 96, 2, 4  # side of a crop, and pairs of crops in a row
STANDS, COLLAPSED = "s", "c"


def grade_pairs(folder: Path, out: Path) -> str:
    """The table of all pairs of a folder as Markdown: calls of the map beside the grades that were written so far."""
    lines = [
        "| pair | buildings | called damaged | stand, by eye | of them called damaged | collapsed | of them called damaged |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for post in require_files(folder, "*_post.jpg"):
        name = post.stem.removesuffix("_post")
        pre, sheet = post.with_name(f"{name}_pre.jpg"), out / f"{name}.csv"
        require_files(folder, pre.name)
        if not sheet.exists():
            _map_pair(pre, post, out / name)
        buildings = gpd.read_parquet(out / name / "damage.parquet")
        calls = calls_of(buildings, buildings["id"].tolist())
        if not sheet.exists():
            rows = draw_rows(calls)
            write_pairs(pre, post, buildings.geometry.to_numpy()[rows], out / f"{name}.png")
            sample = pd.DataFrame(
                {"number": range(1, len(rows) + 1), "id": buildings["id"].to_numpy()[rows], "eye": ""}
            )
            write_text(sheet, sample.to_csv(index=False))
        lines.append(f"| {name} | {(calls >= 0).sum()} | {(calls == 1).sum()} | {_beside(sheet, buildings)} |")
    return "\n".join(lines) + "\n"


def draw_rows(calls: NDArray[np.int8]) -> NDArray[np.intp]:
    """Rows of a sheet in random order: up to `CALLED` that are called damaged, and others that were assessed."""
    random = np.random.default_rng(0)
    damaged = random.permutation(np.flatnonzero(calls == 1))[:CALLED]
    others = random.permutation(np.flatnonzero(calls == 0))[: SAMPLE - len(damaged)]
    return random.permutation(np.concatenate([damaged, others]))


def write_pairs(pre: Path, post: Path, shapes: Sequence[shapely.Geometry], path: Path) -> None:
    """A PNG of the crops of both dates around each building, numbered, its outline drawn on the image before."""
    to_pixels = ~Layer.open(post).with_gsd(GSD_M).grid.affine  # the map was made with pixels of that size
    outlines = transform_shapes(to_pixels, np.asarray(shapes, dtype=object))
    side, rows = CROP_PX * ZOOM, -(-len(outlines) // ACROSS)
    sheet = Image.new("RGB", (2 * side * ACROSS, side * max(rows, 1)))
    for number, outline in enumerate(outlines):
        centre = outline.centroid
        left, top = round(centre.x) - CROP_PX // 2, round(centre.y) - CROP_PX // 2
        x, y = number % ACROSS * 2 * side, number // ACROSS * side
        for date, image in enumerate((pre, post)):
            with Image.open(image) as whole:
                crop = whole.convert("RGB").crop((left, top, left + CROP_PX, top + CROP_PX)).resize((side, side))
            draw = ImageDraw.Draw(crop)
            if date == 0:
                for part in shapely.get_parts(outline):
                    draw.line([((px - left) * ZOOM, (py - top) * ZOOM) for px, py in part.exterior.coords], "yellow", 1)
            draw.text((4, 4), str(number + 1), "yellow")
            sheet.paste(crop, (x + date * side, y))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _map_pair(pre: Path, post: Path, out: Path) -> None:
    """The damage map of a pair, outlines found by the network for buildings."""
    status = command_line(["damage", str(pre), str(post), "-", "--gsd", str(GSD_M), "--out", str(out), "--overwrite"])
    if not (out / "damage.parquet").exists():
        raise RunError(f"{post.name}: the damage job ended with status {status} and wrote no map.")


def _beside(sheet: Path, buildings: gpd.GeoDataFrame) -> str:
    """The grades of a sheet beside the map's calls, as cells; dashes before any is written."""
    grades = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    unknown = sorted(set(grades["eye"]) - {STANDS, COLLAPSED, ""})
    if unknown:
        raise InputError(
            f"{sheet}: column eye has {', '.join(unknown)}; expected s (stands), c (collapsed) or nothing."
        )
    called = calls_of(buildings, grades["id"].tolist()) == 1
    cells = [f"{(grades['eye'] == eye).sum()} | {called[grades['eye'] == eye].sum()}" for eye in (STANDS, COLLAPSED)]
    return " | ".join(cells) if (grades["eye"] != "").any() else "– | – | – | –"
