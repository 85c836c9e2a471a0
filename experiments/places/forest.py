"""The baseline of buildings from one image: a random forest taught on miniature cities, before there was a world.

Writes red, green, blue and labels of a few cities, trains the recipe of the catalog on them, and keeps the run.
"""

from __future__ import annotations

from pathlib import Path

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.grid import Window
from deepnets4eo.rasters.cog import CogWriter
from deepnets4eo.segmenters.checksums import CARD
from deepnets4eo.synthetic import City
from deepnets4eo.training import train

SEEDS, SIZE_PX, GSD_M = range(101, 109), 640, 0.5
COLOURS = ("red", "green", "blue")
RECIPE = "baselines/random-forest"
OVERRIDES = ("legend=minicity", "model.max_samples=40000")


def city_forest(out: Path, *, smoke: bool = False) -> Path:
    """Return the folder of the forest's run, trained where it is not there; under two minutes on one core."""
    run = out / ("forest-smoke" if smoke else "forest")
    if (run / CARD).is_file():
        return run
    seeds, size_px = (SEEDS[:2], 128) if smoke else (SEEDS, SIZE_PX)
    cities = out / ("cities-smoke" if smoke else "cities")
    for seed in seeds:
        _write_city(cities / f"c{seed}", City(seed, size_px, GSD_M))
    few = ("model.max_samples=200", "data.block_px=64", "data.buffer_px=0") if smoke else ()
    return train(RECIPE, run, data=cities, overrides=[*OVERRIDES, *few])


def _write_city(folder: Path, city: City) -> None:
    """Image before the event and its labels; files that exist are not written again."""
    legend = Legend.load("minicity")
    folder.mkdir(parents=True, exist_ok=True)
    layers = {"image": city.pre.image[:3], "labels": city.pre.labels(legend)[None]}
    for name, values in layers.items():
        if (folder / f"{name}.tif").exists():
            continue
        label = name == "labels"
        with CogWriter(
            folder / f"{name}.tif", city.pre.grid, count=len(values), dtype="uint8", nodata=VOID if label else None,
            legend=legend if label else None, band_names=("labels",) if label else COLOURS, tags=city.tags,
        ) as cog:  # fmt: skip
            cog.write(Window(0, 0, *city.shape), values)
