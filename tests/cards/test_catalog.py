"""The catalog finds cards and recipes, in a checkout and in an installed package, and dataset cards hold together."""

from pathlib import Path

import pytest
from refusals import raises_naming

from deepnets4eo.baselines.rules import RuleTable
from deepnets4eo.cards import (
    CardKind,
    DatasetCard,
    Legend,
    ShippedModel,
    load_protocol,
    model_path,
    recipe_path,
    run_path,
)
from deepnets4eo.damage.decision.decision import DecisionModel
from deepnets4eo.damage.decision.model import DamageModel
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_yaml, write_yaml
from deepnets4eo.segmenters import is_local, shipped_run


def test_the_cards_of_the_toolbox_are_found():
    assert {"isprs", "isprs-torchgeo", "isprs-mmseg", "isprs-delta", "dfc2015", "xbd", "bright", "cems_damage",
            "unosat_damage", "asprs_las", "minicity"} <= set(CardKind.LEGEND.names)  # fmt: skip
    assert {"isprs_vaihingen", "isprs_potsdam", "dfc2015", "xbd", "bright", "minicity"} <= set(CardKind.DATASET.names)
    assert CardKind.DATASET.path("xbd").is_file()
    assert CardKind.LEGEND.path("xbd").is_file()
    assert CardKind.DATASET.path("xbd") != CardKind.LEGEND.path("xbd")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package as a wheel installs it: cards inside, nothing beside."""
    package = tmp_path / "site-packages" / "deepnets4eo"
    for file in ("models/ready/card.md", "models/trainable/recipe.yaml", "models/notes.txt", "datasets/town.yaml",
                 "datasets/legends/plain.yaml"):  # fmt: skip
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).write_text("name: x\n")
    (package.parent / "datasets").mkdir()  # some other project's package of that name
    monkeypatch.setattr("deepnets4eo.cards.catalog.PACKAGE", package)
    return package


def test_an_installed_package_carries_its_cards(installed):
    assert ShippedModel.names() == ["ready", "trainable"]
    assert CardKind.DATASET.names == ["town"]
    assert CardKind.LEGEND.names == ["plain"]
    assert recipe_path("trainable") == installed / "models/trainable/recipe.yaml"
    assert model_path("ready") == installed / "models/ready"


def test_a_model_without_recipe_cannot_be_trained(installed):
    with raises_naming(InputError, "recipe.yaml"):
        recipe_path("ready")


def test_an_unknown_name_proposes_the_nearest(installed):
    with raises_naming(InputError, '"trainabel"', "'trainable'"):
        recipe_path("trainabel")
    with raises_naming(InputError, '"twon"', "'town'"):
        CardKind.DATASET.path("twon")
    with pytest.raises(InputError, match=r"Known: plain"):
        CardKind.LEGEND.path("zzz")


def test_a_path_that_exists_is_taken_as_it_is(installed, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("model: unet\n")
    assert recipe_path(recipe) == recipe
    assert CardKind.DATASET.path(recipe) == recipe
    (tmp_path / "run").mkdir()
    assert model_path(tmp_path / "run") == tmp_path / "run"
    with raises_naming(InputError, "absent.yaml"):
        CardKind.LEGEND.path(tmp_path / "absent.yaml")


@pytest.mark.parametrize("name", CardKind.DATASET.names)
def test_every_dataset_card_is_checked_and_refers_to_what_exists(name):
    card = DatasetCard.load(name)
    assert card.name == name
    assert card.source
    assert card.licence
    Legend.load(card.legend)
    for protocol in card.protocols.values():
        legend = Legend.load(protocol.legend)
        for ignored in protocol.ignored_classes:
            legend.index(ignored)
    for parts in card.splits.values():
        tiles = [tile for part in parts.values() for tile in part]
        assert len(tiles) == len(set(tiles)), "a tile is in two parts of one split"


def test_the_published_splits_have_their_sizes():
    vaihingen, potsdam = DatasetCard.load("isprs_vaihingen").splits, DatasetCard.load("isprs_potsdam").splits
    sizes = {name: [len(tiles) for tiles in parts.values()] for name, parts in (vaihingen | potsdam).items()}
    assert [len(tiles) for tiles in vaihingen["deepnetsforeo"].values()] == [12, 4]
    assert [len(tiles) for tiles in vaihingen["official"].values()] == [16, 17]
    assert sizes["deepnetsforeo-fold1"] == [19, 5]


def test_a_protocol_is_found_by_dataset_and_name():
    assert load_protocol("isprs_vaihingen/deepnetsforeo").reference == "eroded"
    with raises_naming(InputError, '"deepnetsforoe"', "'deepnetsforeo'"):
        load_protocol("isprs_vaihingen/deepnetsforoe")
    with raises_naming(InputError, "DATASET/PROTOCOL"):
        load_protocol("isprs_vaihingen")


def test_a_card_with_an_unknown_key_names_the_nearest(tmp_path):
    card = read_yaml(CardKind.DATASET.path("xbd"))
    with raises_naming(InputError, "'licence'"):
        DatasetCard.load(write_yaml(tmp_path / "card.yaml", card | {"licnce": "none"}))
    del card["licence"]
    with pytest.raises(InputError, match="licence: Field required"):
        DatasetCard.load(write_yaml(tmp_path / "card.yaml", card))


@pytest.mark.parametrize("name", CardKind.DATASET.names)
def test_published_scores_name_classes_and_protocols_of_their_card(name):
    card = DatasetCard.load(name)
    legend = Legend.load(card.legend)
    for scores in card.published.values():
        assert scores.protocol in card.protocols
        assert scores.source
        for by_class in (scores.f1, scores.iou):
            assert all(legend.names[legend.index(label)] == label for label in by_class)
            assert all(0 <= value <= 100 for value in by_class.values())
    for kind in card.checksums.values():
        assert kind.partition(":")[0] in {"md5", "sha256"}


def test_the_published_tables_are_those_of_the_papers():
    contest = DatasetCard.load("dfc2015").published
    assert list(contest)[:8] == [
        "Expert", "RGB/SVM", "RGBd/SVM", "RGBdI/SVM", "HOG32/SVM", "HOG16/SVM", "HSV/SVM", "HSVDGr/SVM",
    ]  # fmt: skip
    assert len(contest) == 16
    assert contest["DtMM"].f1 == {"car": 48.46}
    assert contest["SOM"].f1 == {"boat": 51.45}
    assert contest["RGBd+ VGG/SVM"].overall_accuracy == 76.56
    assert contest["RGBd+ trained AlexNet"].kappa == 0.78
    assert DatasetCard.load("isprs_potsdam").published["FuseNet RGB + OSM (binary)"].overall_accuracy == 92.3
    assert DatasetCard.load("isprs_vaihingen").published["FCN (DLR_2)"].f1["car"] == 76.3


def test_a_run_is_a_folder_or_a_model_by_its_name(tmp_path: Path) -> None:
    assert run_path(tmp_path) == tmp_path
    assert run_path("buildings").parts[-2:] == ("models", "buildings")
    assert run_path("runs/none") == Path("runs/none")


def test_a_folder_here_takes_the_place_of_nothing_that_is_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder `damage-network` in the current folder turned the network off without a word."""
    monkeypatch.chdir(tmp_path)
    shipped = {name: ShippedModel(name).folder for name in ("damage-network", "buildings", "baselines/hog-svm")}
    for name in (*shipped, "damage-evidence"):
        Path(name).mkdir(parents=True)
    Path("unet").write_text("data: {}\n", encoding="utf-8")
    Path("rules-ndsm.yaml").write_text("rules: []\n", encoding="utf-8")
    for name, folder in shipped.items():
        assert ShippedModel(name).folder == folder
        for find in (model_path, run_path, recipe_path):
            with pytest.raises(
                InputError, match=rf'"{name}" comes with the toolbox, and is in this folder as well.*\./{name}'
            ):
                find(name)
        assert run_path(f"./{name}") == model_path(f"./{name}") == Path(name)
    assert shipped_run("damage-network") == shipped["damage-network"]
    assert DamageModel.load().name == DecisionModel.load("damage-evidence").model.name == "damage-evidence"
    assert RuleTable.load() == RuleTable.load(ShippedModel("baselines/expert-rules").folder / "rules.yaml")
    with pytest.raises(InputError, match="comes with the toolbox, and is in this folder as well"):
        RuleTable.load("rules-ndsm.yaml")
    Path("imagenet").mkdir()
    assert not is_local("imagenet")
