"""Pictures averaged out of what is read anyway."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from deepnets4eo.grid import Window, blocks
from deepnets4eo.rasters import Layer, PictureSource

SHAPE, STEP = (900, 1100), 2


@pytest.fixture
def image() -> np.ndarray:
    values = np.random.default_rng(0).integers(1, 4000, (4, *SHAPE)).astype(np.uint16)
    values[:, 100:200, 300:401] = 0
    return values


def watched(image: np.ndarray, **how: object) -> Layer:
    return Layer(PictureSource(Layer.open(image, nodata=0, **how), SHAPE[1] // STEP))  # type: ignore[arg-type]


def means(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By hand: the means of the valid pixels in squares of 2 × 2, of the three bands that are shown."""
    squares = image[:3].reshape(3, SHAPE[0] // STEP, STEP, SHAPE[1] // STEP, STEP).astype(float)
    counts = (squares[0] != 0).sum(axis=(1, 3))
    return squares.sum(axis=(2, 4)) / np.maximum(counts, 1), counts > 0


def test_a_picture_is_the_mean_of_what_was_read_and_reads_nothing_again(
    image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = watched(image)
    for window in reversed(blocks(SHAPE, 512)):
        layer.read(window)
    monkeypatch.setattr("deepnets4eo.rasters.warped_source.ArraySource.read_coarse", None)
    data, valid, grid = layer.subset([1, 2, 3]).thumbnail(SHAPE[1] // STEP)
    expected, seen = means(image)
    assert tuple(grid.shape) == valid.shape == seen.shape
    assert (valid == seen).all()
    assert np.abs(data - expected)[:, seen].max() <= 0.5
    assert not data[:, ~seen].any()


def test_the_windows_that_it_was_read_with_do_not_show(image: np.ndarray) -> None:
    pictures = []
    for side, halo in ((512, 0), (1024, 0), (512, 3)):
        layer = watched(image[:, :, :1001])
        for window in blocks(layer.shape, side):
            layer.read(window.grow(halo).clip(layer.shape))
        pictures.append(layer.subset([1, 2, 3]).thumbnail(SHAPE[1] // STEP)[:2])
    for data, valid in pictures[1:]:
        assert (data == pictures[0][0]).all()
        assert (valid == pictures[0][1]).all()


def test_what_was_not_read_whole_or_is_asked_otherwise_is_read_as_ever(image: np.ndarray) -> None:
    layer, plain = watched(image), Layer.open(image, nodata=0)
    layer.read(Window(0, 0, 512, 512))
    for bands, longest_px in (([1, 2, 3], 550), ([4], 550), ([1, 2, 3], 100)):
        data, valid, _ = layer.subset(bands).thumbnail(longest_px)
        expected, seen, _ = plain.subset(bands).thumbnail(longest_px)
        assert (data == expected).all()
        assert (valid == seen).all()


def test_another_process_gets_the_layer_without_its_picture(tmp_path: Path, image: np.ndarray) -> None:
    from deepnets4eo.rasters import CogWriter

    with CogWriter(tmp_path / "a.tif", Layer.open(image).grid, count=4, dtype="uint16", nodata=0) as writer:
        writer.write(Window(0, 0, *SHAPE), image)
    layer = Layer(PictureSource(Layer.open(tmp_path / "a.tif"), 550))
    sent = pickle.dumps(layer)
    assert len(sent) < 10_000
    assert (pickle.loads(sent).read()[0] == image).all()  # noqa: S301 - what was pickled above
