"""The verbs `datasets` and `models`: lists, cards, styles."""

import json
import re

import pytest

from deepnets4eo.cards import CardKind, Legend, ShippedModel, model_path
from deepnets4eo.cli.main import main
from deepnets4eo.segmenters import list_models


def test_datasets_are_listed_with_their_titles(capsys):
    assert main(["datasets"]) == 0
    out = capsys.readouterr().out
    assert re.search("^isprs_vaihingen +ISPRS 2D semantic labelling, Vaihingen", out, re.MULTILINE)


def test_a_card_is_shown_as_it_is_written_or_as_json(capsys):
    assert main(["datasets", "xbd"]) == 0
    assert capsys.readouterr().out == CardKind.DATASET.path("xbd").read_text(encoding="utf-8")
    assert main(["datasets", "xbd", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["legend"] == "xbd-targets"


def test_legends_are_listed_shown_and_given_as_style(capsys):
    assert main(["datasets", "--legends", "--json", "-"]) == 0
    assert sorted(json.loads(capsys.readouterr().out)) == Legend.available()
    assert main(["datasets", "--legends", "isprs", "--json", "-"]) == 0
    assert Legend.from_dict(json.loads(capsys.readouterr().out)) == Legend.load("isprs")
    assert main(["datasets", "--qml", "isprs"]) == 0
    assert capsys.readouterr().out == Legend.load("isprs").qml()


def test_an_unknown_card_is_refused(capsys):
    assert main(["datasets", "xdb"]) == 2
    assert "Did you mean 'xbd'" in capsys.readouterr().err
    assert main(["datasets", "--qml"]) == 2
    assert "needs the name of a legend" in capsys.readouterr().err


def listing(recipes, networks):
    """The names that `models` prints, without what it says of each."""
    return ["recipes:", *(f"  {name}" for name in recipes), "networks:", *(f"  {name}" for name in networks)]


def listed(text):
    """The names in the lines of `models`."""
    return [line if line.endswith(":") else f"  {line.split()[0]}" for line in text.splitlines()]


def test_models_lists_recipes_and_networks_by_wildcard(capsys):
    assert main(["models"]) == 0
    assert listed(capsys.readouterr().out) == listing(ShippedModel.names(), list_models())
    assert main(["models", "segnet*"]) == 0
    found = capsys.readouterr().out
    assert listed(found) == listing([name for name in ShippedModel.names() if name.startswith("segnet")], ["segnet"])
    assert "  none" not in found.splitlines()
    assert main(["models", "dpt"]) == 0
    assert listed(capsys.readouterr().out) == listing(["none"], ["dpt"])
    assert main(["models", "unet*", "--json", "-"]) == 0
    assert "unet" in json.loads(capsys.readouterr().out)["networks"]
    assert main(["models", "unett"]) == 2
    assert "Did you mean 'unet'" in capsys.readouterr().err
    assert main(["models", "qqqqqq"]) == 2
    assert 'No recipe or network has a name like "qqqqqq". "deepnets4eo models" lists all.' in capsys.readouterr().err


def test_the_full_name_of_a_recipe_shows_its_folder_and_card(capsys):
    name = ShippedModel.names()[0]
    folder = model_path(name)
    assert main(["models", name]) == 0
    card = re.sub(r"<!--[^\n]*?-->", "", (folder / "card.md").read_text(encoding="utf-8"))  # names of figures
    assert capsys.readouterr().out == f"{folder}\n{card.rstrip()}\n"
    assert main(["models", name, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["recipes"] == [name]


def test_a_recipe_without_a_card_is_shown_as_such(capsys, tmp_path, monkeypatch):
    (tmp_path / "recipe.yaml").write_text("")
    monkeypatch.setattr(ShippedModel, "names", staticmethod(lambda: ["bare"]))
    monkeypatch.setattr(ShippedModel, "folder", tmp_path)
    assert main(["models", "bare"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}\nIt has no card.md.\n"


def test_models_say_what_each_is_and_which_come_with_weights(capsys) -> None:
    assert main(["models", "*", "--json", "-"]) == 0
    about = {one["name"]: one for one in json.loads(capsys.readouterr().out)["models"]}
    assert all(one["about"] for one in about.values())
    trained = {name for name, one in about.items() if one["weights"]}
    assert {"buildings", "landcover", "eurosat", "damage-network", "damage-evidence"} <= trained
    assert not {"segnet", "baselines/som"} & trained
    assert main(["models", "b*"]) == 0
    shown = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")}
    assert shown["buildings"].endswith("  with weights  Buildings of one image")
    assert "with weights" not in shown["baselines/som"]
    assert shown["baselines/som"].endswith("boat detector.")


def test_every_decoder_of_smp_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    assert main(["models"]) == 0
    assert set(smp.MODEL_ARCHITECTURES_MAPPING) <= {line.strip() for line in capsys.readouterr().out.splitlines()}
