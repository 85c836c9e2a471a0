"""The published sliding window to the letter: uniform sums of log-probabilities over all distinct windows."""

import numpy as np
import pytest
import torch
from geotiff import write_geotiff

from deepnets4eo.cards import Legend
from deepnets4eo.prediction import PredictOptions, describe, predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter, load_run
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Tiling

LEGEND, SIDE, STRIDE = Legend.load("isprs"), 32, 8
PUBLISHED = Tiling(SIDE, 0, SIDE - STRIDE, "log-probabilities", "uniform")


@pytest.fixture(scope="module")
def segmenter() -> NetworkSegmenter:
    torch.manual_seed(0)
    image = np.random.default_rng(0).integers(0, 255, (3, 64, 64)).astype(np.uint8)
    inputs = InputSpec.measure([Scene.open(image=image)])
    return NetworkSegmenter({"name": "segnet", "width": 2}, inputs, LEGEND, tiling=PUBLISHED)


def sums_by_loop(segmenter: NetworkSegmenter, image: np.ndarray) -> np.ndarray:
    """(K, H, W): log-probabilities of every distinct window, added one window after the other."""
    prepared = segmenter.inputs.prepare({"image": image.astype(np.float32), "valid": np.ones(image.shape[1:], bool)})
    total = np.zeros((LEGEND.num_classes, *image.shape[1:]))
    rows, cols = (sorted({min(at, side - SIDE) for at in range(0, side, STRIDE)}) for side in image.shape[1:])
    with torch.inference_mode():
        for row in rows:
            for col in cols:
                window = torch.from_numpy(prepared[None, :, row : row + SIDE, col : col + SIDE])
                scores = segmenter.module.eval()(window).log_softmax(dim=1)[0].numpy()
                total[:, row : row + SIDE, col : col + SIDE] += scores
    return total


@pytest.mark.parametrize(("shape", "strip_px"), [((75, 61), 24), ((32, 45), None)])
def test_labels_are_those_of_a_loop_over_the_windows(segmenter, tmp_path, shape, strip_px):
    image = np.random.default_rng(1).integers(1, 255, (3, *shape)).astype(np.uint8)
    path = write_geotiff(tmp_path / "image.tif", image)
    options = PredictOptions(
        probabilities=tmp_path / "p.tif", device="cpu", precision="float32", threads=1, block_px=16, strip_px=strip_px
    )
    predict(segmenter, str(path), tmp_path / "labels.tif", options)
    total = sums_by_loop(segmenter, image)
    first, second = np.sort(total, axis=0)[-1], np.sort(total, axis=0)[-2]
    clear = first - second > 1e-3  # an untrained network scores some pixels alike
    assert clear.mean() > 0.4
    labels = Layer.open(tmp_path / "labels.tif").read()[0][0]
    assert np.array_equal(labels[clear], np.asarray(LEGEND.values)[total.argmax(axis=0)][clear])


def test_the_tiling_travels_with_the_run_and_can_be_chosen_anew(segmenter, tmp_path):
    run = load_run(save_run(segmenter, tmp_path / "run", recipe={}, seed=0, notes={}))
    assert run.tiling == PUBLISHED
    scene = Scene.open(image=np.ones((3, 50, 50), np.uint8))
    assert "uniform, step 8 px" in describe(run, scene, PredictOptions())
    assert "hann, step 8 px" in describe(run, scene, PredictOptions(blending="hann"))
    assert "crop, step 32 px" in describe(run, scene, PredictOptions(blending="hann", overlap_px=0))
