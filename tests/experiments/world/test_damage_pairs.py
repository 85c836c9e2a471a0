"""What the default damage network learns from and is validated on: names as chosen, nothing of what is left out."""

from pathlib import Path

import numpy as np
import pytest
import world
from refusals import raises_naming
from world.damage_pairs import made_up_pairs, training_pairs, validation_pairs

from deepnets4eo.cards import VOID
from deepnets4eo.errors import InputError
from deepnets4eo.training import load_recipe
from deepnets4eo.version import code_hash

SMALL = [
    "data.world=world",
    "data.size_px=256",
    "data.styles=[suburb, old-town]",
    "data.hazards=[tornado, flood]",
    "data.val_pairs=1",
]
LEFT_OUT = ["data.left_out_styles=[old-town]", "data.left_out_hazards=[flood]"]


def recipe_of(*overrides: str):
    return load_recipe("damage-network", overrides=[*SMALL, *overrides])[0]


def test_what_is_left_out_is_validated_on_and_never_learnt_from():
    recipe = recipe_of(*LEFT_OUT)
    make_pair = training_pairs(recipe)
    learnt = [make_pair(seed) for seed in (0, 1)]
    assert {(pair.style, pair.hazard) for pair in learnt} == {("suburb", "tornado")}
    (known,) = validation_pairs(recipe)
    assert (known.style, known.hazard) == ("old-town", "flood")
    assert (known.grades != VOID).any()


def test_pairs_state_the_code_that_draws_them():
    drawn_by = made_up_pairs(recipe_of()).drawn_by
    assert drawn_by == code_hash(Path(world.__path__[0]))
    assert drawn_by != code_hash(Path(world.__path__[0]) / "styles")


def test_a_seed_gives_the_same_pair_again_and_no_other_one():
    first, again, other = (training_pairs(recipe_of())(seed) for seed in (0, 0, 1))
    assert all((pair.grades != VOID).any() for pair in (first, other))
    assert np.array_equal(first.post, again.post)
    assert not np.array_equal(first.post, other.post)


def test_unknown_names_and_nothing_to_learn_from_are_refused():
    with raises_naming(InputError, "data.hazards"):
        training_pairs(recipe_of("data.left_out_hazards=[locusts]"))
    with pytest.raises(InputError, match="no styles to learn from"):
        training_pairs(recipe_of("data.left_out_styles=[suburb, old-town]"))


def test_nothing_of_the_world_is_left_out_where_suburbs_are_learnt_from():
    with pytest.raises(InputError, match="world=both learns from suburbs.* set world=world"):
        recipe_of("data.world=both", "data.left_out_hazards=[flood]")


def test_of_both_worlds_some_pairs_are_suburbs_in_training_and_validation():
    recipe = recipe_of("data.world=both", "data.val_pairs=3")
    make_pair = training_pairs(recipe)
    assert {make_pair(seed).style == "city" for seed in (5, 6)} == {True, False}
    known = validation_pairs(recipe)
    assert [pair.style for pair in known] == ["city", "suburb", "old-town"]
