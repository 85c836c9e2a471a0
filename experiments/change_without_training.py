"""Change without training on real pairs: κ of IR-MAD, as it is and refined along edges, of change vectors, MAD and PCA with 2-means.

Usage: python experiments/change_without_training.py --data SAMPLES --out OUT [--smoke]

SAMPLES holds `landsat_taizhou` (Landsat 2000 and 2003, 4,227 changed and 17,163 unchanged pixels are known), `sar_change` (Ottawa, a flood in radar images of eight bits)
and `levir_cd` (seven aerial pairs of half a metre, for which F1 of change stands beside). Each method is fitted to the pair itself, none sees a label. Published for Taizhou, by
other implementations: IR-MAD 0.933, change vectors 0.889, MAD 0.809, PCA and 2-means 0.910.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from levir import samples
from script import add_smoke, plain_errors, require_files, title_of

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards.legend import VOID
from deepnets4eo.change import ChangeOptions, map_change
from deepnets4eo.files import write_text
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.rasters.scene import LABELS, Layer

WAYS = {
    "IR-MAD": ("ir-mad", False),
    "IR-MAD, refined along edges": ("ir-mad", True),
    "change vectors": ("cva", False),
    "MAD": ("mad", False),
    "PCA and 2-means": ("pca-kmeans", False),
}
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
            truth = mask(Path(files[LABELS])).astype(np.uint8)
            yield Layer.open(files["image_pre"]), Layer.open(files["image_post"]), truth


PAIRS = {"Taizhou, Landsat": taizhou, "Ottawa, radar": ottawa, "LEVIR-CD, seven windows": levir}


def matrix_of(pairs: Iterator[Pair], way: str, out: Path) -> ConfusionMatrix:
    """All pairs' pixels together."""
    method, refined = WAYS[way]
    matrix = ConfusionMatrix(2)
    for number, (pre, post, truth) in enumerate(pairs):
        options = ChangeOptions(
            method=method, refine=refined, assume_registered=True, gsd_m=None if pre.grid.crs else 1.0
        )
        folder = out / f"{way.replace(' ', '-')}-{number}"
        map_change(pre, post, folder, options, overwrite=True)
        matrix.update(truth, Layer.open(folder / "change.tif").read()[0][0])
    return matrix


def main() -> None:
    """Print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of real samples")
    parser.add_argument("--out", type=Path, required=True)
    add_smoke(parser)
    options = parser.parse_args()
    lines = [f"## {title_of('Change without training, κ (F1 of change)', smoke=options.smoke)}", ""]
    lines += [f"| pair | {' | '.join(WAYS)} |", f"|---|{'---:|' * len(WAYS)}"]
    for name, read in list(PAIRS.items())[: 1 if options.smoke else None]:
        matrices = [matrix_of(read(options.data), way, options.out / name.partition(",")[0]) for way in WAYS]
        lines.append(f"| {name} | {' | '.join(f'{one.kappa:.3f} ({one.f1[1]:.3f})' for one in matrices)} |")
    print(write_text(options.out / "table.md", "\n".join([*lines, ""])).read_text(encoding="utf-8"))


if __name__ == "__main__":
    with plain_errors():
        main()
