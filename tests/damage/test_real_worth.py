"""Real places: what the model does not know is not judged with confidence, and what it knows is still judged."""

from pathlib import Path

import geopandas as gpd
import pytest
from made_up_evidence import gather

from deepnets4eo.damage import GRADES, Settings, assess
from deepnets4eo.damage.decision.decision import Decision, DecisionModel
from deepnets4eo.damage.structure.unbuilt import find_unbuilt
from deepnets4eo.footprints import align_footprints, read_footprints
from deepnets4eo.rasters import Layer

pytestmark = pytest.mark.real_data
VEGAS = Path("wv3_vegas/tiff_3channel_uint8")
BUILDING, TREE = 1, 3


def assess_alone(image: Path, outlines: gpd.GeoDataFrame) -> Decision:
    layer = Layer.open(image)
    footprints = read_footprints(outlines, assume_crs="pixels" if layer.grid.crs is None else None)
    return DecisionModel.load("damage-evidence").decide(gather(None, layer, footprints, None))


@pytest.mark.parametrize("image", ["pre.png", "post.png"])
def test_small_roofs_under_trees_get_no_confident_grade(image: str, real_data: Path) -> None:
    folder = real_data / "xbd_midwest"
    found = assess_alone(folder / image, gpd.read_file(folder / "footprints_px.geojson"))
    assert found.buildings.frame["confidence"].mean() <= 0.6
    assert {finding.code for finding in found.findings} == {"evidence_outside_range", "count_not_told"}
    if image == "pre.png":
        assert found.buildings.frame["damage"].isin(["major-damage", "destroyed"]).sum() <= 2, (
            "nothing is damaged there"
        )


def test_trees_given_as_outlines_are_not_assessed_and_most_roofs_are(real_data: Path) -> None:
    table = gpd.read_file(real_data / VEGAS.with_suffix(".geojson"))
    shares = {
        label: assess_alone(real_data / VEGAS.with_suffix(".tif"), table[table["label"] == label])
        .buildings.frame["damage"].notna().mean()
        for label in (BUILDING, TREE)
    }  # fmt: skip
    assert shares[TREE] < 0.1
    assert shares[BUILDING] > 0.65


def test_outlines_of_later_houses_are_recognised_and_those_of_2011_kept(real_data: Path) -> None:
    folder = real_data / "joplin"
    pre, footprints = Layer.open(folder / "pre"), read_footprints(folder / "footprints_overlap.geojson")
    flags = find_unbuilt(pre, footprints, align_footprints(pre, footprints.frame)).flags
    labels = gpd.read_file(folder / "damage_labels.geojson").set_index("id")["damage"]
    truth = footprints.frame["id"].map(labels)
    assert flags[(truth == "no-building").to_numpy()].sum() >= 9  # of 22
    assert flags[(truth.notna() & (truth != "no-building")).to_numpy()].mean() <= 0.03


def test_burnt_houses_without_an_image_before_are_ranked_where_their_number_is_not_known(real_data: Path) -> None:
    folder = real_data / "events_more" / "santa-rosa-wildfire_00000115"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}")
    settings = Settings(footprints_crs="pixels", gsd_m=0.92)
    found = assess(None, folder / "post.png", folder / "footprints_px.geojson", settings=settings)
    assert {finding.code for finding in found.findings} >= {"alignment_weak", "count_not_told"}
    table = found.table
    assert table.assessed.sum() >= 18  # the network grades 11 more
    assert table.is_ranked
    stated = found.buildings[found.buildings["damage"] == GRADES[0]]
    assert stated["damage_set"].eq(GRADES[0]).all(), "no damage is stated only of buildings of which it is certain"
