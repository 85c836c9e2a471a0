"""Scenes become samples of torchgeo, and datasets of torchgeo become files that recipes learn from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Scene
from deepnets4eo.training import SceneDataset, write_samples

LEGEND = Legend.from_dict(
    {"name": "two", "classes": [{"value": 7, "name": "field", "color": [1, 2, 3]}, {"value": 3, "name": "water", "color": [4, 5, 6]}]}
)  # fmt: skip


class Chips:
    """Three samples as torchgeo has them."""

    def __init__(self, **extra: Any) -> None:
        rng = np.random.default_rng(0)
        self.images = torch.from_numpy(rng.normal(size=(3, 2, 8, 10)).astype(np.float32))
        self.masks, self.extra = torch.from_numpy(rng.integers(0, 3, (3, 8, 10))), extra

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": self.images[index], "mask": self.masks[index], **self.extra}


class Labelled(Chips):
    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": self.images[index], "label": torch.tensor(index % 2)}


def scene() -> tuple[Scene, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    image, labels = rng.integers(1, 99, (2, 20, 30), np.uint8), rng.choice(np.array([7, 3, 255], np.uint8), (20, 30))
    return Scene.open(image=image, labels=labels), image, labels


def test_windows_hold_the_scene_with_class_indices_and_void_beyond_the_edge() -> None:
    opened, image, labels = scene()
    dataset = SceneDataset([opened, opened], LEGEND, tile_px=16)
    assert len(dataset) == 8
    batch = next(iter(torch.utils.data.DataLoader(dataset, batch_size=4)))  # type: ignore[arg-type]
    assert batch["image"].shape == (4, 2, 16, 16)
    mosaic = batch["image"].reshape(2, 2, 2, 16, 16).permute(2, 0, 3, 1, 4).reshape(2, 32, 32).numpy()
    np.testing.assert_array_equal(mosaic[:, :20, :30], image)
    assert not mosaic[:, 20:].any()
    mask = batch["mask"].reshape(2, 2, 16, 16).permute(0, 2, 1, 3).reshape(32, 32).numpy()
    assert mask.dtype == np.int64
    np.testing.assert_array_equal(mask[:20, :30], np.select([labels == 7, labels == 3], [0, 1], 255))
    assert (mask[20:] == 255).all()
    assert (mask[:, 30:] == 255).all()


def test_values_that_the_legend_lacks_are_refused_or_void_and_hide_no_image() -> None:
    opened, image, labels = scene()
    strange = np.where(labels == 7, np.uint8(9), labels)
    with_others = Scene.open(image=image, labels=strange)
    with raises_naming(InputError, 9, "void"):
        SceneDataset([with_others], LEGEND, tile_px=32)[0]
    sample = SceneDataset([with_others], LEGEND, tile_px=32, unknown="void")[0]
    np.testing.assert_array_equal(sample["mask"].numpy()[:20, :30], np.where(strange == 3, 1, 255))
    np.testing.assert_array_equal(sample["image"].numpy()[:, :20, :30], image)
    with raises_naming(InputError, "ignore"):
        SceneDataset([opened], LEGEND, unknown="ignore")  # type: ignore[arg-type]


def test_a_dataset_of_masks_becomes_scenes_and_back(tmp_path: Path) -> None:
    place = {"crs": "EPSG:32633", "bounds": (slice(500_000.0, 500_100.0, 10.0), slice(4_999_920.0, 5_000_000.0, 10.0))}
    chips = Chips(**place)
    scenes = write_samples(chips, tmp_path, legend=LEGEND, bands=["nir", "red"])
    assert [one["name"] for one in scenes] == ["000000", "000001", "000002"]
    opened = [Scene.open(image=one["image"], labels=one["labels"]) for one in scenes]
    assert opened[0].layers["image"].band_names == ["nir", "red"]
    assert tuple(opened[0].grid.affine)[:6] == (10, 0, 500_000, 0, -10, 5_000_000)
    back = SceneDataset(opened, LEGEND, tile_px=10)
    for number in range(3):
        torch.testing.assert_close(back[number]["image"][:, :8], chips.images[number])
        expected = torch.where(chips.masks[number] < 2, chips.masks[number], 255)
        torch.testing.assert_close(back[number]["mask"][:8], expected)


def test_a_dataset_of_labels_becomes_an_archive_that_images_are_listed_from(tmp_path: Path) -> None:
    from deepnets4eo.classification import list_images
    from deepnets4eo.classification.readers import ImageData

    chips = Labelled()
    archive = write_samples(chips, tmp_path)
    images, _ = list_images(ImageData(folders=(str(archive),), file_bands=("B08", "B04")), LEGEND)
    np.testing.assert_array_equal(images.targets.argmax(axis=1), [0, 1, 0])
    np.testing.assert_array_equal(images.read(2), chips.images[2])


def test_samples_without_what_is_needed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="masks need a legend"):
        write_samples(Chips(), tmp_path)
    with pytest.raises(InputError, match="a sample has nothing"):
        write_samples([{}], tmp_path)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no sample"):
        write_samples([], tmp_path)  # type: ignore[arg-type]


def test_torchgeo_learns_from_scenes_and_scenes_come_from_torchgeo(tmp_path: Path) -> None:
    datasets = pytest.importorskip("torchgeo.datasets", reason="needs pip install torchgeo")
    from torchgeo.samplers import GridGeoSampler
    from torchgeo.trainers import SemanticSegmentationTask

    opened, image, labels = scene()
    for folder, values in (("images", image), ("labels", np.where(labels == 7, 0, 1).astype(np.uint8)[None])):
        write_geotiff(
            tmp_path / folder / "tile_20200101.tif", values, gsd=10, origin=(500_000, 5_000_000), crs="EPSG:32633"
        )
    both = datasets.RasterDataset(tmp_path / "images") & type("Masks", (datasets.RasterDataset,), {"is_image": False})(
        tmp_path / "labels"
    )
    queries = list(GridGeoSampler(both, size=10, stride=10))
    written = write_samples([both[query] for query in queries], tmp_path / "written", legend=LEGEND)  # type: ignore[arg-type]
    mosaic = np.zeros((20, 30))
    for one in written:
        layer = Scene.open(image=one["image"], labels=one["labels"])
        column, row = (layer.grid.affine.c - 500_000) / 10, (5_000_000 - layer.grid.affine.f) / 10
        mosaic[int(row) : int(row) + 10, int(column) : int(column) + 10] = layer.read()["labels"]
    np.testing.assert_array_equal(mosaic, np.where(labels == 7, 7, 3))

    batch = next(iter(torch.utils.data.DataLoader(SceneDataset([opened], LEGEND, tile_px=64), batch_size=1)))  # type: ignore[arg-type]
    task = SemanticSegmentationTask("unet", "resnet18", in_channels=2, num_classes=2, ignore_index=255)
    loss = task.criterion(task(batch["image"]), batch["mask"])
    loss.backward()
    assert torch.isfinite(loss)
