"""Pictures of the gallery: nine real places whose licences allow it, what a job without further training finds there, and where that is right or wrong.

Usage: python experiments/gallery_places.py --data SAMPLES --out docs/images/gallery [--sites kampala taizhou …]

SAMPLES is the folder of real samples. Each picture has three panels: the place, what was found over it, and the comparison with the reference: green right, red missed,
yellow too much; where there is no reference, the place before, after, and what was found. Buildings are found by the network `buildings`, which no real place of these trained,
change by IR-MAD, classes of points by rules. Prints a line of figures a place; the sentences of the gallery were written by looking at the pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import geopandas as gpd
import laspy
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from places.building_scores import find_buildings, working_gsd_m
from places.working_grid import SourceImage, in_pixels_of, inside, mask_of, on_working_grid
from script import plain_errors, require_files

from deepnets4eo.arrays import ByteImage, Mask
from deepnets4eo.cards import VOID
from deepnets4eo.change import map_change
from deepnets4eo.grid import gsd_m
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.points import label_cloud, load_labeller
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import load_run

PANEL_PX, GAP_PX, QUALITY = 330, 5, 78
GROUND, BUILDING = 2, 6  # codes of ASPRS
RIGHT, MISSED, TOO_MUCH, OURS = (40, 190, 60), (235, 40, 40), (255, 225, 40), (255, 60, 200)
DUBAI_BUILDING = (60, 16, 152)  # colour of its masks
DUBAI_GSD_M = 0.5  # assumed: not stated


@dataclass(frozen=True)
class Site:
    """image : (H, W, 3) uint8. ours : (H, W) bool, what was mapped. truth : (H, W) uint8, 1 of the class, 0 not, 255 unknown. before : an earlier image where there is no truth."""

    image: ByteImage
    ours: Mask
    truth: ByteImage | None = None
    before: ByteImage | None = None

    def figures(self) -> str:
        """IoU, precision and recall of the class where there is a reference."""
        if self.truth is None:
            return f"{self.ours.mean():.1%} found, no reference"
        matrix = ConfusionMatrix(2).update(self.truth, self.ours.astype(np.uint8))
        return f"IoU {matrix.iou[1]:.3f}, precision {matrix.precision[1]:.3f}, recall {matrix.recall[1]:.3f}"

    def picture(self) -> Image.Image:
        """The three panels."""
        if self.truth is None:
            assert self.before is not None
            panels = [self.before, self.image, over(self.image, {OURS: self.ours})]
        else:
            true, known = self.truth == 1, self.truth != VOID
            shares = {
                RIGHT: true & self.ours,
                MISSED: true & ~self.ours,
                TOO_MUCH: known & ~true & self.ours,
            }
            panels = [self.image, over(self.image, {OURS: self.ours}), over(self.image, shares)]
        zoom = PANEL_PX / max(self.ours.shape)
        height, width = (round(side * zoom) for side in self.ours.shape)
        sheet = Image.new("RGB", (3 * width + 2 * GAP_PX, height), "white")
        for number, panel in enumerate(panels):
            sheet.paste(
                Image.fromarray(panel).resize((width, height), Image.Resampling.LANCZOS), (number * (width + GAP_PX), 0)
            )
        return sheet


def over(image: ByteImage, marks: dict[tuple[int, int, int], Mask]) -> ByteImage:
    """Colours over the image, so that it can still be seen."""
    result = image.astype(np.float32) * 0.75 + 30
    for colour, mask in marks.items():
        result[mask] = 0.35 * result[mask] + 0.65 * np.array(colour)
    return result.clip(0, 255).astype(np.uint8)


def stretch(bands: NDArray[np.generic]) -> ByteImage:
    """(H, W, 3) from three bands, each between its 2nd and 98th percentile."""
    values = np.moveaxis(np.asarray(bands, np.float32), 0, -1)
    low, high = np.percentile(values, (2, 98), axis=(0, 1))
    return ((values - low) / np.maximum(high - low, 1e-6) * 255).clip(0, 255).astype(np.uint8)


def buildings_of(source: SourceImage) -> Site:
    """What the network for buildings finds, on pixels of its size."""
    run = load_run("buildings")
    scene = on_working_grid(source, working_gsd_m(run))
    result = find_buildings(run, scene)
    ours = mask_of(in_pixels_of(result.outlines, Layer.open(scene.image, grid=scene.grid)), scene.reference.shape)
    return Site(np.ascontiguousarray(np.moveaxis(scene.image, 0, -1)), ours > 0, scene.reference)


def drone_buildings(image: str, outlines: str) -> Callable[[Path], Site]:
    """A georeferenced image with outlines of its buildings."""

    def read(data: Path) -> Site:
        layer = Layer.open(require_files(data, image)[0])
        bands, valid = layer.read()
        shapes = inside(in_pixels_of(gpd.read_file(require_files(data, outlines)[0]), layer), layer.shape)
        mask = np.where(valid, mask_of(shapes, layer.shape), VOID).astype(np.uint8)
        return buildings_of(SourceImage(bands[:3], gsd_m(layer.grid), mask, shapes))

    return read


def dubai(data: Path) -> Site:
    """One part of a tile; masks are in colours."""
    folder = require_files(data, "dubai/tile_5")[0]
    image, colours = (
        np.asarray(Image.open(folder / name).convert("RGB"))
        for name in ("images/image_part_005.jpg", "masks/image_part_005.png")
    )
    mask = (colours == DUBAI_BUILDING).all(axis=2).astype(np.uint8)
    return buildings_of(SourceImage(np.ascontiguousarray(np.moveaxis(image, -1, 0)), (DUBAI_GSD_M,) * 2, mask))


def taizhou(data: Path) -> Site:
    """Landsat 2000 and 2003; 13 % of the pixels have a reference."""
    folder = require_files(data, "landsat_taizhou/Taizhou")[0]
    changed, unchanged = (
        np.asarray(Layer.open(folder / f"{name}.bmp").read()[0][0] > 0) for name in ("change", "unchanged")
    )
    truth = np.where(changed, 1, np.where(unchanged, 0, VOID)).astype(np.uint8)
    return Site(*_changed(folder / "2000TM", folder / "2003TM", (2, 1, 0))[1:], truth)


def pucallpa(data: Path) -> Site:
    """Landsat composites of 1985 and 2005 of a river and a town."""
    folder = require_files(data, "landsat_series/landsat")[0]
    before, after, ours = _changed(folder / "1985.tif", folder / "2005.tif", (0, 1, 2))
    return Site(after, ours, before=before)


def _changed(pre: Path, post: Path, colours: tuple[int, int, int]) -> tuple[ByteImage, ByteImage, Mask]:
    with TemporaryDirectory() as folder:
        map_change(pre, post, Path(folder) / "change")
        ours = Layer.open(Path(folder) / "change" / "change.tif").read()[0][0] == 1
    before, after = (stretch(Layer.open(path).read()[0][list(colours)]) for path in (pre, post))
    return before, after, np.asarray(ours)


def classes_of_points(name: str, code: int, cell: float, *, whole: bool = True) -> Callable[[Path], Site]:
    """Points from above: the highest of each cell of `cell` units, in its colour or by its height; rules label them.

    whole : whether the reference names all points of the class, not only some
    """

    def read(data: Path) -> Site:
        path = require_files(data, name)[0]
        with TemporaryDirectory() as folder:
            labelled = label_cloud(path, load_labeller("rules"), Path(folder) / "labelled.laz")
            las = laspy.read(labelled.path)
        rows, cols = ((at / cell).astype(int) for at in (las.y.max() - las.y, las.x - las.x.min()))
        order = np.argsort(np.asarray(las.z), kind="stable")  # the highest is written last
        rows, cols = rows[order], cols[order]
        shape = (rows.max() + 1, cols.max() + 1)
        image, ours, truth = np.zeros((*shape, 3), np.uint8), np.zeros(shape, bool), np.full(shape, VOID, np.uint8)
        image[rows, cols] = _colours(las)[order]
        ours[rows, cols] = np.asarray(las.pred_class)[order] == code
        named = np.asarray(las.classification)[order] == code
        truth[rows, cols] = named if whole else np.where(named, 1, VOID)
        return Site(image, ours, truth)

    return read


def _colours(las: laspy.LasData) -> ByteImage:
    if "red" in las.point_format.dimension_names:
        return stretch(np.stack([las.red, las.green, las.blue])[:, :, None])[:, 0]
    low, high = np.percentile(las.z, (2, 98))
    grey = ((np.asarray(las.z) - low) / (high - low) * 225 + 30).clip(30, 255).astype(np.uint8)
    return np.repeat(grey[:, None], 3, axis=1)


SITES: dict[str, Callable[[Path], Site]] = {
    "kampala": drone_buildings("fair_kampala/block0_image.tif", "fair_kampala/labels.geojson"),
    "banepa": drone_buildings("oam_banepa/banepa_1.tif", "oam_banepa/banepa_1_buildings.geojson"),
    "zanzibar": drone_buildings("oam_zanzibar/zanzibar_1.tif", "oam_zanzibar/zanzibar_1_buildings.geojson"),
    "boston": drone_buildings("massachusetts/22978945_15.tif", "massachusetts/22978945_15_buildings.geojson"),
    "dubai": dubai,
    "taizhou": taizhou,
    "pucallpa": pucallpa,
    "delft": classes_of_points("ahn3_delft/ahn3_cropped_1.laz", BUILDING, 1.0),
    "autzen": classes_of_points(
        "autzen/autzen_trim.las", GROUND, 3.0, whole=False
    ),  # feet; a part of the ground has its class
}


def main() -> None:
    """Draw each place."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of real samples")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--sites", nargs="+", choices=list(SITES), default=list(SITES))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.sites:
        site = SITES[name](options.data)
        site.picture().save(options.out / f"site_{name}.jpg", quality=QUALITY, optimize=True)
        print(f"{name}: {site.figures()}", flush=True)


if __name__ == "__main__":
    with plain_errors():
        main()
