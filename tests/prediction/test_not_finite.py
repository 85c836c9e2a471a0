"""Scores that are no numbers are void and counted, never class 0; weights that are no numbers are refused."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from geotiff import write_geotiff
from refusals import raises_naming
from safetensors.torch import load_file, save_file

from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.cli.main import main
from deepnets4eo.errors import RunError
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter, ProbabilitySegmenter, RunFolder, load_run
from deepnets4eo.segmenters.checksums import SIGNATURE, seal
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import NOT_FINITE, Tiling, best_class

LEGEND = Legend("two", (LegendClass(0, "water", (0, 0, 255)), LegendClass(3, "grass", (0, 255, 0))))
INPUTS = InputSpec({"image": LayerInput(("red",), (0.0,), (1.0,), 0.0, 255.0)})
BAD = (slice(20, 33), slice(40, 70))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("classes", [1, 2, 5])
def test_the_best_class_of_scores_that_are_no_numbers_is_none(bad: float, classes: int) -> None:
    scores = np.random.default_rng(0).normal(size=(classes, 40, 9)).astype(np.float32)
    expected = scores.argmax(axis=0)
    for number in range(classes):
        scores[number, number, 3] = bad
    for laid_out in (scores, np.ascontiguousarray(scores.transpose(1, 2, 0)).transpose(2, 0, 1)):
        found = best_class(laid_out)
        assert (found[range(classes), [3] * classes] == NOT_FINITE).all()
        finite = np.isfinite(scores).all(axis=0)
        np.testing.assert_array_equal(found[finite], expected[finite])


class Divided(ProbabilitySegmenter):
    """Scores that are 0 / 0 where the image has the value 7."""

    kind, only_float32 = "divided", True

    def __init__(self) -> None:
        self.inputs, self.legend, self.tiling = INPUTS, LEGEND, Tiling(64, 4)

    def to(self, compute: object) -> None:
        """Compute on the processor."""

    def describe(self) -> dict[str, object]:
        return {}

    def predict_proba(self, batch: np.ndarray, *, margin_px: int = 0) -> np.ndarray:
        inner = batch[:, 0, margin_px : batch.shape[2] - margin_px, margin_px : batch.shape[3] - margin_px]
        with np.errstate(invalid="ignore"):
            share = np.where(inner == 7, np.float32(np.nan), (inner > 100).astype(np.float32))
        return np.stack([1 - share, share], axis=1)


@pytest.mark.parametrize("options", [{}, {"overlap_px": 8}, {"probabilities": "p.tif", "entropy": "e.tif"}])
def test_pixels_without_finite_scores_are_void_in_every_product_and_counted(
    tmp_path: Path, options: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    image = np.random.default_rng(0).integers(8, 250, (1, 100, 130), dtype=np.uint8)
    image[:, *BAD] = 7
    source = write_geotiff(tmp_path / "image.tif", image, crs="EPSG:32615", origin=(0, 100))
    further = {name: tmp_path / value if isinstance(value, str) else value for name, value in options.items()}
    work = PredictOptions(block_px=32, **further)  # type: ignore[arg-type]
    result = predict(Divided(), str(source), tmp_path / "labels.tif", work)
    assert result.not_finite == 13 * 30
    assert "390 pixels are void" in caplog.text
    assert "390 pixels are void" in result.headline()
    void = np.zeros((100, 130), bool)
    void[BAD] = True
    for path in result.paths.values():
        with rasterio.open(path) as raster:
            for band in raster.read():
                np.testing.assert_array_equal(band == 255, void)
    with rasterio.open(tmp_path / "labels.tif") as raster:
        np.testing.assert_array_equal(raster.read(1)[~void], np.where(image[0] > 100, 3, 0)[~void])


def damaged_run(folder: Path) -> Path:
    """A sealed run, one of whose weights is NaN."""
    network = {"name": "light-unet"}
    run = save_run(NetworkSegmenter(network, INPUTS, LEGEND), folder)
    files = RunFolder(run)
    weights = load_file(files.weights)
    name = next(name for name, tensor in weights.items() if tensor.ndim == 4)
    weights[name].view(-1)[3] = torch.nan
    save_file(weights, files.weights)
    card = load_card(files)
    seal(run, card, card.pop("files"))
    return run


def load_card(files: RunFolder) -> dict[str, object]:
    from deepnets4eo.files import read_json

    card = read_json(files.card)
    return {name: value for name, value in card.items() if name not in ("format", "format_version", SIGNATURE)}


@pytest.mark.core("a network is built")
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = damaged_run(tmp_path / "run")
    with raises_naming(RunError, "weights.safetensors", "not finite"):
        load_run(run)
    image = write_geotiff(tmp_path / "image.tif", np.ones((1, 64, 64), np.uint8), crs="EPSG:32615", origin=(0, 64))
    assert main(["predict", str(run), str(image), "--out", str(tmp_path / "labels.tif")]) == 2
    assert "not finite" in capsys.readouterr().err
    assert not (tmp_path / "labels.tif").exists()
