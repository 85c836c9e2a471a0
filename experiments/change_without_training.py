"""Change without training on real pairs: κ of IR-MAD, as it is and refined along edges, of change vectors, MAD, PCA with 2-means and frozen features.

Usage: python experiments/change_without_training.py --data SAMPLES --out OUT [--smoke]

SAMPLES holds `landsat_taizhou` (Landsat 2000 and 2003, 4,227 changed and 17,163 unchanged pixels are known), `sar_change` (Ottawa, a flood in radar images of eight bits)
`levir_cd` (seven aerial pairs of half a metre), `dsifn_cd` (five of some 2 m) and `xbd_more` (buildings that are heavily damaged or intact, before and after a tornado and
a fire). Each method is fitted to the pair itself, none sees a label; pixels of all pairs are scored together, but the AUC of scores is the mean over pairs. Published for Taizhou, by
other implementations: IR-MAD 0.933, change vectors 0.889, MAD 0.809, PCA and 2-means 0.910. Frozen features see red, green and blue alone, and no radar; how their length and
cosine are joined was chosen by looking at these very pairs (some twenty ways), but those of Ottawa. Writes table.md and results.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
from levir import samples
from rasterio.features import rasterize
from script import add_smoke, plain_errors, require_files, store_results, title_of
from sklearn.metrics import roc_auc_score

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards import VOID
from deepnets4eo.change import ChangeOptions, map_change
from deepnets4eo.files import atomic_write, write_text
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.rasters import Layer, Scene

WAYS = {
    "IR-MAD": ("ir-mad", False),
    "IR-MAD, refined along edges": ("ir-mad", True),
    "change vectors": ("cva", False),
    "MAD": ("mad", False),
    "PCA and 2-means": ("pca-kmeans", False),
    "frozen features": ("embeddings", False),
    "frozen features, refined along edges": ("embeddings", True),
}
LANDSAT_BANDS = 6  # blue, green and red first
HARMED, INTACT = ("major-damage", "destroyed"), "no-damage"
Pair = tuple[Layer, Layer, ByteImage]


def mask(path: Path) -> np.ndarray:
    """(H, W) bool of a picture of black and white."""
    return np.asarray(Layer.open(path).read()[0][0] > 0)


def taizhou(data: Path) -> Iterator[Pair]:
    """Landsat, sparse reference."""
    folder = require_files(data, "landsat_taizhou/Taizhou")[0]
    changed, unchanged = (mask(folder / f"{name}.bmp") for name in ("change", "unchanged"))
    yield (
        Layer.open(folder / "2000TM"),
        Layer.open(folder / "2003TM"),
        np.where(changed, 1, np.where(unchanged, 0, VOID)).astype(np.uint8),
    )


def ottawa(data: Path) -> Iterator[Pair]:
    """Two radar images in eight bits, dense reference."""
    folder = require_files(data, "sar_change")[0]
    first, second = (Layer.open(folder / f"ottawa_{number}.bmp", bands=[1]) for number in (1, 2))
    yield first, second, mask(folder / "ottawa_gt.bmp").astype(np.uint8)


def levir(data: Path) -> Iterator[Pair]:
    """Seven aerial pairs, dense reference."""
    require_files(data, "levir_cd")
    for part in samples(data / "levir_cd"):
        for files in part.values():
            truth = mask(Path(files[Scene.label_layer])).astype(np.uint8)
            yield Layer.open(files["image_pre"]), Layer.open(files["image_post"]), truth


def dsifn(data: Path) -> Iterator[Pair]:
    """Five pairs of cities, dense reference in coarse polygons."""
    folder = data / "dsifn_cd"
    for path in require_files(folder / "label", "*.png"):
        first, second = (Layer.open(folder / date / path.name) for date in "AB")
        yield first, second, mask(path).astype(np.uint8)


def buildings(event: str, data: Path) -> Iterator[Pair]:
    """A pair of xBD; known are the pixels of buildings with heavy damage, and of intact ones."""
    (outlines,) = require_files(data / "xbd_more", f"{event}/footprints_px.geojson")
    pre, post = (Layer.open(outlines.with_name(f"{date}.png")) for date in ("pre", "post"))
    table = gpd.read_file(outlines)
    codes = np.where(table["grade"].isin(HARMED), 1, np.where(table["grade"] == INTACT, 0, VOID))
    shapes = zip(table.geometry, codes.tolist(), strict=True)
    yield pre, post, rasterize(shapes, out_shape=pre.shape, fill=VOID, dtype="uint8")


PAIRS: dict[str, Callable[[Path], Iterator[Pair]]] = {
    "Taizhou, Landsat": taizhou,
    "Ottawa, radar": ottawa,
    "LEVIR-CD, seven windows": levir,
    "DSIFN, five windows": dsifn,
    "Joplin, buildings": partial(buildings, "joplin-tornado_00000000"),
    "Santa Rosa, buildings": partial(buildings, "santa-rosa-wildfire_00000242"),
}


def scores_of(pairs: Iterator[Pair], way: str, out: Path) -> dict[str, float]:
    """Return κ and F1 of all pairs' pixels together, and the mean AUC of pairs."""
    method, refined = WAYS[way]
    matrix, areas = ConfusionMatrix(2), []
    for number, (pre, post, truth) in enumerate(pairs):
        bands = "3,2,1" if method == "embeddings" and pre.count == LANDSAT_BANDS else None
        options = ChangeOptions(
            method=method,
            refine=refined, assume_registered=True, gsd_m=None if pre.grid.crs else 1.0,
            pre_bands=bands, post_bands=bands,
        )  # fmt: skip
        folder = out / f"{way.replace(' ', '-')}-{number}"
        map_change(pre, post, folder, options, overwrite=True)
        matrix.update(truth, Layer.open(folder / "change.tif").read()[0][0])
        known = truth != VOID
        if len(np.unique(truth[known])) > 1:
            areas.append(roc_auc_score(truth[known], Layer.open(folder / "score.tif").read()[0][0][known]))
    scores = {"kappa": matrix.kappa, "f1": matrix.f1[1], "auc": np.mean(areas)}
    return {name: round(float(value), 4) for name, value in scores.items()}


def draw_taizhou(data: Path, out: Path) -> Path:
    """Both dates of Taizhou, the map by IR-MAD, and what is known of it, as change_taizhou.jpg. out : folder of the maps"""
    from matplotlib.figure import Figure

    pre, post, truth = next(taizhou(data))
    mapped = Layer.open(out / "Taizhou" / "IR-MAD-0" / "change.tif").read()[0][0]
    known = np.full((*truth.shape, 3), 255, np.uint8)
    for value, right, wrong in ((0, (205, 205, 205), (106, 81, 163)), (1, (35, 139, 69), (203, 24, 29))):
        known[(truth == value) & (mapped == value)], known[(truth == value) & (mapped != value)] = right, wrong
    panels = [np.moveaxis(layer.read()[0][2::-1], 0, 2).astype(float) for layer in (pre, post)]
    ends = [np.percentile(panel, (1, 99), axis=(0, 1)) for panel in panels]
    panels = [np.clip((panel - low) / (high - low), 0, 1) for panel, (low, high) in zip(panels, ends, strict=True)]
    titles = ("2000", "2003", "changed, by IR-MAD", "known: right grey, green; wrong red, violet")
    axes = (figure := Figure(figsize=(12, 3.4), layout="constrained")).subplots(1, 4)
    for axis, panel, title in zip(axes, (*panels, 1 - mapped, known), titles, strict=True):
        axis.imshow(panel, cmap="gray", interpolation="nearest")
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    with atomic_write(out / "change_taizhou.jpg") as partial_file:
        figure.savefig(partial_file, dpi=100, format="jpg")
    return out / "change_taizhou.jpg"


def main() -> None:
    """Print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of real samples")
    parser.add_argument("--out", type=Path, required=True)
    add_smoke(parser)
    options = parser.parse_args()
    lines = [f"## {title_of('Change without training, κ (F1 of change; AUC)', smoke=options.smoke)}", ""]
    lines += [f"| pair | {' | '.join(WAYS)} |", f"|---|{'---:|' * len(WAYS)}"]
    results = {}
    for name, read in list(PAIRS.items())[: 1 if options.smoke else None]:
        folder = options.out / name.partition(",")[0]
        results[name] = {way: scores_of(read(options.data), way, folder) for way in WAYS}
        cells = [f"{one['kappa']:.3f} ({one['f1']:.3f}; {one['auc']:.3f})" for one in results[name].values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    store_results(options.out, smoke=options.smoke, pairs=results)
    draw_taizhou(options.data, options.out)
    print(write_text(options.out / "table.md", "\n".join([*lines, ""])).read_text(encoding="utf-8"))


if __name__ == "__main__":
    with plain_errors():
        main()
