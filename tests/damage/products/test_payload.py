"""The packed buildings unpack to what went in: outlines to half a pixel, evidence to its rank."""

import base64
import gzip
import json

import numpy as np
import pytest
import shapely
import shapely.affinity
from hypothesis import given, strategies as st
from made_up_map import MEANING, make_grid, make_map

from deepnets4eo.damage import GRADES
from deepnets4eo.damage.products.report import _rank, encode, most_damaged_first
from deepnets4eo.outputs.map_page.page import UNITS_PER_PX, outlines


def rings_back(packed):
    """The rings, rebuilt with plain loops, in pixels."""
    steps = iter(zip(packed["dx"].tolist(), packed["dy"].tolist(), strict=True))
    starts = iter(zip(packed["x0"].tolist(), packed["y0"].tolist(), packed["sizes"].tolist(), strict=True))
    shapes = []
    for count in packed["rings"]:
        rings = []
        for _ in range(count):
            x, y, size = next(starts)
            ring = [(x, y)]
            for dx, dy in (next(steps) for _ in range(size - 1)):
                ring.append((ring[-1][0] + dx, ring[-1][1] + dy))
            rings.append(np.array(ring) / UNITS_PER_PX)
        shapes.append(rings)
    assert next(steps, None) is None
    assert next(starts, None) is None
    return shapes


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 700))
def test_outlines_come_back_within_a_pixel(seed, size_px):
    rng, grid = np.random.default_rng(seed), make_grid(1000)
    shapes = []
    for _ in range(5):
        hole = shapely.box(-0.2, -0.2, 0.2, 0.2)
        shape = shapely.affinity.rotate(shapely.box(-0.5, -0.4, 0.5, 0.4).difference(hole), rng.uniform(0, 90))
        shape = shapely.affinity.translate(
            shapely.affinity.scale(shape, size_px, size_px, origin=(0, 0)), *rng.uniform(-200, 1200, 2)
        )
        a = grid.affine
        shapes.append(shapely.affinity.affine_transform(shape, [a.a, a.b, a.d, a.e, a.c, a.f]))
    back = rings_back(outlines(np.array(shapes), grid))
    for shape, rings in zip(shapes, back, strict=True):
        wanted = [
            np.stack(~grid.affine * tuple(np.array(ring.coords).T), axis=1)
            for ring in (shape.exterior, *shape.interiors)
        ]
        assert len(rings) == len(wanted)
        for ring, truth in zip(rings, wanted, strict=True):
            distance = shapely.hausdorff_distance(shapely.LineString([*ring, ring[0]]), shapely.LineString(truth))
            assert distance <= np.sqrt(0.5), "a quarter pixel by row and column, twice where an edge was cut"


@pytest.mark.parametrize("side", [1e5, 1e9])
def test_an_outline_larger_than_the_image_is_cut_to_what_lies_around_it(side):
    grid = make_grid(64, epsg=None)
    house, road, giant, far = (
        shapely.affinity.affine_transform(shape, grid.affine.to_shapely())
        for shape in (
            shapely.box(10, 20, 30, 40),
            shapely.box(-side, 25, side, 26),
            shapely.box(-side, -side, side, side),
            shapely.box(side, side, side + 5, side + 5),
        )
    )
    packed, alone = outlines(np.array([house, giant, road, far]), grid), outlines(np.array([house]), grid)
    assert packed["rings"].tolist() == [1, 1, 1, int(side < 1e9)]
    assert packed["sizes"][0] == alone["sizes"][0]
    assert (packed["sizes"][1:3] < 1200).all()
    assert np.abs(packed["x0"][:3]).max() <= UNITS_PER_PX * (64 + 4096)


def test_outlines_packed_a_few_at_a_time_are_packed_the_same():
    damage_map = make_map(40)
    shapes, grid = damage_map.buildings.geometry.to_numpy(), make_grid(256)
    whole = outlines(shapes, grid)
    parts = outlines(shapes, grid, chunk=7)
    assert len(whole["rings"]) == len(shapes) > 7
    for name, column in whole.items():
        assert column.dtype == parts[name].dtype
        assert np.array_equal(column, parts[name])


def test_shapes_without_geometry_keep_their_place():
    parts = shapely.MultiPolygon([shapely.box(0, 0, 9, 9), shapely.box(20, 0, 29, 9)])
    shapes = np.array([shapely.box(1, 1, 5, 5), None, shapely.Polygon(), parts], dtype=object)
    packed = outlines(shapes, make_grid(64, epsg=None))
    assert packed["rings"].tolist() == [1, 0, 0, 2]
    assert [len(rings) for rings in rings_back(packed)] == [1, 0, 0, 2]


def unpack(payload):
    raw, found = gzip.decompress(base64.b64decode(payload.packed)), {}
    for name, kind, length in payload.directory:
        size = np.dtype(kind).itemsize * length
        found[name], raw = np.frombuffer(raw[:size], kind), raw[size:]
    assert raw == b""
    return found


def test_rows_come_most_probable_first_with_grades_and_probabilities():
    damage_map, grid = make_map(80), make_grid()
    payload = encode(damage_map, grid)
    columns, frame = unpack(payload), most_damaged_first(damage_map.buildings)
    prob = np.cumsum(columns["prob"], dtype=np.uint16)
    assessed = (frame["status"] == "assessed").to_numpy()
    np.testing.assert_allclose(prob[assessed] / 10_000, frame["damage_prob"][assessed], atol=5.1e-5)
    assert (prob[~assessed] == 65_535).all()
    assert (np.diff(prob[assessed].astype(int)) <= 0).all()
    assert [None if g == 4 else GRADES[g] for g in columns["class"]] == [
        g if isinstance(g, str) else None for g in frame["damage"]
    ]
    assert json.loads(gzip.decompress(base64.b64decode(payload.described["ids"]))) == frame["id"].tolist()


def test_centroids_come_back_and_are_unknown_where_there_is_no_shape():
    damage_map, grid = make_map(9), make_grid()
    damage_map.buildings.loc[damage_map.buildings.index[-1], "geometry"] = None
    columns, frame = unpack(encode(damage_map, grid)), most_damaged_first(damage_map.buildings)
    middle = frame.geometry.centroid
    col, row = ~grid.affine * (middle.x.to_numpy(), middle.y.to_numpy())
    np.testing.assert_allclose(columns["cx"], col, atol=1e-3)
    np.testing.assert_allclose(columns["cy"], row, atol=1e-3)
    assert np.isnan(columns["cx"]).sum() == 1


def test_evidence_is_recovered_from_its_rank():
    damage_map = make_map(200)
    damage_map.buildings.loc[damage_map.buildings.index[:5], "ev_texture"] = np.nan
    payload = encode(damage_map, make_grid())
    columns = unpack(payload)
    frame = most_damaged_first(damage_map.buildings)
    frame = frame[frame["status"] == "assessed"]
    assert [told["name"] for told in payload.described["evidence"]] == [*MEANING, "dx_px", "dy_px"]
    for told in payload.described["evidence"]:
        truth, stored = frame[told["name"]].to_numpy(), columns[f"rank:{told['name']}"]
        assert (np.isnan(truth) == (stored == 65_535)).all()
        rank = stored[stored < 65_535] / 65_534
        values = np.interp(rank, np.linspace(0, 1, len(told["knots"])), told["knots"])
        truth = truth[~np.isnan(truth)]
        np.testing.assert_allclose(values, truth, atol=1e-3 * np.ptp(truth))
        assert sum(told["histogram"]) == len(truth)


def test_the_same_map_packs_to_the_same_bytes():
    assert encode(make_map(), make_grid()) == encode(make_map(), make_grid())


@pytest.mark.parametrize("values", [[3.0, 3.0], [1.0, 1.0 + 2.0**-52], [0.0, 5e-324], [-1e-300, 1e-300]])
def test_values_that_hardly_differ_have_a_histogram_too(values: list[float]) -> None:
    _, told = _rank(np.array(values), np.zeros(2, np.uint8))
    assert sum(told["histogram"]) == 2
