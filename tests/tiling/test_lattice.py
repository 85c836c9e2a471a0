"""Geometry of the prediction lattice: coverage, weights, mirroring, and seamlessness for any tiling and scene."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.prediction import TileReader
from deepnets4eo.prediction.stitching import Blender, RowBuffer, Strip
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec, LayerInput
from deepnets4eo.tiling import Lattice, Tiling, mirror_window, reflect_indices
from deepnets4eo.tiling.lattice import BLENDING, hann_weights

AS_IS = LayerInput(("row", "col"), (0.0, 0.0), (1.0, 1.0), 0, 1, "float32")


@st.composite
def tilings(draw: st.DrawFn) -> Tiling:
    halo = draw(st.integers(0, 6))
    core = draw(st.integers(1, 24))
    overlap = draw(st.integers(0, core - 1))
    return Tiling(core + 2 * halo, halo, overlap, blending=draw(st.sampled_from(BLENDING)))


shapes = st.tuples(st.integers(1, 70), st.integers(1, 70))


@given(shapes, tilings())
def test_cores_cover_every_pixel_and_none_is_wasted(shape, tiling):
    lattice = Lattice(shape, tiling)
    cover = np.zeros(shape, int)
    for tile in lattice.tiles:
        inside = tile.core.clip(shape)
        assert inside.height > 0
        assert inside.width > 0
        cover[inside.slices] += 1
    assert cover.min() >= 1
    assert len({(tile.core.row, tile.core.col) for tile in lattice.tiles}) == len(lattice)
    if not tiling.blends:
        assert cover.max() == 1
    if lattice.rows > 1:  # without the last row, pixels would be missing
        assert (lattice.rows - 2) * tiling.stride_px + tiling.core_px < shape[0]


@given(shapes, tilings())
def test_all_tiles_have_one_shape(shape, tiling):
    assert {tile.window[2:] for tile in Lattice(shape, tiling).tiles} == {(tiling.tile_px, tiling.tile_px)}


@given(shapes, tilings(), st.lists(st.integers(0, 12), max_size=4))
def test_the_tiling_of_least_work_computes_the_fewest_pixels(shape, tiling, wider):
    sides = [tiling.tile_px + px for px in wider]
    chosen = tiling.least_work(shape, sides)
    work = {
        one: sum(tile.window.height * tile.window.width for tile in Lattice(shape, one).tiles)
        for one in (tiling, *(replace(tiling, tile_px=side) for side in sides))
    }
    assert work[chosen] == min(work.values())
    assert chosen == tiling or work[chosen] < work[tiling]


@given(shapes, tilings(), st.data())
def test_touching_tiles_are_those_whose_core_meets_the_range(shape, tiling, data):
    lattice = Lattice(shape, tiling)
    start = data.draw(st.integers(0, shape[1] - 1))
    stop = data.draw(st.integers(start + 1, shape[1]))
    brute = [
        col
        for col in range(lattice.cols)
        if (left := lattice.tile(0, col).core.col) < stop and left + tiling.core_px > start
    ]
    assert list(lattice.touching(start, stop, shape[1])) == brute


@given(shapes, tilings())
def test_weight_sums_equal_a_sum_over_all_tiles(shape, tiling):
    lattice = Lattice(shape, tiling)
    brute = np.zeros(lattice.cols * tiling.stride_px + tiling.core_px)
    for col in range(lattice.cols):
        left = lattice.tile(0, col).core.col
        brute[left : left + tiling.core_px] += tiling.core_weights()
    found = lattice.weight_sums(0, shape[1], shape[1])
    np.testing.assert_allclose(found, brute[: shape[1]], rtol=1e-5)
    assert found.min() > 0


@pytest.mark.parametrize(("stride_px", "rows", "cols"), [(32, 74, 53), (64, 38, 27), (128, 20, 14), (256, 11, 8)])
def test_uniform_windows_are_the_distinct_ones_of_the_published_sliding_window(stride_px, rows, cols):
    shape, side = (2566, 1893), 256
    lattice = Lattice(shape, Tiling(side, 0, side - stride_px, "log-probabilities", "uniform"))
    published = [sorted({min(at, length - side) for at in range(0, length, stride_px)}) for length in shape]
    assert (lattice.rows, lattice.cols) == (rows, cols)
    assert [lattice.tile(row, 0).core.row for row in range(rows)] == published[0]
    assert [lattice.tile(0, col).core.col for col in range(cols)] == published[1]
    assert all(tile.window == tile.window.clip(shape) for tile in lattice.tiles)


@given(st.integers(2, 60), st.integers(1, 29))
def test_ramps_of_two_neighbours_sum_to_one(core, overlap):
    overlap = min(overlap, core // 2)
    weights = hann_weights(Tiling(core, 0, overlap)).astype(float)
    np.testing.assert_allclose(weights[-overlap:] + weights[:overlap] if overlap else 1.0, 1.0, atol=1e-6)


@given(st.integers(1, 20), st.integers(0, 50), st.integers(1, 70))
def test_mirroring_is_numpys_reflection(length, before, size):
    axis = np.arange(length)
    mode = "reflect" if length > 1 else "edge"
    brute = np.pad(axis, (before, before + size), mode=mode)
    np.testing.assert_array_equal(reflect_indices(length, -before, size), brute[: before + size])


@given(shape=st.tuples(st.integers(1, 9), st.integers(1, 9)), before=st.tuples(st.integers(-12, 12), st.integers(-12, 12)),
       size=st.tuples(st.integers(1, 20), st.integers(1, 20)))  # fmt: skip
def test_a_window_anywhere_is_filled_by_reflection(shape, before, size):
    image = np.arange(2 * shape[0] * shape[1], dtype=np.float32).reshape(2, *shape)
    for axis, length in enumerate(shape, start=1):
        image = np.pad(
            image, [(50, 50) if k == axis else (0, 0) for k in range(3)], mode="reflect" if length > 1 else "edge"
        )
    expected = image[:, 50 + before[0] :, 50 + before[1] :][:, : size[0], : size[1]]
    inner = image[:, 50 : 50 + shape[0], 50 : 50 + shape[1]]
    np.testing.assert_array_equal(mirror_window(inner, Window(*before, *size)), expected)


@given(shapes, tilings(), st.integers(1, 70), st.integers(1, 30))
def test_coordinates_come_back_seamless(shape, tiling, strip_px, block_px):
    """A segmenter that returns its input's coordinates, for any tile, stride, halo, scene, strip and block."""
    rows, cols = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    lattice = Lattice(shape, tiling)
    reader = TileReader(Scene.open(image=np.stack([rows, cols])), InputSpec({"image": AS_IS}), lattice)
    stitched = np.full((2, *shape), np.nan, np.float32)
    written = np.zeros(shape, int)
    for start in range(0, shape[1], strip_px):
        stop = min(start + strip_px, shape[1])
        columns = lattice.touching(start, stop, shape[1])

        def emit(row, col, mean, start=start, stop=stop):
            left, right = max(col, start), min(col + mean.shape[2], stop)
            if left < right:
                stitched[:, row : row + mean.shape[1], left:right] = mean[:, :, left - col : right - col]
                written[row : row + mean.shape[1], left:right] += 1

        blender = Blender(lattice, columns, 2, emit)
        for segment in reader.read_ahead(range(lattice.rows), columns, 1):
            for read in segment:
                inner = slice(tiling.halo_px, tiling.halo_px + tiling.core_px)
                blender.add(read.tile, read.image[:, inner, inner])
    assert (written == 1).all()
    np.testing.assert_allclose(stitched, np.stack([rows, cols]), atol=2e-3)


@settings(deadline=None)
@given(shapes, tilings(), st.integers(1, 30), st.data())
def test_row_buffer_gives_every_row_once_in_whole_blocks(shape, tiling, block_px, data):
    lattice = Lattice(shape, tiling)
    first_row = data.draw(st.integers(0, (shape[0] - 1) // block_px)) * block_px
    picture = np.random.default_rng(0).integers(0, 255, (1, *shape), dtype=np.uint8)
    buffer = RowBuffer(1, Strip(0, shape[1], first_row, shape[0]), lattice, block_px)
    back = np.zeros_like(picture)
    for row in lattice.touching(first_row, shape[0], shape[0]):
        top, bottom = lattice.tile(row, 0).core.row, lattice.finished_rows(row)
        buffer.put(top, 0, picture[:, top:bottom])
        taken = buffer.take(bottom)
        if taken is not None:
            window, rows = taken
            assert window.row % block_px == 0
            assert (window.row + window.height) % block_px == 0 or window.row + window.height == shape[0]
            back[:, window.slices[0]] = rows
    np.testing.assert_array_equal(back[:, first_row:], picture[:, first_row:])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"halo_px": -1}, "tile_px=64 with halo_px=-1 leaves 66 pixels; the halo must be at least 0"),
        ({"halo_px": 32}, "tile_px=64 with halo_px=32 leaves 0 pixels"),
        ({"overlap_px": -1}, "overlap_px=-1 must be at least 0 and less than the 64 pixels"),
        ({"halo_px": 8, "overlap_px": 48}, "overlap_px=48 must be at least 0 and less than the 48 pixels"),
        ({"scores": "logits"}, "scores='logits' is unknown. Choose from "),
    ],
)
def test_impossible_tilings_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        Tiling(**{"tile_px": 64, "halo_px": 0} | wrong)


def test_a_tiling_comes_back_from_its_plain_values():
    tiling = Tiling(96, 8, 4, "raw")
    assert Tiling.from_dict(tiling.to_dict()) == tiling


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tile_px": "wide"}, "tile_px"),
        ({"tile_px": 64.5}, "tile_px"),
        ({"speed": 1}, "a tiling has no speed"),
        ({"tile_px": 32, "halo_px": 16}, "leaves 0 pixels"),
        ({"scores": "logits"}, "scores"),
        ([64, 8], "describes no tiling"),
        (None, "describes no tiling"),
    ],
)
def test_values_that_describe_no_tiling_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Tiling.from_dict(values)


def test_a_tile_beyond_any_memory_is_refused():
    assert Tiling(1 << 15, 0).tile_px == 1 << 15
    with pytest.raises(InputError, match="is more than any memory holds"):
        Tiling((1 << 15) + 1, 0)


def test_the_narrowest_core_and_the_widest_overlap_are_allowed():
    assert Tiling(65, 32).core_px == 1
    assert Tiling(64, 8, 47).stride_px == 1


@pytest.mark.parametrize("sides", ["half_sides", "similar_sides"])
@pytest.mark.parametrize(
    "tiling",
    [Tiling(960, 32, overlap_px=384), Tiling(512, 32, overlap_px=192), Tiling(768, 32), Tiling(260, 0, overlap_px=256), Tiling(256, 0, overlap_px=192)],
)  # fmt: skip
def test_the_side_with_the_least_work_leaves_more_than_the_overlap(tiling: Tiling, sides: str) -> None:
    chosen = tiling.least_work((1000, 700), getattr(tiling, sides))
    assert chosen.core_px > chosen.overlap_px
