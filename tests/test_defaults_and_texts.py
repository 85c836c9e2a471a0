"""Options of verbs have the defaults of the functions they call; words and settings written for others, as they are read there."""

from __future__ import annotations

import configparser
import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.damage import ProductOptions
from deepnets4eo.damage.comparison.scales import as_word
from deepnets4eo.damage.decision import decision as deciding
from deepnets4eo.damage.decision.decision import DecisionModel
from deepnets4eo.damage.decision.model import DamageModel
from deepnets4eo.damage.decision.network import DamageNetwork
from deepnets4eo.damage.decision.site_fit import SiteShift
from deepnets4eo.damage.files.written_again import formats_there
from deepnets4eo.errors import InputError
from deepnets4eo.files import write_json
from deepnets4eo.floods import FloodOptions
from deepnets4eo.floods.optical import may_show_surface
from deepnets4eo.floods.radar import RadarOptions
from deepnets4eo.osm.reading import _osm_settings
from deepnets4eo.outputs.map_page.page import Payload


def test_the_options_of_a_flood_have_the_defaults_of_its_radar() -> None:
    assert FloodOptions().radar == RadarOptions()


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (True, "true"),
        (np.False_, "false"),
        (3.0, "3"),
        ("3.0", "3"),
        (0.25, "0.25"),
        ("Major Damage", "major-damage"),
        ("nan", "nan"),
        (float("inf"), "inf"),
        (datetime.date(2023, 2, 6), "2023-02-06"),
        ([1, 2], "[1,-2]"),
    ],
)
def test_values_of_any_kind_are_words(value: Any, word: str) -> None:
    assert as_word(value) == word


def test_gdal_is_told_to_keep_the_numbers_of_relations_of_areas_only_and_all_keys() -> None:
    parser = configparser.ConfigParser()
    parser.read_string("[general]\n" + _osm_settings(["building", "water"]))
    kept = {layer: parser[layer]["osm_id"] for layer in ("points", "lines", "multipolygons")}
    assert kept == {"points": "no", "lines": "no", "multipolygons": "yes"}
    assert {parser[layer]["attributes"] for layer in kept} == {"building,water"}
    assert {parser[layer]["other_tags"] for layer in parser.sections() if layer != "general"} == {"no"}
    assert parser["general"]["attribute_name_laundering"] == "no"


def test_the_spread_between_sites_is_stored_with_three_decimals() -> None:
    shift = SiteShift((-1.23456, 2.34567), (0.45678, 0.56789), 0.12345, 1.98765, 9.0)
    stored = shift.to_dict()
    assert stored == {
        "level": {"intact": -1.235, "damaged": 2.346}, "between": {"intact": 0.457, "damaged": 0.568}, "correlation": 0.123,
        "within": 1.988, "most_information": 9.0,
    }  # fmt: skip
    assert SiteShift.from_dict(stored).to_dict() == stored


@pytest.mark.parametrize(("least_px", "may"), [(177, True), (178, False)])
def test_a_square_of_one_colour_may_be_the_middle_of_a_surface_twice_as_wide(least_px: int, may: bool) -> None:
    """Squares have 7 pixels: a surface of 13² pixels and 5 % for rounding, 177.45, has the middle of only one."""
    image = np.full((3, 7, 7), 90, np.uint8)
    assert may_show_surface(image, least_px) is may
    assert may_show_surface(np.full((3, 7, 14), 90, np.uint8), 2 * 177) is True
    rough = np.random.default_rng(0).integers(0, 255, (3, 7, 7)).astype(np.uint8)
    assert may_show_surface(rough, 1) is False


@pytest.mark.parametrize(
    ("name", "is_run", "loaded"),
    [
        (DamageModel.default, False, [("model",)]),
        (DamageModel.default, True, [("model",)]),
        ("my-model", False, [("model", "my-model")]),
        ("my-run", True, [("network", "my-run", 0.25), ("model",)]),
    ],
)
def test_a_decision_is_a_model_by_name_or_the_shipped_one_with_a_network_of_a_run(
    name: str, is_run: bool, loaded: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(deciding, "run_path", lambda _: tmp_path)
    monkeypatch.setattr(deciding, "RunFolder", lambda _: SimpleNamespace(is_run=is_run))
    monkeypatch.setattr(DamageModel, "load", lambda *words: asked.append(("model", *words)) or "model")
    monkeypatch.setattr(DamageNetwork, "load", lambda model, _, weight, *__: asked.append(("network", model, weight)) or DamageNetwork(weight=0.125))  # fmt: skip
    found = DecisionModel.load(name, 0.25, 0.5)
    assert asked == loaded
    assert found.damaged_share == 0.5
    assert found.network.weight == (0.125 if loaded[0][0] == "network" else 0.25)


@pytest.mark.parametrize(
    ("weight", "share", "refused"),
    [
        (0.0, None, ""),
        (1.0, 0.5, ""),
        (-0.01, None, "the network's weight is -0.01"),
        (1.01, None, "the network's weight is 1.01"),
        (0.5, 0.0, "the share of damaged buildings is 0.0"),
        (0.5, 1.0, "the share of damaged buildings is 1.0"),
    ],
)
def test_weights_include_both_ends_and_shares_neither(weight: float, share: float | None, refused: str, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(DamageModel, "load", lambda *_: "model")
    if refused:
        with pytest.raises(InputError, match=refused):
            DecisionModel.load(DamageModel.default, weight, share)
    else:
        assert DecisionModel.load(DamageModel.default, weight, share).network.weight == weight


def test_a_map_that_is_written_again_keeps_the_name_of_its_file_of_copernicus_unless_another_is_named(
    tmp_path: Path,
) -> None:
    name = "EMSR648_AOI01_GRA_PRODUCT_v1.gpkg"
    write_json(tmp_path / "manifest.json", {"outputs": {name: {}, "damage.gpkg": {}, "new_water.tif": {}}})
    (tmp_path / name).touch()
    options, there = formats_there(tmp_path)
    assert (options.cems, "cems" in there) == (name.removesuffix(".gpkg"), True)
    stated = ProductOptions(cems="EMSR648_AOI02_GRA_PRODUCT_v1")
    options, there = formats_there(tmp_path, stated, named=True)
    assert (options.cems, "cems" in there) == (stated.cems, False)


@pytest.mark.parametrize(("count", "squares"), [(3000, False), (3001, True)])
def test_a_page_draws_up_to_three_thousand_objects_one_by_one(count: int, squares: bool) -> None:
    grid = GeoBox((64, 64), Affine(1, 0, 0, 0, -1, 64), "EPSG:32633")
    shapes = np.array([shapely.box(20, 20, 24, 24)] * count, object)
    payload = Payload.of_objects(map(str, range(count)), shapes, grid, {"class": np.zeros(count, np.uint8)}, {})
    assert (payload.described["squares"] is not None) is squares
    assert (payload.described["mostSingle"], payload.described["count"]) == (3000, count)
