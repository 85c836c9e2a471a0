"""A made-up damage map in its folder with both images beside it, for the tests of the review's page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from geotiff import write_geotiff
from made_up_map import make_grid, make_images, make_map

from deepnets4eo.damage.products.tables import write_parquet
from deepnets4eo.damage.products.write import write_manifest
from deepnets4eo.damage.review import write_sample
from deepnets4eo.files import write_json


def write_reviewed(
    folder: Path, *, looks: int = 8, names: Sequence[str] = (), number: int = 25, size_px: int = 128
) -> Path:
    """The folder of a map of `number` buildings with a sample in it. names : ids of its first buildings."""
    grid = make_grid(size_px)
    damage_map = make_map(number, grid=grid)
    ids = damage_map.buildings["id"].tolist()
    damage_map.buildings["id"] = [*names, *ids[len(names) :]]
    for role, image in zip(("pre", "post"), make_images(grid, damage_map), strict=True):
        path = write_geotiff(folder / f"{role}.tif", image.read()[0], crs=grid.crs, transform=grid.affine)
        damage_map.inputs[role] = str(path)
    out = folder / "map"
    out.mkdir()
    write_parquet(damage_map, out / "damage.parquet")
    write_json(out / "summary.json", {"registration": damage_map.registration})
    damage_map.parameters["gsd_m"] = None
    write_manifest(damage_map, out, ["damage.parquet"])
    write_sample(out / "review.gpkg", out / "damage.parquet", looks)
    return out
