"""A seed's city is the same in every release, on every machine: measured figures and the demo rest on these cities.

Compared are means over blocks, not bits, so that the rounding of a processor does not matter. After an intended
change, `python tests/synthetic/test_same_city.py` writes the numbers anew; say in the changelog that cities changed.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest

from deepnets4eo.cards import Legend
from deepnets4eo.synthetic import City, Event

KEPT = Path(__file__).with_name("cities.json")
SIDE_PX, BLOCKS = 192, 6
CITIES: dict[str, City] = {
    "tornado": City(21, SIDE_PX, 0.4, event=Event(kind="tornado", cloud_shadows=2)),
    "quake": City(22, SIDE_PX, 0.5, event=Event(kind="quake", gsd_m=0.6, rotation_deg=1.0, scale=1.01)),
    "fire": City(23, SIDE_PX, 0.3, event=Event(kind="fire", burnt_share=0.5, lookalike_share=0.5, cloud_shadows=0)),
    "hurricane": City(
        24, SIDE_PX, 0.8, event=Event(kind="hurricane", scale=0.99, damage_shares=(1, 1, 1, 1), swept_share=0.5)
    ),
    "drawn": City(25, SIDE_PX, 0.5),
}


def blocks(values: np.ndarray) -> list[float]:
    """Means of a raster over 6 × 6 blocks, band by band."""
    layers = (values if values.ndim == 3 else values[None]).astype(np.float64)
    height, width = (side // BLOCKS * BLOCKS for side in layers.shape[1:])
    cut = layers[:, :height, :width].reshape(len(layers), BLOCKS, height // BLOCKS, BLOCKS, width // BLOCKS)
    return cut.mean(axis=(2, 4)).ravel().tolist()


def shapes(frame: gpd.GeoDataFrame) -> list[float]:
    """Number, area, length, and sums of the centres from the city's corner."""
    middle = frame.geometry.centroid
    return [
        len(frame), frame.area.sum(), frame.length.sum(), (middle.x - 392_000).sum(), (middle.y - 5_820_000).sum(),
    ]  # fmt: skip


def counts(values: np.ndarray, number: int) -> list[int]:
    return np.bincount(values.ravel(), minlength=number)[:number].tolist()


def describe(city: City) -> dict[str, list[float]]:
    """Some hundred numbers that describe the layers of a city."""
    minicity = Legend.load("minicity")
    buildings = city.buildings
    points, spectra = city.points(2.0), city.spectra(np.array([450.0, 650.0, 850.0, 1600.0, 2200.0]))
    ((_, winter), (_, summer)) = city.series([datetime.date(2024, 1, 20), datetime.date(2024, 7, 10)])
    osm = city.osm()
    return {
        "pre": blocks(city.image), "post": blocks(city.post.image), "winter": blocks(winter), "summer": blocks(summer),
        "dsm": blocks(city.dsm), "dtm": blocks(city.dtm), "post_dsm": blocks(city.post.dsm),
        "labels": counts(city.labels(minicity), 8), "post_labels": counts(city.post.labels(minicity), 8),
        "building_pixels": [(city.pre.building_ids() > 0).sum(), (city.post.building_ids() > 0).sum()],
        "buildings": [*shapes(buildings), buildings["height_m"].sum()],
        **{
            column: [(buildings[column] == value).sum() for value in sorted(set(city.all_buildings[column].astype(str)))]
            for column in ("roof", "covering", "use", "damage", "look", "change")
        },
        "footprints": shapes(city.footprints()), "roads": [*shapes(city.roads), city.roads["width_m"].sum()],
        **{f"osm_{name}": shapes(frame) for name, frame in osm.items()},
        "moved": shapes(city.to_post(buildings)),
        "points": [len(points), points.xyz[:, 2].sum(), points.intensity.sum(dtype=float), points.return_number.sum()],
        "classes": counts(points.classification, 12),
        "materials": counts(spectra.material, len(spectra.names)), "brightness": blocks(spectra.brightness),
        "reflectance": spectra.reflectance.sum(axis=1).tolist(),
    }  # fmt: skip


TOLERANCE = {"dsm": 0.01, "dtm": 0.01, "post_dsm": 0.01, "brightness": 1e-3}  # metres; a factor; else of 0–255
SHARE = 0.002  # of sums and numbers of pixels, buildings and points


@pytest.mark.parametrize("name", CITIES)
def test_a_seeds_city_is_the_one_it_was(name: str) -> None:
    kept, values = json.loads(KEPT.read_text())[name], describe(CITIES[name])
    assert list(values) == list(kept)
    images = {"pre", "post", "winter", "summer"}
    for what, numbers in values.items():
        within = (
            {"abs": TOLERANCE.get(what, 0.03)} if what in images | TOLERANCE.keys() else {"rel": SHARE, "abs": 1e-6}
        )
        assert numbers == pytest.approx(kept[what], **within), what


if __name__ == "__main__":
    values = {
        name: {key: np.round(one, 4).tolist() for key, one in describe(city).items()} for name, city in CITIES.items()
    }
    lines = ",\n".join(f"{json.dumps(name)}: {{\n" + ",\n".join(
        f"  {json.dumps(key)}: {json.dumps(one)}" for key, one in layers.items()) + "\n}" for name, layers in values.items())  # fmt: skip
    KEPT.write_text("{" + lines + "}\n")
