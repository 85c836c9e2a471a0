"""Maps of the parts of a training's scenes, which `evaluate --withheld` reads.

Takes a split; writes one raster a scene that has pixels of both parts, in the run folder. Memory: a window.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.cards.dataset_card import TRAIN, VAL
from deepnets4eo.cards.legend import VOID
from deepnets4eo.evaluation.withheld import LEARNT, MAPS, PARTS_LEGEND, SCENE, WITHHELD
from deepnets4eo.grid import blocks
from deepnets4eo.rasters.cog import BLOCK_PX, CogWriter
from deepnets4eo.training.splits import DataSplit


def write_split_maps(split: DataSplit[Any], out: Path) -> list[Path]:
    """Write `split/SCENE.tif` (1 learnt, 2 withheld, 255 neither) for each scene that is divided, and return the
    rasters."""
    paths: list[Path] = []
    for number, (named, of_scene) in enumerate(zip(split.scenes, split.splits, strict=True)):
        if not {TRAIN, VAL} <= set(of_scene.parts):
            continue
        path = _free(out / MAPS, named.name, paths)
        tags = {SCENE: named.name, "LEGEND": json.dumps(PARTS_LEGEND.to_dict())}
        with CogWriter(path, named.grid, nodata=VOID, categorical=True, tags=tags) as writer:
            for window in blocks(of_scene.shape, BLOCK_PX):
                learnt, withheld = (split.mask(number, part, window) for part in (TRAIN, VAL))
                parts = np.select([withheld, learnt], [WITHHELD, LEARNT], VOID)
                writer.write(window, parts.astype(np.uint8))
        paths.append(path)
    return paths


def _free(folder: Path, name: str, used: list[Path]) -> Path:
    """A file named like the scene, whatever its name holds."""
    stem = re.sub(r"[^\w.-]", "_", name)
    path = folder / f"{stem}.tif"
    return folder / f"{stem}-{len(used)}.tif" if path in used else path
