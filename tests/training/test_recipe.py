"""Recipes: every key known, every error names key, value and the nearest key; hash and round trip."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, strategies as st
from pydantic import ValidationError
from refusals import raises_naming

from deepnets4eo.cards import ShippedModel, model_path
from deepnets4eo.errors import InputError
from deepnets4eo.training import Recipe, load_recipe
from deepnets4eo.training.recipe import read_recipe, resolve
from deepnets4eo.training.same_recipe import as_requested, differing_keys, recipe_identity, with_whole_paths


def make(*overrides: str, **values: object) -> Recipe:
    return resolve({"legend": "isprs", **values}, overrides, kind=Recipe)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", r"unknown key 'train.epoch'. Did you mean 'train.epochs'\?"),
        ("data.lr=3", r"unknown key 'data.lr'. Did you mean 'train.lr'\?"),
        ("datas.tile_px=64", r"unknown key 'datas'. Did you mean 'data'\?"),
        ("xyz=3", "Choose from task, data, legend, model, train, predict"),
        ("train.epochs=abc", "train.epochs is 'abc'. Input should be a valid integer"),
        ("train.epochs=0", "train.epochs is 0. Input should be greater than or equal to 1"),
        (
            "train.schedule=cosin",
            "train.schedule is 'cosin'. Input should be 'constant', 'step', 'exponential', 'poly', 'one_cycle', 'cosine' or 'plateau'",
        ),
        ("train.losses={hinge: 1}", "train.losses.hinge is 'hinge'. Input should be 'cross_entropy', 'dice'"),
        ("train.losses={dice: 0}", "train has losses .* one of them above"),
        ("train.epochs", "--set train.epochs is not of the form section.key=value"),
        ("train.a.b=3", "unknown key 'train.a'"),
        ("train.epochs.b=3", "train.epochs is .*Input should be a valid integer"),
        ("model.options.a.b=3", "is not of the form section.key=value"),
        ("legend.name=x", "legend is 'isprs', a single value without keys"),
        ("train.lr=[1", "is not a YAML value"),
    ],
)
def test_bad_overrides_say_what_was_expected(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(override)


def test_too_few_windows_for_a_batch_are_refused() -> None:
    with raises_naming(InputError, "windows_per_epoch", "4", "train.batch_size", "8"):
        make("model.network=unet", "data.windows_per_epoch=4")


def test_overrides_are_yaml_and_the_last_one_wins() -> None:
    recipe = make("train.epochs=5", "train.epochs=20", "train.lr=1e-3", "model.layers=[image, dsm]", "train.flips=no")
    assert (recipe.train.epochs, recipe.train.lr, recipe.train.flips) == (20, 1e-3, False)
    assert recipe.model.layers == ("image", "dsm")


def test_one_name_of_a_mapping_is_set_and_the_others_stay(caplog: pytest.LogCaptureFixture) -> None:
    model = {"options": {"head": "distance", "head_options": {"clip_px": 16}}}
    recipe = make("model.options.width=8", model=model)
    assert recipe.model.options == {"head": "distance", "head_options": {"clip_px": 16}, "width": 8}
    assert model["options"].keys() == {"head", "head_options"}
    assert not caplog.records


def test_what_a_mapping_loses_when_it_is_set_whole_is_said(caplog: pytest.LogCaptureFixture) -> None:
    recipe = make("model.options={width: 8}", model={"options": {"head": "distance", "width": 64}})
    assert recipe.model.options == {"width": 8}
    assert (
        "no longer set: head='distance'. To keep the rest, set one name: --set model.options.width=VALUE" in caplog.text
    )


def test_overrides_leave_the_given_mapping_alone() -> None:
    values = {"train": {"epochs": 3}}
    resolve(values, ["train.epochs=5"], kind=Recipe)
    assert values == {"train": {"epochs": 3}}


def test_a_run_holds_no_signature_of_an_address_and_resumes_with_another(tmp_path: Path) -> None:
    def signed(user: str, query: str, host: str = "example.org") -> Recipe:
        scene = {"name": "s", "image": f"https://{user}{host}/a.tif{query}", "labels": "s.tif"}
        return make(data={"scenes": [scene]})

    first, again = signed("me:word@", "?sig=abc"), signed("", "?sig=xyz")
    stored = first.save(tmp_path / "recipe.yaml").read_text(encoding="utf-8")
    assert not [secret for secret in ("word", "sig", "abc") if secret in stored]
    assert "https://example.org/a.tif" in stored
    assert stored.splitlines()[0].endswith(first.hash)
    assert first.data.scenes[0]["image"] == "https://me:word@example.org/a.tif?sig=abc"
    begun = resolve(read_recipe(tmp_path / "recipe.yaml"), kind=Recipe)
    assert begun.hash == first.hash == again.hash
    assert differing_keys(begun, again) == []
    assert differing_keys(begun, signed("", "?sig=abc", "example.com")) == ["data.scenes"]


def test_a_path_is_the_same_however_it_is_written_and_from_whichever_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("own.yaml", "a.tif", "b.tif"):
        (tmp_path / name).touch()
    (tmp_path / "first").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)

    def written(folder: str) -> Recipe:
        scene = {"name": "a.tif", "image": f"{folder}a.tif", "labels": f"{folder}b.tif"}
        model = {"network": "unet", "encoder_weights": f"{folder}first, {folder}own.yaml"}
        return with_whole_paths(make(legend=f"{folder}own.yaml", data={"scenes": [scene]}, model=model))

    monkeypatch.chdir(tmp_path)
    recipes = [written(folder) for folder in ("./", f"{tmp_path}/", "link/", "first/../")]
    monkeypatch.chdir(tmp_path / "first")
    recipes.append(written("../"))
    assert recipes[0].legend == str(tmp_path / "own.yaml")
    assert recipes[0].data.scenes[0]["name"] == "a.tif"
    assert all(differing_keys(recipes[0], other) == [] for other in recipes)
    assert len({recipe_identity(recipe) for recipe in recipes}) == 1
    (tmp_path / "first" / "own.yaml").touch()
    assert "legend" in differing_keys(recipes[0], written("./")), "another file of the same name"


def test_names_of_the_catalog_stay_though_a_folder_has_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("isprs", "imagenet"):
        (tmp_path / name).mkdir()
    recipe = make(legend="isprs", model={"encoder_weights": "imagenet"})
    assert with_whole_paths(recipe) == recipe


def test_values_that_the_data_choose_stay_as_requested() -> None:
    requested = make(data={"windows_per_epoch": 0, "buffer_px": None}, train={"batch_size": 4})
    chosen = make(data={"windows_per_epoch": 96, "buffer_px": 8}, train={"batch_size": 4})
    values, by_data = as_requested(chosen, requested)
    assert resolve(values, kind=Recipe) == requested
    assert by_data == {"data.windows_per_epoch": 96, "data.buffer_px": 8}
    assert as_requested(chosen, chosen) == (chosen.to_dict(), {})


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make().train.epochs = 3  # type: ignore[misc]


@given(st.integers(1, 10**6), st.floats(1e-9, 10), st.lists(st.sampled_from(["image", "dsm", "osm"]), min_size=1))
def test_a_saved_recipe_loads_as_the_same(
    tmp_path_factory: pytest.TempPathFactory, epochs: int, lr: float, layers: list
) -> None:
    recipe = make(train={"epochs": epochs, "lr": lr}, model={"layers": layers})
    path = recipe.save(tmp_path_factory.mktemp("recipe") / "recipe.yaml")
    again = resolve(read_recipe(path), kind=Recipe)
    assert again == recipe
    assert again.hash == recipe.hash
    assert recipe.hash in path.read_text(encoding="utf-8").splitlines()[0]


def test_a_recipe_of_an_earlier_version_loads_where_it_did_not_use_what_is_gone(tmp_path: Path) -> None:
    values, path = make().to_dict(), tmp_path / "recipe.yaml"
    values["data"]["unlabelled"] = []
    values["unlabelled"] = {"method": "none", "ratio": 1, "weight": 1.0, "threshold": 0.95}
    path.write_text(yaml.safe_dump(values), "utf-8")
    assert load_recipe(path)[0] == make()
    values["unlabelled"]["method"] = "fixmatch"
    path.write_text(yaml.safe_dump(values), "utf-8")
    with raises_naming(InputError, "'unlabelled'"):
        load_recipe(path)


def test_the_hash_does_not_depend_on_the_order_of_keys_but_on_values() -> None:
    first = make(train={"epochs": 3, "lr": 0.1})
    assert first.hash == make(train={"lr": 0.1, "epochs": 3}).hash
    assert first.hash != make(train={"lr": 0.1, "epochs": 4}).hash


def test_differing_keys_are_named() -> None:
    assert differing_keys(make(), make("train.epochs=3", "legend=xbd")) == ["legend", "train.epochs"]


def test_branches_bring_their_own_sections() -> None:
    class OwnData(type(Recipe().data)):  # type: ignore[misc]
        footprints: str = ""

    class OwnRecipe(Recipe):
        data: OwnData = OwnData()

    assert resolve({"data": {"footprints": "a.gpkg"}}, kind=OwnRecipe).data.footprints == "a.gpkg"
    with raises_naming(InputError, "'data.footprints'"):
        resolve({"data": {"footprint": "a.gpkg"}}, kind=OwnRecipe)


@pytest.mark.parametrize(
    "name", [name for name in ShippedModel.names() if (model_path(name) / "recipe.yaml").is_file()]
)
def test_every_recipe_of_the_catalog_resolves_and_has_a_card(name: str) -> None:
    recipe, _ = load_recipe(name)
    assert recipe.model.network or recipe.task != "segmentation"
    card = (model_path(name) / "card.md").read_text(encoding="utf-8")
    assert card.startswith("# ")
    assert not re.findall(r"@[A-Z]+@", card)  # a figure that was to be filled in


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- 1\n")
    with raises_naming(InputError, "list.yaml"):
        read_recipe(tmp_path / "list.yaml")


@pytest.mark.parametrize("name", ["buildings", "damage-network"])
def test_a_recipe_of_made_up_places_says_that_it_takes_no_folder(name, tmp_path):
    with raises_naming(InputError, "--data"):
        load_recipe(name, data=tmp_path)


def test_a_wrong_value_is_said_of_what_set_it(tmp_path):
    with raises_naming(InputError, "--set") as error:
        load_recipe("unet-resnet34", overrides=["train.epochs=soon"])
    assert "recipe.yaml" not in str(error.value)
    path = tmp_path / "own.yaml"
    path.write_text("train: {epochs: soon}\n")
    with raises_naming(InputError, "own.yaml"):
        load_recipe(path, overrides=["train.batch_size=2"])


def test_a_rate_that_falls_by_scores_and_a_training_on_everything_are_refused_together() -> None:
    with raises_naming(InputError, "train.refit", "train.schedule"):
        load_recipe("unet-mobilenet", overrides=["train.refit=true", "train.schedule=plateau", "train.patience=0"])
