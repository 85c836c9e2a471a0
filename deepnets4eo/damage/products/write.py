"""All products of one damage map into one folder, the manifest last.

Takes a DamageMap and the images it came from; refuses nothing the DamageMap has not refused already.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from deepnets4eo.damage.products.gpkg import write_gpkg
from deepnets4eo.damage.products.html import write_report
from deepnets4eo.damage.products.manifest import write_manifest
from deepnets4eo.damage.products.parquet import write_parquet
from deepnets4eo.damage.products.summary import summarize
from deepnets4eo.files import write_json

if TYPE_CHECKING:
    from deepnets4eo.damage.map_content import DamageMapContent
    from deepnets4eo.rasters.scene import Layer

log = logging.getLogger(__name__)


def write_products(damage_map: DamageMapContent, folder: Path, *, post: Layer, pre: Layer | None = None) -> list[str]:
    """Write the five files into `folder`; returns their names, manifest.json last.

    Files that are there are of this very map, from a job that was interrupted, and are kept.
    """
    summary = summarize(damage_map, post.grid, seed=int(damage_map.parameters.get("seed") or 0))
    writers: dict[str, Callable[[Path], Path]] = {
        "damage.gpkg": lambda path: write_gpkg(damage_map, path),
        "damage.parquet": lambda path: write_parquet(damage_map, path),
        "summary.json": lambda path: write_json(path, summary),
        "report.html": lambda path: write_report(damage_map, summary, path, post=post, pre=pre),
    }
    written = [folder / name if (folder / name).is_file() else write(folder / name) for name, write in writers.items()]
    names = [path.name for path in written]
    written.append(write_manifest(damage_map, folder, names))
    for path in written:
        log.info("wrote %s (%.1f MB)", path.name, path.stat().st_size / 1e6)
    return [path.name for path in written]
