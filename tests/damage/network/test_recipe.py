"""The recipe of damage networks: what each source of pairs and each loss reads, and that nothing else is set."""

import pytest

from deepnets4eo.damage import DamageRecipe
from deepnets4eo.damage.network.recipe import KEYS_OF, MADE_UP, PAIRS
from deepnets4eo.errors import InputError
from deepnets4eo.training import load_recipe
from deepnets4eo.training.recipe import resolve


def recipe_of(*overrides: str) -> DamageRecipe:
    return resolve({}, overrides, kind=DamageRecipe)


@pytest.mark.parametrize(
    ("source", "setting", "other"),
    [
        (PAIRS, "styles=[village]", MADE_UP),
        (PAIRS, "outline_error_m=1", MADE_UP),
        (MADE_UP, "split=scenes", PAIRS),
        (MADE_UP, "grade_column=grade", PAIRS),
    ],
)
def test_a_key_that_only_the_other_source_reads_is_refused(source, setting, other):
    key = setting.partition("=")[0]
    with pytest.raises(
        InputError, match=f"has {key}=.*source={source} does not read. Leave {key} out, or set .*={other}"
    ):
        recipe_of(f"data.source={source}", f"data.{setting}")
    assert getattr(recipe_of(f"data.source={other}", f"data.{setting}").data, key) is not None


@pytest.mark.parametrize("name", ["damage-pairs", "damage-network"])
def test_a_resolved_recipe_holds_what_its_source_reads_and_loads_again(name):
    recipe = load_recipe(name)[0]
    values = recipe.to_dict()
    assert not KEYS_OF[recipe.data.other_source].model_fields.keys() & values["data"].keys()
    assert KEYS_OF[recipe.data.source].model_fields.keys() < values["data"].keys()
    assert resolve(values, kind=DamageRecipe) == recipe


def test_losses_that_are_not_there_and_weights_that_no_loss_reads_are_refused():
    with pytest.raises(InputError, match="train has no loss; expected"):
        recipe_of("train.losses={}", "train.building_loss=0", "train.post_loss=0")
    with pytest.raises(InputError, match="train has no loss; expected"):
        recipe_of("train.losses={dice: -1}")
    with pytest.raises(InputError, match="ordinal=true without losses of pixels does not read"):
        recipe_of("train.losses={}", "train.ordinal=true", "train.class_weights={destroyed: 2}")
    with pytest.raises(InputError, match="made-up buildings cannot be counted beforehand"):
        recipe_of("data.source=made-up", "train.class_weighting=median_frequency")
