"""The mistakes of the damage map of Joplin: every building whose grade the map puts on the wrong side, before and after, with both grades.

Usage: python experiments/mistakes.py --data SAMPLES --out FOLDER [--smoke]

The job of real_places.py with the default network; damaged is major damage or worse. Writes mistakes_joplin.jpg, a column for each wrong building, the most confident first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from PIL import Image, ImageDraw
from places.damage_scores import BOTH, SITES, DamageCase, assess_case
from places.results import GRADE_NAMES
from script import add_smoke, plain_errors, require_all

from deepnets4eo.damage import Settings
from deepnets4eo.damage.table.vocabulary import MAJOR
from deepnets4eo.display import stretch
from deepnets4eo.grid import Grid, Window, crop, transform_shapes
from deepnets4eo.rasters import Layer

SIDE_PX, TEXT_PX, MARGIN_PX, MOST, QUALITY = 200, 66, 24, 6, 82
OUTLINE = (255, 40, 40)


def wrong_rows(rows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return the assessed buildings on the wrong side of the border to major damage, the most confident mistakes first."""
    seen = rows[rows["grade"] >= 0]
    wrong = seen[(seen["grade"] >= MAJOR) != (seen["truth"] >= MAJOR)]
    off = np.abs(wrong["probability"].to_numpy(float) - (wrong["truth"].to_numpy(int) >= MAJOR))
    return wrong.iloc[np.argsort(-off, kind="stable")]


def look(layer: Layer, grid: Grid, outline: shapely.Geometry) -> Image.Image:
    """Return an image on a small grid as a square picture with an outline."""
    values, valid = layer.on(grid).read()
    picture = Image.fromarray(np.asarray(stretch(values[:3], valid)[..., :3]))
    zoom = np.array([SIDE_PX / picture.width, SIDE_PX / picture.height])
    picture = picture.resize((SIDE_PX, SIDE_PX))
    draw = ImageDraw.Draw(picture)
    (on_pixels,) = transform_shapes(~grid.affine, np.array([outline], dtype=object))
    for part in shapely.get_parts(on_pixels):
        corners = shapely.get_coordinates(part.exterior) * zoom
        draw.line([(float(x), float(y)) for x, y in corners], OUTLINE, 2)
    return picture


def draw_mistakes(case: DamageCase, wrong: gpd.GeoDataFrame) -> Image.Image:
    """Return the sheet: a column for each building, before above, after below, and both grades."""
    sheet = Image.new("RGB", (SIDE_PX * len(wrong), 2 * SIDE_PX + TEXT_PX), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (outline, row) in enumerate(zip(wrong.geometry, wrong.itertuples(), strict=True)):
        (pixels,) = transform_shapes(~case.post.grid.affine, np.array([outline], dtype=object))
        left, top, right, bottom = pixels.bounds
        reach = int(max(right - left, bottom - top)) + MARGIN_PX
        middle = int((top + bottom) / 2), int((left + right) / 2)
        window = Window(middle[0] - reach // 2, middle[1] - reach // 2, reach, reach)
        for row_number, layer in enumerate((case.pre, case.post)):
            if layer is not None:
                sheet.paste(
                    look(layer, crop(case.post.grid, window), outline), (number * SIDE_PX, row_number * SIDE_PX)
                )
        words = f"graded {GRADE_NAMES[row.truth + 1]},\nmap: {GRADE_NAMES[row.grade + 1]},\nP(damaged) {row.probability:.2f}"
        draw.text((number * SIDE_PX + 6, 2 * SIDE_PX + 5), words, "black", font_size=15)
    return sheet


def main() -> None:
    """Map Joplin, and draw what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of real samples")
    parser.add_argument("--out", type=Path, required=True)
    add_smoke(parser)
    options = parser.parse_args()
    require_all(options.data, ["joplin"])
    (case,) = SITES[0].read(options.data / SITES[0].folder)
    rows = assess_case(case, Settings())[BOTH]
    wrong = wrong_rows(rows)
    options.out.mkdir(parents=True, exist_ok=True)
    draw_mistakes(case, wrong.head(1 if options.smoke else MOST)).save(
        options.out / "mistakes_joplin.jpg", quality=QUALITY
    )
    print(
        f"{len(wrong)} of {(rows['grade'] >= 0).sum()} assessed buildings are on the wrong side; {options.out / 'mistakes_joplin.jpg'}"
    )


if __name__ == "__main__":
    with plain_errors():
        main()
