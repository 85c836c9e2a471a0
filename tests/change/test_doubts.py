"""Change that is only clouds or their shadows at one date: named first, and not known in the interval."""

from __future__ import annotations

import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from geotiff import write_geotiff

from deepnets4eo.change import ChangeOptions, map_change, page
from deepnets4eo.change.areas import changed_area, with_doubt
from deepnets4eo.change.doubts import doubt_findings, doubtful_ground
from deepnets4eo.inspection import CloudClassification, shadows_in_image
from deepnets4eo.outputs.wording import LANGUAGES
from deepnets4eo.rasters import Layer

SIDE, GSD = 128, 10.0
SKY = np.array([0.35, 0.38, 0.42])[:, None, None]  # light in shadow: bluer than in the sun
DISC = np.hypot(*(np.indices((SIDE, SIDE)) - np.array([40, 44])[:, None, None])) < 20
CLOUD = np.hypot(*(np.indices((SIDE, SIDE)) - np.array([95, 90])[:, None, None])) < 14
FIELD = np.zeros((SIDE, SIDE), bool)
FIELD[100:118, 10:34] = True
GREEN = np.array([40.0, 110, 50])[:, None, None]


def ground(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    fields = np.kron(rng.uniform(0.7, 1.3, (32, 32)), np.ones((4, 4)))
    return np.array([190.0, 150, 110])[:, None, None] * fields + rng.normal(0, 2, (3, SIDE, SIDE))


def layer(values: np.ndarray, folder: Path, name: str, **profile: object) -> Layer:
    return Layer.open(write_geotiff(folder / f"{name}.tif", values.clip(1, 255).astype(np.uint8), gsd=GSD, **profile))


def pair(folder: Path, **profile: object) -> dict[str, Layer]:
    """Before: a cloud; after: a shadow, and a field that turned green."""
    pre, post = np.where(CLOUD, 253.0, ground()), np.where(DISC, SKY * ground(), np.where(FIELD, GREEN, ground()))
    return {"image_pre": layer(pre, folder, "pre", **profile), "image_post": layer(post, folder, "post", **profile)}


def unmasked(images: dict[str, Layer]) -> dict[str, CloudClassification]:
    return {name: CloudClassification.of(image) for name, image in images.items()}


@pytest.mark.core("one job per verb")
def test_clouds_and_shadows_come_first_and_are_unknown_in_the_interval(tmp_path: Path) -> None:
    pair(tmp_path)
    changed = map_change(
        str(tmp_path / "pre.tif"), str(tmp_path / "post.tif"), tmp_path / "out", ChangeOptions(assume_registered=True)
    )
    first, area = changed.findings[0], changed.summary["area"]
    true_ha = FIELD.sum() * GSD**2 / 1e4
    assert first.code == "change_under_clouds"
    assert first.values["share"] == pytest.approx((DISC | CLOUD).sum() / (DISC | CLOUD | FIELD).sum(), abs=0.12)
    assert area["changed_ha_interval"][0] <= true_ha <= area["changed_ha_interval"][1]
    assert area["changed_ha_interval"][0] < 1.5 * true_ha
    assert area["changed_in_doubt_ha"] == pytest.approx(first.values["share"] * area["changed_ha"])
    assert "not known" in changed.headline()
    table = gpd.read_file(tmp_path / "out" / "change.gpkg", layer="change")
    x, y = 500_000 + GSD * 44, 5_000_000 - GSD * 40
    assert table[table.contains(gpd.points_from_xy([x], [y])[0])]["shadows"].iloc[0] > 0.9


def test_shadow_of_either_date_is_found_where_it_is(tmp_path: Path) -> None:
    images = pair(tmp_path)
    for dark, other in ((images["image_post"], images["image_pre"]), (images["image_pre"], images["image_post"])):
        mask = shadows_in_image(dark, other, GSD)
        found = np.zeros((SIDE, SIDE), bool) if mask is None else mask.read()[0][0] > 0
        expected = DISC if dark is images["image_post"] else np.zeros_like(DISC)
        assert (found & ~expected).mean() < 0.06  # the penumbra
        assert (found & expected).sum() >= 0.98 * expected.sum()


@pytest.mark.parametrize(
    "post",
    [
        pytest.param(ground() * 0.5, id="another exposure"),
        pytest.param(np.where(DISC, GREEN * 0.6, ground()), id="plants"),
        pytest.param(np.where(np.indices((SIDE, SIDE))[0] % 16 < 3, SKY * ground(), ground()), id="narrow shadows"),
        pytest.param(ground(1), id="other fields"),
    ],
)
def test_what_is_no_shadow_of_clouds_is_no_doubt(tmp_path: Path, post: np.ndarray) -> None:
    images = {"image_pre": layer(ground(), tmp_path, "pre"), "image_post": layer(post, tmp_path, "post")}
    assert doubtful_ground(images, unmasked(images)) == (None, ())


def test_images_without_a_crs_are_looked_at_as_well(tmp_path: Path) -> None:
    images = pair(tmp_path, crs=None)
    doubt, _ = doubtful_ground(images, unmasked(images))
    assert doubt is not None
    changed = Layer.open(np.where(DISC | FIELD, 254, 0).astype(np.uint8))
    (finding,) = doubt_findings(changed, doubt)
    assert finding.values["shadows"] == pytest.approx(DISC.sum() / (DISC | FIELD).sum(), abs=0.03)
    roofs = {name: layer(ground(), tmp_path, name, crs=None) for name in images}
    white = np.where(CLOUD, 250.0, ground())  # a roof, for all one knows: there is no shadow
    roofs["image_post"] = layer(white, tmp_path, "roof", crs=None)
    assert doubtful_ground(roofs, unmasked(roofs))[0] is None


@pytest.mark.parametrize(
    ("radius", "crs", "codes"),
    [(30, "EPSG:32633", ["clouds_pre"]), (12, "EPSG:32633", []), (30, None, [])],
    ids=["17 %", "3 %", "pixels of unknown size"],
)
def test_clouds_over_a_twentieth_of_one_date_are_a_finding_if_the_size_of_pixels_is_known(
    tmp_path: Path, radius: int, crs: str | None, codes: list[str]
) -> None:
    cloud = np.hypot(*(np.indices((SIDE, SIDE)) - 64)) < radius
    images = {
        "image_pre": layer(np.where(cloud, 253.0, ground()), tmp_path, "pre", crs=crs),
        "image_post": layer(ground(), tmp_path, "post", crs=crs),
    }
    _, findings = doubtful_ground(images, unmasked(images))
    assert [finding.code for finding in findings] == codes
    assert all(cloud.mean() <= finding.share <= 1.5 * cloud.mean() for finding in findings)  # with its rim


def test_ground_in_doubt_is_unchanged_at_the_low_end_and_changed_at_the_high_end() -> None:
    labels, doubt = np.zeros((SIDE, SIDE), np.uint8), np.zeros((1, SIDE, SIDE), np.uint8)
    labels[:, :16], doubt[:, :, 8:32] = 1, 1
    area = changed_area(Layer.open(labels), doubt=Layer.open(doubt))
    assert area.area.unit == "px"  # without a CRS
    assert area.area.unknown == pytest.approx(SIDE * 8)
    assert area.area.value == pytest.approx(SIDE * 16)
    assert area.area.interval is not None
    assert area.area.interval[0] < SIDE * 8 < SIDE * 32 < area.area.interval[1]
    few = changed_area(Layer.open(labels[:40, :64]), doubt=Layer.open(doubt[:, :40, :64]))
    assert few.area.interval == pytest.approx((40 * 8, 40 * 32))  # too few blocks to draw from


def test_few_doubtful_pixels_are_no_finding_and_no_polygon_is_a_table_all_the_same() -> None:
    doubt = np.zeros((2, 64, 64), np.uint8)
    doubt[0, 0, 0] = 1
    doubt_layer = Layer.open(doubt).with_names(["clouds", "shadows"])
    assert doubt_findings(Layer.open(np.full((64, 64), 254, np.uint8)), doubt_layer) == []
    empty = gpd.GeoDataFrame({"id": [], "area_m2": [], "score": []}, geometry=[])
    assert list(with_doubt(empty, doubt_layer).columns) == ["id", "area_m2", "score", "clouds", "shadows", "geometry"]


@pytest.mark.parametrize(("doubt", "is_known"), [(50.0, True), (50.5, False)])
def test_a_change_of_which_most_is_in_doubt_is_stated_as_its_range(doubt: float, is_known: bool) -> None:
    area = {"changed_ha": 100.0, "changed_ha_interval": (40.0, 160.0), "changed_share": 0.2, "seen_ha": 500.0, "changed_in_doubt_ha": doubt}  # fmt: skip
    line = page.headline({"area": area})
    assert line.startswith(
        "100 ha (40.0–160) changed, of which" if is_known else "It is not known how much changed: 40.0–160 ha"
    )
    for language in LANGUAGES:
        found = page._headline(area, language)
        assert found.bar is not None
        assert (found.bar.value is None) is not is_known
        assert len(re.findall(r"\d+", found.number)) == (1 if is_known else 3)
        assert ("100" in found.limit) is not is_known
        assert ("20" in found.sentence) is is_known
    facts = page._facts({"area": area | {"min_area_ha": 0.1}, "polygons": {"count": 3, "min_area_ha": 0.1}, "method": "IR-MAD", "threshold": 0.5, "refined": True}, "en")  # fmt: skip
    assert dict(facts)["Changed"] == ("100 ha (40.0–160)" if is_known else "40.0–160 ha")
    assert page._headline(area | {"changed_ha_interval": None}, "en").number == "100 ha"
