"""Roofs found again beside their place, on made-up scenes whose places are known."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from made_up_evidence import gather

from deepnets4eo.damage.structure import roofs
from deepnets4eo.damage.structure.measures import _of_site
from deepnets4eo.damage.structure.roofs import Roof, agreements, lean_line
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.footprints import Footprints
from deepnets4eo.grid import Grid
from deepnets4eo.rasters import Layer

GSD_M, SIDE = 0.5, 512
GRID = Grid((SIDE, SIDE), Affine(GSD_M, 0, 500_000, 0, -GSD_M, 4_000_000), "EPSG:32615")
PLACES = [(row, col) for row in range(50, 450, 62) for col in range(50, 450, 62)]
HEIGHTS = np.random.default_rng(8).uniform(0.4, 1.0, len(PLACES))
LEAN = np.array([10.0, -16.0])  # rows and columns by which the highest roof stands beside its place
GONE = np.arange(len(PLACES)) % 7 == 3
PX = (20, 28)


@dataclass(frozen=True)
class Known:
    """A registration in the shape that `gather` reads: the ground lies right."""

    matrix: np.ndarray = field(default_factory=lambda: np.eye(2, 3))
    usable: bool = True


def image(*, lean: np.ndarray, gone: np.ndarray, sun: int) -> np.ndarray:
    """(3, H, W) uint8: roofs with tanks, heaters and clutter, each moved by its height times the lean; rubble where they are gone.
    sun : 1 or −1, the side that the light comes from."""
    rng = np.random.default_rng(11)
    ground = 110 + rng.normal(0, 5, (SIDE, SIDE))
    for number, (place, height) in enumerate(zip(PLACES, HEIGHTS, strict=True)):
        own = np.random.default_rng([21, number])
        roof = 150 + np.zeros(PX) + sun * 12 * np.sign(np.arange(PX[1]) - own.integers(8, 20))
        for _ in range(9):
            row, col = own.integers(1, PX[0] - 4), own.integers(1, PX[1] - 4)
            roof[row : row + 3, col : col + 3] += sun * own.choice([-45, 45])
        row, col = place
        if gone[number]:
            ground[row - 4 : row + PX[0] + 4, col - 4 : col + PX[1] + 4] = rng.uniform(40, 220, (PX[0] + 8, PX[1] + 8))
            continue
        row, col = np.round(place + lean * height).astype(int)
        ground[row : row + PX[0], col : col + PX[1]] = roof
    ground += np.random.default_rng(31 + sun).normal(0, 2, ground.shape)
    return np.clip(np.stack([ground, ground + 4, ground - 4]), 1, 255).astype(np.uint8)


def table(lean: np.ndarray) -> Buildings:
    before = image(lean=np.zeros(2), gone=np.zeros(len(PLACES), bool), sun=1)
    after = image(lean=lean, gone=GONE, sun=-1)
    shapes = [
        shapely.box(
            500_000 + col * GSD_M,
            4_000_000 - (row + PX[0]) * GSD_M,
            500_000 + (col + PX[1]) * GSD_M,
            4_000_000 - row * GSD_M,
        )
        for row, col in PLACES
    ]
    frame = gpd.GeoDataFrame({"id": [str(k) for k in range(len(shapes))]}, geometry=shapes, crs=GRID.crs.to_wkt())
    return gather(Layer.open(before, grid=GRID), Layer.open(after, grid=GRID), Footprints(frame), Known())


@pytest.fixture(scope="module")
def leaning() -> Buildings:
    return table(LEAN)


def test_roofs_are_found_where_a_leaning_view_shows_them(leaning: Buildings) -> None:
    expected = np.round(np.array(PLACES) + LEAN * HEIGHTS[:, None]) - PLACES
    found = leaning.frame[["dy_px", "dx_px"]].to_numpy()
    assert np.abs(found - expected)[~GONE].max() <= 1
    assert (leaning.displaced == (np.hypot(*found.T) * GSD_M > 3)).all()


def test_found_roofs_match_and_those_that_are_gone_do_not(leaning: Buildings) -> None:
    match = leaning.frame["ev_roof_match"].to_numpy()
    assert match[~GONE].min() > 1.3 * match[GONE].max()


def test_roofs_in_place_are_not_looked_for_beside_it() -> None:
    upright = table(np.zeros(2))
    assert upright.displaced is not None
    assert not upright.displaced.any()
    assert (upright.frame[["dx_px", "dy_px"]] == 0).all(axis=None)
    match = upright.frame["ev_roof_match"].to_numpy()
    assert match[~GONE].min() > 1.3 * match[GONE].max()


def test_agreement_is_the_normalised_product_at_every_place() -> None:
    rng = np.random.default_rng(4)
    around = (rng.normal(size=(14, 17)) + 1j * rng.normal(size=(14, 17))).astype(np.complex64)
    mask = (rng.random((8, 11)) > 0.3).astype(np.float32)
    pattern = around[2:10, 4:15] * mask
    found = next(agreements([Roof(pattern, mask, 0, 0)], [around]))
    for row in range(7):
        for col in range(7):
            there = around[row : row + 8, col : col + 11] * mask
            product = (there * pattern.conj()).real.sum()
            assert np.isclose(found[row, col], product / np.linalg.norm(there) / np.linalg.norm(pattern), atol=1e-4)
    assert np.isclose(found[2, 4], 1, atol=1e-4)


def test_places_are_looked_at_along_the_line_of_the_lean_and_near_no_lean() -> None:
    steps = np.random.default_rng(2).uniform(4, 18, 60)
    places = np.round(np.outer(steps, (0.6, 0.8))).astype(int)
    where = lean_line(places, 25, GSD_M)
    rows, cols = np.nonzero(where)
    beside = np.abs((rows - 25) * 0.8 - (cols - 25) * 0.6)
    assert where[25, 25]
    assert all(where[25 + row, 25 + col] for row, col in places)
    assert beside.max() < 8
    assert not where[25 - 12, 25 - 16]


def test_matches_are_measured_against_the_best_roofs_of_a_site() -> None:
    match = np.linspace(0.1, 0.6, 41)
    known = np.ones(41, bool)
    assert np.allclose(_of_site(match, known), match / np.quantile(match, 0.9))
    assert np.allclose(_of_site(match[:5], known[:5]), match[:5] / 0.7)
    assert np.allclose(_of_site(match / 10, known), match / 10 / 0.35)


def test_a_network_that_compares_one_place_has_no_say_of_displaced_roofs() -> None:
    frame = Buildings.not_assessed(np.array(["a", "b"], object), "").frame.assign(status="assessed", method="pre_post")
    evidence = Buildings(frame, {}, displaced=np.array([True, False]))
    probabilities = np.full((2, 4), 0.25)
    shown = evidence.with_network(probabilities, None, leaves_displaced=True).network
    assert np.isnan(shown).all(axis=1).tolist() == [True, False]
    np.testing.assert_array_equal(evidence.with_network(probabilities, None).network, probabilities)


@pytest.mark.parametrize(
    ("others", "beside", "low", "seen"),
    [(12, 12, 9, True), (11, 12, 9, False), (12, 11, 9, False), (12, 12, 48, False)],
)
def test_twelve_roofs_found_and_twelve_elsewhere_show_a_lean(
    others: int, beside: int, low: int, seen: bool, monkeypatch
) -> None:
    """Roofs found 5 m off, others in place, and some whose agreement is that of chance."""
    offsets = np.array([(6, -8)] * beside + [(0, 0)] * low + [(20, 20)] * 3)
    best = np.array([0.9] * (beside + low) + [0.2] * 3)
    elsewhere = np.linspace(0.0, 0.4, others)
    if not seen and low == 9:
        offsets, best = (values[[*range(beside), *range(-3, 0)]] for values in (offsets, best))
    monkeypatch.setattr(roofs, "_sample", lambda *_: (offsets, best, elsewhere))
    views: Any = SimpleNamespace(working_grid=SimpleNamespace(gsd_m=GSD_M))
    where, usual, chance = roofs._search(views, 25)
    assert (where is not None) == seen
    assert usual.tolist() == ([6, -8] if seen else [0, 0])
    assert chance == pytest.approx(0.38 if others >= 12 else 0.0)
