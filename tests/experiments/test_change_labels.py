"""Labels of change that the experiments make wrong: of masks whose change is 255 they are as wrong as of labels of 0 and 1."""

from pathlib import Path

import gad_cleansing
import numpy as np
import pytest
from change_pairs import change_labels, everything_changed
from geotiff import write_geotiff
from PIL import Image

from deepnets4eo.rasters import Layer


@pytest.fixture
def truth() -> np.ndarray:
    labels = np.zeros((96, 128), np.uint8)
    for row in range(0, 96, 24):
        labels[row : row + 10, 20:60] = 1
    return labels


def test_a_mask_of_255_is_read_and_made_wrong_as_labels_of_1_are(truth: np.ndarray, tmp_path: Path) -> None:
    mask, labels = tmp_path / "mask.png", tmp_path / "labels.tif"
    Image.fromarray(255 * truth).save(mask)
    write_geotiff(labels, truth)
    noisy = {}
    for stored, path in (("change-mask", mask), ("change", labels)):
        assert np.array_equal(change_labels(str(path), stored), truth)
        scenes = gad_cleansing.with_noise({"a": {"labels": str(path)}}, 0.25, 0, tmp_path / stored, stored=stored)
        noisy[stored] = Layer.open(scenes["a"]["labels"], labels=True).read()[0][0]
        zero = everything_changed({"a": {"labels": str(path)}}, stored=stored)
        assert zero.scores["iou"] == pytest.approx(100 * truth.mean())
    assert np.array_equal(noisy["change-mask"], noisy["change"])
    assert set(np.unique(noisy["change"])) == {0, 1}
    assert (truth[noisy["change"] == 1] == 0).sum() == pytest.approx(0.25 * truth.sum(), rel=0.5)
    assert (truth[noisy["change"] == 0] == 1).sum() == pytest.approx(0.25 * truth.sum(), rel=0.01)
