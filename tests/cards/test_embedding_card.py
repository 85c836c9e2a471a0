"""Which card a raster of embeddings has: by its tag, the names of its bands, its count and type, or what is written behind its name."""

from pathlib import Path

import pytest
from refusals import raises_naming

from deepnets4eo.cards import EmbeddingCard, split_card
from deepnets4eo.cards.embedding import TAG
from deepnets4eo.errors import InputError


def test_a_tag_is_a_name_of_the_catalog_or_a_whole_card_or_refused() -> None:
    own = EmbeddingCard(name="own", title="Own vectors", components=3, stored="int8", scale=0.5)
    assert EmbeddingCard.from_tags({}, "a.tif") is None
    assert EmbeddingCard.from_tags({"OTHER": "alphaearth"}, "a.tif") is None
    assert EmbeddingCard.from_tags({TAG: "alphaearth"}, "a.tif") == EmbeddingCard.load("alphaearth")
    assert EmbeddingCard.from_tags(own.to_tags(), "a.tif") == own
    assert EmbeddingCard.load("tessera").to_tags() == {TAG: "tessera"}
    with raises_naming(InputError, TAG):
        EmbeddingCard.from_tags({TAG: "alpha"}, "a.tif")


def test_names_of_all_bands_tell_the_card() -> None:
    names = [f"A{number:02}" for number in range(64)]
    card = EmbeddingCard.of_names(names)
    assert card is not None
    assert card.name == "alphaearth"
    assert EmbeddingCard.of_names(names[:-1]) is None
    assert EmbeddingCard.of_names([*names[:-1], "nir"]) is None


@pytest.mark.parametrize(
    ("count", "dtype", "name"),
    [
        (64, "int8", "alphaearth"),
        (64, "uint8", None),
        (63, "int8", None),
        (128, "int8", None),  # numbers of Tessera have a scale of their own beside
        (0, "", None),
    ],
)
def test_a_count_and_type_are_likely_a_card_only_where_its_numbers_are_scaled(
    count: int, dtype: str, name: str | None
) -> None:
    card = EmbeddingCard.likely(count, dtype)
    assert (None if card is None else card.name) == name


def test_a_card_of_so_many_bands_refuses_others_and_one_of_any_none() -> None:
    EmbeddingCard.load("alphaearth").check_bands(64, "a.tif")
    EmbeddingCard.load("vectors").check_bands(7, "a.tif")
    with raises_naming(InputError, "a.tif", "63"):
        EmbeddingCard.load("alphaearth").check_bands(63, "a.tif")


def test_a_raster_and_its_card_are_one_text() -> None:
    assert split_card("folder/a.tif#alphaearth") == ("folder/a.tif", EmbeddingCard.load("alphaearth"))
    assert split_card("a#b.tif#tessera") == ("a#b.tif", EmbeddingCard.load("tessera"))
    for text in ("a.tif", "#alphaearth", "alphaearth", "a.tif#visual", "a.tif#"):
        assert split_card(text) is None, text


def test_a_card_of_a_file_is_read_and_one_that_is_none_refused(tmp_path: Path) -> None:
    card = tmp_path / "own.yaml"
    card.write_text("name: own\ntitle: Own vectors\ncomponents: 3\n", encoding="utf-8")
    file, own = split_card(f"a.tif#{card}") or ("", None)
    assert (file, own) == ("a.tif", EmbeddingCard(name="own", title="Own vectors", components=3))
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("title: Own vectors\n", encoding="utf-8")
    with pytest.raises(InputError, match="no card of embeddings"):
        split_card(f"a.tif#{wrong}")
