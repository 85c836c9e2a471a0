"""The network is reached where the user asked for it: not by recipes, cards and runs of others."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from refusals import raises_naming

import deepnets4eo
from deepnets4eo.baselines import FrozenEncoder
from deepnets4eo.cards import DatasetCard, Legend
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import write_yaml
from deepnets4eo.formats import check_online, offline
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter, create_model, load_run, seal
from deepnets4eo.segmenters.downloads import allow_downloads
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.training import Recipe, Task, TrainOptions
from deepnets4eo.training.recipe import resolve

ADDRESSES = [
    "tu-hf-hub:timm/resnet18.a1_in1k",
    "tu-hf_hub:timm/resnet18",
    "tu-local-dir:/tmp/resnet",
    "hf-hub:timm/resnet18",
]
LEGEND = Legend.load("isprs")
INPUTS = InputSpec.measure([Scene({"image": Layer.open(np.zeros((3, 64, 64), np.uint8))})])


@pytest.mark.parametrize("encoder", ADDRESSES)
def test_encoders_from_hubs_and_folders_are_refused_by_name(encoder):
    with pytest.raises(InputError, match="unknown"):
        create_model("unet", in_channels=3, num_classes=2, encoder=encoder)
    with pytest.raises(InputError, match="unknown"):
        create_model("damage-network", in_channels=6, num_classes=2, encoder=encoder)
    with pytest.raises(InputError, match="unknown"):
        FrozenEncoder(encoder)


def test_an_encoder_of_timm_itself_is_built():
    assert create_model("unet", in_channels=3, num_classes=2, encoder="tu-resnet18")


def run_with(folder: Path, network: dict[str, object]) -> Path:
    """A sealed run whose card describes this network."""
    save_run(NetworkSegmenter({"name": "unet", "encoder": "resnet18"}, INPUTS, LEGEND), folder)
    card = json.loads((folder / "card.json").read_text())
    files = card.pop("files")
    card.pop("card_sha256")
    card["segmenter"]["network"] = {"in_channels": 3, "num_classes": 6, **network}
    seal(folder, card, files)
    return folder


@pytest.mark.parametrize(
    "network",
    [
        *({"name": "unet", "encoder": encoder} for encoder in ADDRESSES[:3]),
        {"name": "unet", "encoder": "resnet18", "encoder_weights": "imagenet"},
        {"name": "dual-stream", "network": "unet/resnet18", "streams": [2, 1], "options": {"weights": "imagenet"}},
        {"name": "dual-stream", "network": "segnet", "streams": [2, 1], "options": [{"weights": "imagenet"}, {}]},
        {"name": "smp-fusion", "streams": [2, 1], "encoder": ADDRESSES[0]},
    ],
)  # fmt: skip
def test_a_run_of_others_is_not_restored_through_the_network(tmp_path, network):
    """Whatever went online would fail the test by itself, see conftest."""
    folder = run_with(tmp_path / "run", network)
    with pytest.raises(RunError):
        load_run(folder)
    assert main(["check", str(folder)]) == 2


def test_weights_to_download_within_a_restored_run_are_refused_before_anything_is_fetched(tmp_path, monkeypatch):
    """A kind of segmenter that forgets to leave out the first weights stays offline all the same."""

    def restore(*_):
        create_model("unet", in_channels=3, num_classes=2, encoder="resnet18", weights="imagenet")

    folder = run_with(tmp_path / "run", {"name": "unet", "encoder": "resnet18"})
    monkeypatch.setattr(NetworkSegmenter, "restore", restore)
    with pytest.raises(RunError, match="from its own files alone"):
        load_run(folder)


@pytest.mark.parametrize(
    "build",
    [
        lambda: create_model("unet", in_channels=3, num_classes=2, encoder="resnet18", weights="imagenet"),
        lambda: create_model("segnet", in_channels=3, num_classes=2, width=4, weights="imagenet"),
        lambda: create_model("damage-network", in_channels=6, num_classes=2, weights="imagenet"),
        lambda: create_model("smp-fusion", in_channels=4, num_classes=2, streams=[3, 1], weights="imagenet"),
        lambda: create_model("dual-stream", in_channels=4, num_classes=2, streams=[3, 1], weights="imagenet"),
        lambda: FrozenEncoder("resnet18", weights="imagenet"),
    ],
)
def test_every_download_asks_first(build):
    with (
        offline("it was not asked for."),
        pytest.raises(InputError, match="would be downloaded, but it was not asked for"),
    ):
        build()


@pytest.mark.parametrize(
    "build",
    [
        lambda: create_model("unet", in_channels=3, num_classes=2, encoder="resnet18", weights="imagenet"),
        lambda: create_model("image-classifier", in_channels=3, num_classes=2, weights="imagenet"),
        lambda: create_model("segnet", in_channels=3, num_classes=2, width=4, weights="imagenet", head="multi-kernel"),
        lambda: FrozenEncoder("resnet18", weights="imagenet"),
    ],
)
def test_weights_are_downloaded_only_with_online(build):
    with pytest.raises(InputError, match="online=True"):
        build()
    with allow_downloads(online=False), pytest.raises(InputError, match="online=True"):
        build()


def test_online_allows_the_download_within_the_call_alone(monkeypatch):
    asked = []

    def download(repository, file):
        asked.append(repository)
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    for online in (True, False):
        with pytest.raises(InputError):
            create_model("segnet", in_channels=3, num_classes=2, width=4, weights="imagenet", online=online)
    assert asked == ["timm/vgg16_bn.tv_in1k"]


def test_encoders_are_built_where_they_are_checked_alone():
    """What builds encoders of smp or timm by itself would have to check their names as well."""
    package = Path(deepnets4eo.__file__).parent
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(
            r"^\s*(import|from) (segmentation_models_pytorch(?!\.decoders)|timm|huggingface_hub)",
            path.read_text(),
            re.MULTILINE,
        )
    }
    found -= {"training/losses.py"}  # losses alone
    assert "segmenters/networks.py" in found
    # classes of timm by their sizes: without a name there is nothing to download
    by_size = {"segmenters/encoder_files.py", "segmenters/dated_encoders.py"}
    assert not any("create_model(" in (package / name).read_text() for name in by_size)
    for name in found - by_size:
        text = (package / name).read_text()
        assert "check_encoder(" in text or "check_download(" in text, name


def test_a_recipe_goes_online_only_where_that_was_asked_for(tmp_path, monkeypatch):
    def train(recipe, out, options):
        check_online("a.tif")
        return out

    monkeypatch.setattr("deepnets4eo.training.job.load_task", lambda name: Task(train))
    recipe = resolve({"model": {"network": "unet"}}, kind=Recipe)
    with raises_naming(InputError, "a.tif", "--online"):
        deepnets4eo.train(recipe, tmp_path / "a")
    deepnets4eo.train(recipe, tmp_path / "b", options=TrainOptions(online=True))
    write_yaml(tmp_path / "recipe.yaml", {"model": {"network": "unet"}})
    command = ["train", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "c")]
    assert main(command) == 2
    assert main([*command, "--online"]) == 0


@pytest.mark.parametrize(
    "data",
    [
        {"layers": {"image": "/vsicurl/http://127.0.0.1:1/a.tif", "labels": "/vsicurl/http://127.0.0.1:1/b.tif"}},
        {"scenes": [{"image": "http://127.0.0.1:1/a.tif", "labels": "b.tif"}]},
    ],
)
def test_web_addresses_in_a_recipe_are_refused(tmp_path, data):
    values = {"model": {"network": "unet"}, "legend": "isprs", "data": data}
    with raises_naming(InputError, "127.0.0.1:1/a.tif"):
        deepnets4eo.train(resolve(values, kind=Recipe), tmp_path / "run", data=tmp_path)


@pytest.mark.parametrize(
    "pattern", ["/etc/*.tif", "../{id}.tif", "a/../../{id}.tif", "/vsicurl/http://a/{id}.tif", "http://a/{id}.tif"]
)
def test_a_dataset_card_leads_nowhere_but_below_its_folder(tmp_path, pattern):
    card = {"name": "a", "title": "a", "source": "a", "licence": "a", "legend": "isprs", "layout": {"image": pattern}}
    write_yaml(tmp_path / "card.yaml", card)
    with pytest.raises(InputError, match="leads out of the dataset's folder"):
        DatasetCard.load(tmp_path / "card.yaml")
