"""The order of the outlines in a file changes nothing: not what is sampled of them, and not the map."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from made_up_town import layer, outlines, photo
from moved_place import UTM, as_layer, houses, roofs

from deepnets4eo.damage import DamageMap, assess
from deepnets4eo.damage.structure.maps import measure
from deepnets4eo.footprints import align_footprints, alignment, order_by_place
from deepnets4eo.rasters import Layer


def test_outlines_are_ordered_by_row_then_column_then_size_and_unknown_places_come_last() -> None:
    middles = np.array([[np.nan, np.nan], [5.0, 2], [1, 9], [5, 2], [1, 3]])
    assert order_by_place(middles, np.array([0.0, 8, 1, 4, 1])).tolist() == [4, 2, 3, 1, 0]
    assert order_by_place(np.zeros((0, 2))).tolist() == []


def test_the_radiometry_of_an_image_does_not_depend_on_the_order_of_its_buildings() -> None:
    rng = np.random.default_rng(0)
    image = Layer.open((np.linspace(20, 200, 600)[:, None] * rng.uniform(0.5, 1.2, (3, 600, 600))).astype(np.uint8))
    centres = rng.uniform(0, 600, (90, 2))
    assert measure(image, centres) == measure(image, rng.permutation(centres))


def test_an_alignment_from_a_sample_does_not_depend_on_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignment, "SAMPLED", 20)
    monkeypatch.setattr(alignment, "SAMPLED_PER_BLOCK", 20)
    true = houses(0, 64, 250.0)
    image = as_layer(roofs(true, (500, 500)))
    table = gpd.GeoDataFrame(geometry=shapely.transform(true, lambda xy: xy + (2.0, 1.5)), crs=UTM)
    order = np.random.default_rng(1).permutation(len(table))
    found, shuffled = align_footprints(image, table), align_footprints(image, table.iloc[order])
    assert (found.voters, found.status) == (20, "ok")
    assert shuffled.agreeing == found.agreeing
    assert shuffled.peak == found.peak
    assert np.array_equal(shuffled.offsets_m, found.offsets_m[order])


def by_id(result: DamageMap) -> pd.DataFrame:
    return pd.DataFrame(result.buildings.drop(columns="geometry")).sort_values("id").reset_index(drop=True)


def test_a_map_of_shuffled_footprints_is_the_same_map() -> None:
    pre, post, table = layer(photo(after=False)), layer(photo(after=True)), outlines()
    table["id"] = [f"house {number}" for number in range(len(table))]
    result = assess(pre, post, table)
    shuffled = assess(pre, post, table.sample(frac=1, random_state=3))
    assert shuffled.buildings["id"].tolist() != result.buildings["id"].tolist()
    pd.testing.assert_frame_equal(by_id(shuffled), by_id(result), rtol=1e-5, atol=1e-7)
    assert shuffled.damaged_share["value"] == pytest.approx(result.damaged_share["value"], rel=1e-6)
    assert shuffled.findings == result.findings
