"""Kuro Siwo (Bountos et al., NeurIPS 2024) as its dataset card lays it out: one file a date in dB, labels in the legend `water`.

Usage: python experiments/kuro_siwo.py --data FOLDER --out FOLDER [--events 321 561]

--data is the folder `data` of the authors' GRD download, EVENT/AREA/PATCH with one band of linear power a file; --out gets
EVENT/AREA/PATCH/{pre2,pre,post,water}.tif. Patches that are written already stay, so that an interrupted call can be repeated. Then:
deepnets4eo train floods/fc-ef --data OUT --set data.dataset=kuro_siwo --out runs/flood
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path

import numpy as np
from script import plain_errors

from deepnets4eo.arrays import ByteImage, FloatImage
from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.floods.speckle import to_decibel
from deepnets4eo.grid import Grid, whole
from deepnets4eo.rasters.cog import CogWriter
from deepnets4eo.rasters.scene import Layer

DATES = {"pre2": "SL2", "pre": "SL1", "post": "MS1"}  # from old to new
POLARISATIONS = {"VV": "IVV", "VH": "IVH"}
LABELS, VALID = "MK0_MLU", "MK0_MNA"
WATER = "water.tif"


def stack_kuro_siwo(folder: str | Path, out: str | Path, events: Collection[str] = ()) -> list[Path]:
    """Write the dates and labels of all labelled patches, or of those of some events; returns their folders in `out`."""
    folder, written = Path(folder), []
    for labels in sorted(folder.glob(f"*/*/*/{LABELS}_*.tif")):
        patch = labels.parent
        if events and patch.parts[-3] not in events:
            continue
        target = Path(out) / patch.relative_to(folder)
        if not (target / WATER).exists():
            _write_patch(patch, target)
        written.append(target)
    if not written:
        of = f" of the events {', '.join(sorted(events))}" if events else ""
        raise InputError(
            f"{folder} has no labelled patch{of}: no EVENT/AREA/PATCH/{LABELS}_….tif. Give the folder data of the GRD download."
        )
    return written


def _write_patch(patch: Path, target: Path) -> None:
    """All dates of a patch, then its labels, whose file says that the patch is whole."""
    target.mkdir(parents=True, exist_ok=True)
    for date, prefix in DATES.items():
        layers = [_layer(patch, f"{prefix}_{name}") for name in POLARISATIONS.values()]
        decibel = np.stack([_decibel(layer) for layer in layers])
        with CogWriter(
            target / f"{date}.tif", layers[0].grid, count=len(layers), dtype="float32", nodata=np.nan,
            band_names=list(POLARISATIONS), tags={"UNIT": "dB"},
        ) as cog:  # fmt: skip
            cog.write(whole(layers[0].grid), decibel)
    grid, labels = _read_labels(patch)
    with CogWriter(target / WATER, grid, legend=Legend.load("water"), nodata=VOID) as cog:
        cog.write(whole(grid), labels[None])


def _decibel(layer: Layer) -> FloatImage:
    """(H, W) dB, NaN without data: 0 in the files, whether they declare it or not."""
    power, valid = layer.read(whole(layer.grid))
    return np.where(valid & (power[0] > 0), to_decibel(power[0].astype(np.float32)), np.float32(np.nan))


def _read_labels(patch: Path) -> tuple[Grid, ByteImage]:
    """(H, W) values of the legend `water`, void where 3 or not in the mask of valid pixels."""
    layer = _layer(patch, LABELS)
    labels, known = layer.read(whole(layer.grid))
    valid = _layer(patch, VALID).as_stored().read(whole(layer.grid))[0][0] == 1
    return layer.grid, np.where(known & valid & (labels[0] < 3), labels[0], VOID).astype(np.uint8)


def _layer(patch: Path, prefix: str) -> Layer:
    paths = sorted(patch.glob(f"{prefix}_*.tif"))
    if len(paths) != 1:
        raise InputError(f"{patch} has {len(paths)} files {prefix}_….tif, one is expected. Download the patch again.")
    return Layer.open(paths[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--events", nargs="+", default=[], help="activations to write; all if not given")
    arguments = parser.parse_args()
    print(f"{len(stack_kuro_siwo(arguments.data, arguments.out, arguments.events)):,} patches in {arguments.out}")


if __name__ == "__main__":
    with plain_errors():
        main()
