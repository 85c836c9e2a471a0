"""Values of short branches by hand: what is compared, counted, named and drawn in files, floods, points, networks and training."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray
from pyproj import CRS
from pyproj.crs import CompoundCRS

from deepnets4eo.cards import Legend
from deepnets4eo.catalogues import plan as plans
from deepnets4eo.catalogues.search import _Walk
from deepnets4eo.change import products
from deepnets4eo.change.page import headline
from deepnets4eo.change.transitions import Transitions
from deepnets4eo.errors import LabelError
from deepnets4eo.evaluation import scoring
from deepnets4eo.evaluation.sampled.estimates import estimate_difference
from deepnets4eo.floods.recognition import write_without_flood
from deepnets4eo.floods.spectrum import index_odds
from deepnets4eo.floods.thresholds import DRY, FLOOD, NOT_SEEN, PERMANENT_WATER
from deepnets4eo.formats.category_legend import _rows
from deepnets4eo.formats.tagged_limits import _same
from deepnets4eo.formats.xarray_words import _wavelengths
from deepnets4eo.osm.reading import read_area
from deepnets4eo.points.files.las_crs import _is_elsewhere, _with
from deepnets4eo.points.files.waveforms import _stated
from deepnets4eo.points.labelling import LabelJob
from deepnets4eo.polygons.vector_files import _add_by_wkt2
from deepnets4eo.prediction import part_jobs
from deepnets4eo.prediction.preparation import _choose_bands
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as import images
from deepnets4eo.read_as.assessment import Door
from deepnets4eo.segmenters import onnx_graph
from deepnets4eo.segmenters.hub import _describe
from deepnets4eo.segmenters.onnx_card import ForeignNetwork
from deepnets4eo.training import alike
from deepnets4eo.training.statistics import _empty_bands


def test_two_systems_with_axes_in_another_order_are_at_one_place() -> None:
    assert not _is_elsewhere(CRS("EPSG:4258"), CRS("OGC:CRS84"), (3.0, 45.0))


@pytest.mark.parametrize("flooded", [True, False])
def test_a_map_without_flood_is_not_written_again(flooded: bool, tmp_path: Path) -> None:
    labels = np.full((1, 8, 8), DRY, np.uint8)
    labels[0, 0], labels[0, 1] = NOT_SEEN, PERMANENT_WATER
    if flooded:
        labels[0, 2, 3] = FLOOD
    found = write_without_flood(Layer.open(labels, nodata=NOT_SEEN), tmp_path / "a.tif")
    assert (found is not None) is flooded
    if found is not None:
        assert (found.read()[0][0] != np.where(labels[0] == FLOOD, NOT_SEEN, labels[0])).sum() == 0


@pytest.mark.parametrize(
    ("names", "roles", "words"),
    [
        (["red", "nir"], ["r", "g"], "red, nir"),
        (["band_1", "band_2"], ["red", "green"], "red, green"),
        (["band_1"], None, ""),
    ],
)
def test_bands_without_names_are_listed_by_their_colours(names: list[str], roles: Any, words: str) -> None:
    layer: Any = SimpleNamespace(band_names=names, colour_roles=roles)
    assert alike._band_text(layer) == words


@pytest.mark.parametrize(
    ("colour", "known"), [((0, 255, 7), (0, 255, 7)), ((0, 256, 7), None), ((-1, 5, 7), None), ((300, 300, 300), None)]
)
def test_colours_of_an_attribute_table_are_bytes(colour: tuple[int, ...], known: tuple[int, ...] | None) -> None:
    fields = [("Value", 5), ("Name", 2), ("Red", 6), ("Green", 7), ("Blue", 8)]
    head = "".join(f"<FieldDefn><Name>{name}</Name><Usage>{usage}</Usage></FieldDefn>" for name, usage in fields)
    cells = "".join(f"<F>{value}</F>" for value in (4, "roof", *colour))
    table = ElementTree.fromstring(f"<Table>{head}<Row>{cells}</Row></Table>")
    assert [tuple(row) for row in _rows(table)] == [(4, "roof", known)]


def test_times_beyond_the_years_that_exist_are_the_first_and_the_last() -> None:
    now = datetime(2023, 2, 6, tzinfo=UTC)
    found = [plans._days_from(now, days) for days in (10**7, -(10**7), 2)]
    assert found == [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC), datetime(2023, 2, 8, tzinfo=UTC)]  # fmt: skip


@pytest.mark.parametrize(
    ("products", "blends", "with_scores"),
    [({"labels"}, False, False), ({"labels"}, True, True), ({"labels", "probabilities"}, False, True)],
)
def test_processes_return_scores_for_products_of_scores_and_where_tiles_blend(
    products: set[str], blends: bool, with_scores: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []

    def task(*values: Any) -> Any:
        made.append(values[-1])
        return SimpleNamespace(check=lambda: None)

    monkeypatch.setattr(part_jobs, "TileTask", task)
    plan: Any = SimpleNamespace(lattice=SimpleNamespace(tiling=SimpleNamespace(blends=blends)), compute=None, batch_tiles=1)  # fmt: skip
    label_task: Any = SimpleNamespace(prepared=SimpleNamespace(labelled=None), segmenter=None)
    paths = dict.fromkeys(products, Path("a.tif"))
    assert part_jobs._remote_blocks(label_task, plan, paths, SimpleNamespace(executor="processes:2"), {}) == {}  # type: ignore[arg-type]
    assert made == [with_scores]
    assert part_jobs._remote_blocks(label_task, plan, paths, SimpleNamespace(executor=None), {}) == {}  # type: ignore[arg-type]
    assert len(made) == 1, "none without other processes"


def test_odds_of_water_are_the_mean_of_measured_and_plain_indices() -> None:
    """An index without two modes is water from zero on, in steps of a tenth."""
    values = np.array([[0.2, -0.3]], np.float32)
    measured: Any = SimpleNamespace(log_odds=lambda index: 10 * index + 1)
    found = index_odds({"ndwi": values, "mndwi": values}, {"ndwi": None, "mndwi": measured})
    np.testing.assert_allclose(found, [[(2 + 3) / 2, (-3 - 2) / 2]], rtol=1e-5)


@pytest.mark.parametrize(("first", "second", "same"), [(1, 1, True), (1, 2, False), (np.nan, np.nan, True), (np.nan, 1, False), (1, np.nan, False)])  # fmt: skip
def test_two_values_without_data_are_one_if_both_are_no_number(first: float, second: float, same: bool) -> None:
    assert _same(first, second) is same


def test_an_item_is_known_whatever_the_order_of_its_keys() -> None:
    walk: Any = SimpleNamespace(box=(170, -10, -170, 10), answered=set())
    first, second, other = (SimpleNamespace(content=content, collection={}) for content in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 2}))  # fmt: skip
    assert [_Walk._is_known(walk, item) for item in (first, second, other)] == [False, True, False]  # type: ignore[arg-type]
    walk.box = (0, 0, 1, 1)
    assert not _Walk._is_known(walk, first), "only a box across 180 degrees is searched in two parts"  # type: ignore[arg-type]


@pytest.mark.parametrize(("bands", "named"), [([1, 2, 3], False), ([3, 2, 1], True)])
def test_bands_that_are_read_in_the_order_of_training_are_named(
    bands: list[int], named: bool, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["red", "green", "blue", "nir"]
    layer: Any = SimpleNamespace(
        band_names=names, bands=[1, 2, 3, 4], count=4, source="a.tif", subset=lambda chosen: SimpleNamespace(chosen=chosen),
    )  # fmt: skip
    expected: Any = SimpleNamespace(bands=[names[band - 1] for band in bands])
    with caplog.at_level("INFO"):
        assert _choose_bands(layer, expected).chosen == bands  # type: ignore[attr-defined]
    assert bool(caplog.messages)
    layer.band_names, layer.bands, layer.count = ["B04", "B03", "B02"], [1, 2, 3], 3
    caplog.clear()
    expected.bands = [("B4", "B3", "B2")[band - 1] for band in bands]
    with caplog.at_level("INFO"):
        assert _choose_bands(layer, expected).chosen == bands  # type: ignore[attr-defined]
    assert bool(caplog.messages) is named


def test_the_area_of_an_extract_is_that_of_all_its_folders(tmp_path: Path) -> None:
    def folder_of(left: int) -> str:
        ring = " ".join(f"{x},{y}" for x, y in ((left, 0), (left + 1, 0), (left + 1, 1), (left, 1), (left, 0)))
        return f"<Folder><name>f{left}</name><Placemark><Polygon><outerBoundaryIs><LinearRing><coordinates>{ring}</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark></Folder>"  # fmt: skip

    for lefts, east in (((0,), 1), ((0, 5), 6)):
        folders = "".join(map(folder_of, lefts))
        path = tmp_path / f"{east}.kml"
        path.write_text(f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{folders}</Document></kml>', "utf-8")
        assert read_area(path).total_bounds.tolist() == [0, 0, east, 1]


@pytest.mark.parametrize(("collars", "word"), [("data", "counts_as_data"), ("by_job", "taken_as_unseen"), ("here", "taken_as_unseen")])  # fmt: skip
def test_gaps_of_one_band_are_unseen_unless_they_count_as_data(
    collars: Any, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "undeclared_in_bands", lambda _: (images.UndeclaredBand(0, "nir", 0.0, 0.2),))
    layer: Any = SimpleNamespace(source="a.tif")
    (finding,) = images._band_findings(layer, Door.of_image("post", collars=collars))
    assert finding.values["taken"].key == word


@pytest.mark.parametrize(
    ("run", "refines", "by_class"),
    [(None, False, False), ("run", False, True), ("run", True, False), (None, True, False)],
)
def test_the_classes_of_a_network_are_the_change_unless_its_scores_are_refined(
    run: str | None, refines: bool, by_class: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class DoneError(Exception):
        """Ends the job once the scores are made."""

    taken: list[Any] = []

    def scores(*_: Any, classes: Any) -> None:
        taken.append(classes)
        raise DoneError

    monkeypatch.setattr(products, "covers_of", lambda *_: None)
    monkeypatch.setattr(products, "change_scores", scores)
    monkeypatch.setattr(products.Layer, "open", lambda path: path.name)
    measured: Any = SimpleNamespace(run=SimpleNamespace(legend=None, folder="run"))
    pair, options, event = SimpleNamespace(run=run), SimpleNamespace(refines=refines), None
    with pytest.raises(DoneError):
        products.draw_change(pair, measured, Path("run"), Path("out"), options, event)  # type: ignore[arg-type]
    assert taken == [products.LABELS if by_class else None]


@pytest.mark.parametrize(
    ("vertical", "added"),
    [("EPSG:5773", True), ('VERT_CS["h",VERT_DATUM["d",2005],UNIT["metre",1]]', False), ('VERT_CS["h",VERT_DATUM["d",2005],UNIT["foot",0.3048]]', True)],
)  # fmt: skip
def test_heights_of_another_record_are_added_if_they_state_a_datum_or_another_unit(vertical: str, added: bool) -> None:
    horizontal = CRS("EPSG:32631")
    other = CompoundCRS("both", [horizontal, CRS(vertical)])
    found = _with(horizontal, other, (500_000.0, 5_000_000.0), "a.las")
    assert found.is_compound is added
    assert found.sub_crs_list[:1] == ([horizontal] if added else [])


@pytest.mark.parametrize(("first", "second", "limit"), [(60, 0, 1.0), (0, 60, -1.0)])
def test_a_difference_of_two_maps_is_within_the_whole_map(first: int, second: int, limit: float) -> None:
    found = estimate_difference(first, second, 0, 0, 1.0)
    assert found.difference == limit
    assert (found.high if limit > 0 else found.low) == limit
    assert -1 <= found.low <= found.high <= 1


@pytest.mark.parametrize("quantity", [None, "height, m"])
def test_the_page_of_a_model_lists_a_channel_for_each_class_and_quantity(quantity: str | None) -> None:
    legend = MagicMock(classes=[SimpleNamespace(name="roof", value=3)], quantity=quantity)
    network = SimpleNamespace(describe=lambda: {"network": {"name": "A network"}}, kind="network")
    run = MagicMock(legend=legend, segmenter=network, inputs=SimpleNamespace(layers={"image": SimpleNamespace(bands=("red", "nir"))}), card={"notes": {}})  # fmt: skip
    page = _describe(run)
    assert "- `image`: red, nir" in page
    assert "- channel 0: roof (label 3)" in page
    assert ("- channel 1: height, m" in page) is (quantity is not None)
    assert "- channel 1: None" not in page


@pytest.mark.parametrize("replace", [True, False])
def test_probabilities_of_points_are_stored_in_hundredths(replace: bool) -> None:
    legend = Legend.load("change")
    work: Any = SimpleNamespace(labeller=SimpleNamespace(legend=legend), options=SimpleNamespace(replace=replace))
    found = LabelJob._additions(work)
    assert [(one.name, one.scale) for one in found.dimensions] == [("pred_class", 1), ("pred_prob", 0.01), ("entropy", 0.01), ("propagated", 1)]  # fmt: skip
    assert (found.highest_code, found.predicted) == ((max(legend.values), True) if replace else (0, False))


@pytest.mark.parametrize(
    ("minor", "encoding", "start", "packets", "found"),
    [
        (3, 2, 300, 15, (2, 300, 75)), (3, 2, 300, 16, (2, 300, 0)), (3, 2, 316, 0, (2, 0, 0)), (3, 2, 315, 0, (2, 315, 60)),
        (3, 2, 0, 0, (2, 0, 0)), (3, 4, 300, 15, (4, 0, 0)), (2, 2, 300, 15, (0, 0, 0)),
    ],
)  # fmt: skip
def test_waveforms_are_within_a_file_if_it_is_long_enough(
    minor: int, encoding: int, start: int, packets: int, found: tuple[int, ...], tmp_path: Path
) -> None:
    """A file of 375 bytes; the record begins with 60 bytes, of which 8 from the 20th on state how many follow."""
    content = bytearray(375)
    struct.pack_into("<H", content, 6, encoding)
    content[25] = minor
    struct.pack_into("<Q", content, 227, start)
    if start:
        struct.pack_into("<Q", content, start + 20, packets)
    path = tmp_path / "a.las"
    path.write_bytes(content)
    assert _stated(path) == found


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [("wavelength", [0.45, 0.6], [450, 600]), ("wavelength_nm", [450, 600], [450, 600]), ("wavelength_nm", [0.45, 0.6], [None, None])],
)  # fmt: skip
def test_a_coordinate_of_wavelengths_is_in_the_unit_of_its_name(
    name: str, values: list[float], found: list[float | None]
) -> None:
    array = xarray.DataArray(np.zeros((2, 3, 3)), dims=("band", "y", "x"), coords={name: ("band", values)})
    assert _wavelengths(array, "band", 2) == found


def test_the_headline_of_transitions_is_what_does_not_keep_its_class() -> None:
    hectares = np.array([[10.0, 2.5], [1.25, 20.0]])
    assert Transitions(("a", "b"), hectares, hectares, hectares, "none").headline().startswith("3.75 ha")


@pytest.mark.parametrize(
    ("own", "in_tags", "is_prediction", "named"),
    [(False, True, True, True), (True, True, True, False), (False, False, True, False), (False, True, False, False)],
)
def test_a_prediction_with_classes_of_its_own_is_scored_without_another_legend(
    own: bool, in_tags: bool, is_prediction: bool, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    legend, made = Legend.load("change"), []
    layer = SimpleNamespace(source="a.tif", legend=legend if in_tags else None, other_legend_note=lambda _: None)

    def reader(*_: Any) -> Any:
        made.append(1)
        if is_prediction or len(made) > 1:
            raise LabelError("it has the value 9.")
        return SimpleNamespace(hidden_note=None)

    monkeypatch.setattr(scoring, "LabelReader", reader)
    monkeypatch.setattr(scoring.LABELS.__class__, "open", lambda *_, **__: layer)
    given = legend if own else None
    protocol = SimpleNamespace(withheld=None, prediction_legend=given, reference_legend=given, reference_nodata=None, unknown_labels="error")  # fmt: skip
    with pytest.raises(LabelError, match="it has the value 9") as refused:
        scoring._open_readers("a.tif", "b.tif", SimpleNamespace(protocol=protocol, legend=legend, notes=[]))  # type: ignore[arg-type]
    assert ("has classes of its own" in str(refused.value)) is named


@pytest.mark.parametrize(("interval", "limited"), [([2.0, 4.0], True), (None, False)])
def test_the_headline_of_a_change_map_states_what_its_range_does_not_include(
    interval: list[float] | None, limited: bool
) -> None:
    area = {"changed_ha": 3.0, "changed_ha_interval": interval, "seen_ha": 9.0}
    expected = (
        "3.00 ha (2.00–4.00) changed; the range does not include errors of the map" if limited else "3.00 ha changed"
    )
    assert headline({"area": area}) == expected


@pytest.mark.parametrize(("side_px", "size"), [(None, "any size"), (512, "512 px")])
def test_a_network_of_others_states_the_images_that_it_takes(side_px: int | None, size: str) -> None:
    segmenter = SimpleNamespace(
        facts=SimpleNamespace(side_px=side_px, layout="nchw", activation="logits"), tiling=SimpleNamespace(tile_px=576, halo_px=32),
        legend=SimpleNamespace(names=("ground", "roof")),
    )  # fmt: skip
    card: Any = SimpleNamespace(card={"bands": ["red"], "normalisation": "none"}, segmenter=segmenter)
    lines = ForeignNetwork.lines(card)
    assert lines[2].endswith(f"the network takes {size}")


@pytest.mark.parametrize(("stated", "written"), [(None, "Unknown"), ("Polygon", "Polygon")])
def test_a_layer_without_wkt_1_has_the_stated_kind_of_shapes(
    stated: str | None, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[str] = []
    monkeypatch.setattr("pyogrio.write_arrow", lambda *_, geometry_type, **__: kinds.append(geometry_type))
    table = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")
    _add_by_wkt2(table, Path("a.gpkg"), "a", "GPKG", geometry_type=stated)
    assert kinds == [written]


@pytest.mark.parametrize(("empty", "named"), [((), ""), ((1,), "no pixel of band 2 has a value"), ((0, 2), "no pixel of band 1, 3 has a value"), ((0, 1, 2), "")])  # fmt: skip
def test_bands_without_any_value_are_named_unless_none_has_one(empty: tuple[int, ...], named: str) -> None:
    values = np.ones((3, 8, 8), np.float32)
    values[list(empty)] = np.nan
    found = _empty_bands(Layer.open(values))
    assert bool(found) == bool(named)
    assert named in found


def test_graphs_of_others_are_computed_by_one_thread_unless_more_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def session(_: Any, threads: int, **flags: bool) -> Any:
        asked.append((threads, *flags.values()))
        return SimpleNamespace(run=lambda outputs, feeds: [7])

    monkeypatch.setattr(onnx_graph, "_session", session)
    graph = onnx_graph.OnnxGraph(b"", "a.onnx")
    graph.session()
    graph.compute(["out"], {})
    graph.compute(["out"], {}, 3, exact=True, keep_memory=True)
    assert asked == [(1, False, False), (1, False, False), (3, True, True)]
