"""Labels by words with a tiny random CLIP: the same as open_clip's own computation, and what is refused."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import raises_naming
from safetensors.torch import load_file, save_file

from deepnets4eo.classification import classify_by_words, label_by_words, open_image_text_model
from deepnets4eo.classification.readers import ImageData, list_unlabelled
from deepnets4eo.errors import InputError

open_clip = pytest.importorskip("open_clip", reason='needs pip install "deepnets4eo[clip]"')

STRUCTURE = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
PREPARATION = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
CLASSES = {"forest": "trees", "river": "a river of brown water", "town": "houses"}


@pytest.fixture
def towers(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    folder = tmp_path / "clip"
    folder.mkdir()
    network = open_clip.CLIP(**STRUCTURE)
    save_file(dict(network.state_dict()), folder / "open_clip_model.safetensors")
    config = {"model_cfg": STRUCTURE, "preprocess_cfg": PREPARATION}
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def expected(towers: Path, pictures: Path, template: str) -> np.ndarray:
    """Probabilities as open_clip itself computes them from the same folder."""
    network, _, _ = open_clip.create_model_and_transforms(f"local-dir:{towers}")
    tokens = open_clip.get_tokenizer(f"local-dir:{towers}", context_length=20)
    images = np.stack([np.asarray(Image.open(path)) for path in sorted(pictures.glob("*.png"))]) / 255
    scaled = (images - PREPARATION["mean"]) / PREPARATION["std"]
    with torch.no_grad():
        seen = network.eval().encode_image(torch.tensor(scaled.transpose(0, 3, 1, 2), dtype=torch.float32))
        texts = network.encode_text(tokens([template.format(one) for one in CLASSES.values()]))
    seen, texts = (one.numpy() / np.linalg.norm(one.numpy(), axis=1, keepdims=True) for one in (seen, texts))
    powers = np.exp(seen @ texts.T / 0.07)
    return powers / powers.sum(axis=1, keepdims=True)


def test_probabilities_are_those_of_open_clip(towers: Path, pictures: Path) -> None:
    images = list_unlabelled(ImageData(folders=(str(pictures),)))
    template = "an aerial photo of {}."
    ours = classify_by_words(open_image_text_model(towers), images, CLASSES, templates=[template])
    np.testing.assert_allclose(ours, expected(towers, pictures, template), rtol=2e-3, atol=1e-4)
    assert len(np.unique(ours.round(4))) > 5


def test_several_sentences_count_by_the_mean_of_their_embeddings(towers: Path) -> None:
    model, templates = open_image_text_model(towers), ("a photo of {}.", "{} from above.")
    each = [model.text_features(["trees"], [one]) for one in templates]
    mean = sum(each) / 2
    torch.testing.assert_close(model.text_features(["trees"], templates), mean / mean.norm())


def test_images_are_labelled_in_a_table(towers: Path, pictures: Path, tmp_path: Path) -> None:
    model = open_image_text_model(towers)
    assert label_by_words(model, [pictures], CLASSES, tmp_path / "labels.csv") == 5
    with (tmp_path / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    images = list_unlabelled(ImageData(folders=(str(pictures),)))
    likeliest = classify_by_words(model, images, CLASSES).argmax(axis=1)
    assert [row["label"] for row in rows] == [list(CLASSES)[number] for number in likeliest]
    assert [float(row["probability"]) for row in rows] == [max(float(row[name]) for name in CLASSES) for row in rows]


def test_bands_are_found_by_name_and_reflectance_is_stretched(towers: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.uniform(0, 1, (4, 3, 40, 40))
    low, high = np.percentile(pixels[:, :, ::4, ::4].astype(np.float32), (1, 99))
    shown = np.round(255 * np.clip((pixels - low) / (high - low), 0, 1)).astype(np.uint8)
    stacked = np.stack([pixels[:, 2], np.zeros((4, 40, 40)), pixels[:, 0], pixels[:, 1]], axis=1)  # B02, B08, B04, B03
    np.savez(tmp_path / "reflectance.npz", images=np.round(stacked * 10_000).astype(np.uint16))
    np.savez(tmp_path / "shown.npz", images=shown)
    model, values = open_image_text_model(towers), []
    for name, bands in (("reflectance", ("B02", "B08", "B04", "B03")), ("shown", ("red", "green", "blue"))):
        images = list_unlabelled(ImageData(folders=(str(tmp_path / f"{name}.npz"),), file_bands=bands))
        values.append(classify_by_words(model, images, CLASSES))
    np.testing.assert_allclose(values[0], values[1], atol=0.02)


def _without(name: str) -> Any:
    def change(folder: Path) -> None:
        (folder / name).unlink()

    return change


def _other_words(folder: Path) -> None:
    config = {"model_cfg": STRUCTURE | {"text_cfg": {"hf_tokenizer_name": "bert"}}}
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")


def _other_network(folder: Path) -> None:
    tensors = load_file(folder / "open_clip_model.safetensors")
    del tensors["text_projection"]
    save_file(tensors, folder / "open_clip_model.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_without("open_clip_model.safetensors"), "has no open_clip_model.safetensors"),
        (_without("open_clip_config.json"), "has no open_clip_config.json"),
        (_other_words, "no CLIP with open_clip's own words"),
        (_other_network, "text_projection is missing"),
    ],
)
def test_folders_of_other_networks_are_refused(change: Any, words: str, towers: Path) -> None:
    change(towers)
    with pytest.raises(InputError, match=words):
        open_image_text_model(towers)


def test_images_without_colours_and_a_single_class_are_refused(towers: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "radar.npz", images=np.ones((2, 2, 16, 16), np.float32))
    images = list_unlabelled(ImageData(folders=(str(tmp_path / "radar.npz"),), file_bands=("VV", "VH")))
    model = open_image_text_model(towers)
    with raises_naming(InputError, "VV", "VH"):
        classify_by_words(model, images, CLASSES)
    with raises_naming(InputError, "1"):
        classify_by_words(model, images, ["trees"])
