"""Runs in the layout of Hugging Face and back."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from refusals import raises_naming
from sklearn.linear_model import LogisticRegression

from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.cards import Legend
from deepnets4eo.errors import OutputError, RunError
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter, load_run, save_hub_folder
from deepnets4eo.segmenters.run import save_run

IMAGE = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
LEGEND = Legend.load("isprs")
INPUTS = InputSpec.measure([Scene.open(image=IMAGE)])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    segmenter = NetworkSegmenter({"name": "segnet", "width": 2}, INPUTS, LEGEND)
    return save_run(segmenter, tmp_path / "run", recipe={"train": {"epochs": 3}}, seed=7, notes={"synthetic": True})


HUB = [
    "README.md", "card.json", "config.json", "item.json", "legend.yaml", "model.safetensors", "recipe.yaml",
]  # fmt: skip


def test_a_folder_of_hugging_face_is_a_run_that_predicts_the_same(saved: Path, tmp_path: Path) -> None:
    hub = save_hub_folder(saved, tmp_path / "hub")
    assert sorted(path.name for path in hub.iterdir()) == HUB
    before, after = load_run(saved), load_run(hub)
    assert (after.recipe, after.inputs, after.tiling, after.legend) == (before.recipe, INPUTS, before.tiling, LEGEND)
    assert after.card | {"files": None} == before.card | {"files": None}
    batch = IMAGE[None].astype(np.float32)
    assert np.array_equal(after.segmenter.predict_proba(batch), before.segmenter.predict_proba(batch))
    again = save_hub_folder(hub, tmp_path / "again")  # what is downloaded can be written anew
    assert (again / "model.safetensors").read_bytes() == (saved / "weights.safetensors").read_bytes()
    assert load_run(again).card == after.card
    (hub / "README.md").write_text("---\nlicense: mit\n---\n")  # as people will edit it
    assert load_run(hub).legend == LEGEND


def test_hugging_faces_own_library_reads_the_folder(saved: Path, tmp_path: Path) -> None:
    library = pytest.importorskip("huggingface_hub")
    hub = save_hub_folder(saved, tmp_path / "hub")
    card = library.ModelCard.load(hub / "README.md")
    assert (card.data.library_name, card.data.pipeline_tag) == ("deepnets4eo", "image-segmentation")
    assert "SYNTHETIC" in card.text
    assert all(name in card.text for name in LEGEND.names)
    assert 'mirrored, the edge pixel not repeated (numpy.pad, mode="reflect", 32 px' in card.text
    tensors = library.load_state_dict_from_file(str(hub / "model.safetensors"))
    assert tensors.keys() == load_run(saved).segmenter.module.state_dict().keys()
    config = json.loads((hub / "config.json").read_text())
    assert (config["architectures"], config["id2label"]["0"]) == (["segnet"], LEGEND.names[0])


def test_names_of_classes_are_those_of_the_channels_whatever_the_label_values(tmp_path: Path) -> None:
    classes = [
        {"value": 5 - k, "name": name, "color": [9 * k + 9] * 3} for k, name in enumerate(("field", "wood", "town"))
    ]
    legend = Legend.from_dict({"name": "three", "classes": classes})
    run = save_run(NetworkSegmenter({"name": "segnet", "width": 2}, INPUTS, legend), tmp_path / "run")
    hub = save_hub_folder(run, tmp_path / "hub")
    config, item = (json.loads((hub / name).read_text()) for name in ("config.json", "item.json"))
    assert config["id2label"] == {str(channel): name for channel, name in enumerate(legend.names)}
    assert config["label2id"] == {name: channel for channel, name in enumerate(legend.names)}
    assert config["label_values"] == list(legend.values)
    listed = item["properties"]["mlm:output"][0]["classification:classes"]
    assert [(entry["value"], entry["title"]) for entry in listed] == list(enumerate(legend.names))


def test_what_is_refused_leaves_no_folder(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = save_hub_folder(load_run(saved), tmp_path / "hub")
    with raises_naming(OutputError, "--overwrite"):
        save_hub_folder(saved, hub)
    save_hub_folder(saved, hub, overwrite=True)
    with pytest.raises(OutputError, match="is read by this job"):
        save_hub_folder(saved, saved, overwrite=True)
    monkeypatch.setattr("deepnets4eo.segmenters.hub._stac_item", lambda run, sha256: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_hub_folder(saved, tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub", "run"]
    (hub / "model.safetensors").write_bytes((hub / "model.safetensors").read_bytes()[:-1])
    with raises_naming(RunError, "model.safetensors"):
        load_run(hub)


def test_a_forest_has_no_such_layout(tmp_path: Path) -> None:
    labels = np.random.default_rng(1).integers(0, 3, (32, 32), dtype=np.uint8)
    classifier = PixelClassifier(LogisticRegression(), INPUTS, LEGEND).fit([Scene.open(image=IMAGE, labels=labels)])
    with raises_naming(RunError, "estimator.skops"):
        save_hub_folder(save_run(classifier, tmp_path / "forest"), tmp_path / "hub")


def test_a_folder_has_a_stac_item_of_the_model(saved: Path) -> None:
    hub = save_hub_folder(saved, saved.parent / "hub")
    item = json.loads((hub / "item.json").read_text())
    properties, model = item["properties"], item["assets"]["model"]
    assert (hub / model["href"]).is_file()
    (inputs,), (outputs,) = properties["mlm:input"], properties["mlm:output"]
    assert [band["name"] for band in model["bands"]] == inputs["bands"]
    assert "bands" not in properties  # refused by the schema of STAC 1.1
    assert (len(inputs["bands"]), outputs["tasks"]) == (3, ["semantic-segmentation"])
    assert outputs["result"]["shape"][1] == len(outputs["classification:classes"]) == LEGEND.num_classes
    assert [one["title"] for one in outputs["classification:classes"]] == list(LEGEND.names)
    assert all(re.fullmatch(r"[\w-]+", one["name"], re.ASCII) for one in outputs["classification:classes"])
    assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]", properties["mlm:name"])
