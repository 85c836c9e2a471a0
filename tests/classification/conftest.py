"""Made-up patches of three classes and four bands, as files and as an archive."""

import json
from pathlib import Path

import numpy as np
import pytest
from geotiff import write_geotiff
from numpy.typing import NDArray

from deepnets4eo.training import TrainOptions, train_seeds

CLASSES = ("field", "forest", "water")
SIDE_PX, EACH = 16, 8
SMALL = {
    "task": "images",
    "data": {"val_share": 0.25, "test_share": 0.25, "windows_per_epoch": 16, "num_workers": 0},
    "model": {"network": "wide-resnet-eca", "options": {"stride_px": 8}},
    "train": {"epochs": 3, "batch_size": 8, "lr": 0.01, "warmup_share": 0.0},
}


def made_up_patches(
    each: int = EACH, side_px: int = SIDE_PX, seed: int = 0
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Patches (N, 4, P, P) whose class shows in the means of bands and in stripes; SYNTHETIC."""
    rng = np.random.default_rng(seed)
    means = np.array([[900, 1200, 1500, 2600], [500, 700, 500, 3200], [700, 600, 300, 150]])
    labels = np.repeat(np.arange(len(CLASSES)), each)
    noise = rng.normal(0, 120, (len(labels), 4, side_px, side_px))
    images = means[labels][:, :, None, None] * rng.uniform(0.8, 1.2, (len(labels), 1, 1, 1)) + noise
    images[labels == 0, :, ::4] += 300
    return images.clip(1, 10_000).astype(np.uint16), labels


@pytest.fixture(scope="session")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a class, of GeoTIFF patches."""
    folder = tmp_path_factory.mktemp("patches")
    for number, (image, label) in enumerate(zip(*made_up_patches(), strict=True)):
        place = 500_000 + 10 * SIDE_PX * number, 5_000_000
        write_geotiff(folder / CLASSES[label] / f"{number}.tif", image, gsd=10, origin=place)
    return folder


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same patches as images and labels of an .npz file; a third without labels."""
    images, labels = made_up_patches()
    path = tmp_path_factory.mktemp("archive") / "patches.npz"
    np.savez(path, images=images, labels=np.where(np.arange(len(labels)) % 3, labels, -1))
    return path


@pytest.fixture(scope="session")
def run(patches: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "recipe.yaml").write_text(json.dumps(SMALL), encoding="utf-8")
    train_seeds(folder / "recipe.yaml", folder / "runs", 2, data=patches, options=TrainOptions(device="cpu"))
    return folder / "runs" / "seed-0"
