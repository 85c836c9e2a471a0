"""Pages of floods, change and comparisons have every word of theirs in every language, as the page of damage has."""

from types import SimpleNamespace
from typing import Any

import pytest
from page_words import words_of_page

from deepnets4eo.change.page import CAVEATS as OF_CHANGE, CHANGE, DOUBTS, _facts as facts_of_change
from deepnets4eo.damage.comparison.report import CLASSES, KIND as COMPARISON, WORDS
from deepnets4eo.damage.products.words import TABLE
from deepnets4eo.floods.page import CAVEATS as OF_FLOODS, KIND as FLOOD, TITLES, _facts as facts_of_flood
from deepnets4eo.floods.thresholds import FLOOD as NEW_WATER
from deepnets4eo.maps import page_language
from deepnets4eo.outputs import EventInfo, map_page
from deepnets4eo.outputs.wording import LANGUAGES, Language

KINDS = {
    "flood": (FLOOD, (*OF_FLOODS, *TITLES.values(), "Water", "Probability", "Not known", "Water, pixel by pixel")),
    "change": (CHANGE, (*OF_CHANGE, *(title for title, _ in DOUBTS), "Change", "Score", "Not compared")),
    "comparison": (COMPARISON, (*(title for title, _ in CLASSES), "Outlines of B", "matched by id", "matched by overlap")),
}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES[1:])
@pytest.mark.parametrize("name", KINDS)
def test_every_language_has_every_word_of_the_page(name, language):
    kind, further = KINDS[name]
    words = map_page.words_of(language, TABLE, WORDS) if name == "comparison" else page_language(language).words
    english = {*words_of_page(kind), *further, *EventInfo.LABELS.values(), kind.title, kind.subject, kind.made_up}
    english |= {kind.many.capitalize(), *([kind.empty] if kind.empty else [])}
    assert english - words.keys() == set()
    assert [text for text in english if words[text].count("{}") != text.count("{}")] == []


CHANGED: dict[str, Any] = {
    "area": {"changed_ha": 1.5, "changed_ha_interval": (1.25, 2000.0), "seen_ha": 30.0, "changed_share": 0.05, "changed_in_doubt_ha": 1.25},
    "clouds": {"either_ha": 3.5, "by_layer_ha": {"image_pre": 1.5, "image_post": 2.5}, "share": 0.125},
    "polygons": {"count": 2500, "min_area_m2": 12.5}, "method": "run /home/somebody/siamese", "threshold": 0.5, "refined": True,
}  # fmt: skip
FLOODED: dict[str, Any] = {
    "area": {"flood_ha": 1.5, "flood_ha_interval": (1.25, 2000.0), "seen_ha": 30.0, "not_seen_ha": 2.5, "unknown_ha": 7.5, "permanent_water_ha": 1.5},
    "buildings": {"count": 2500, "known": 2000, "inundated": 1000, "built_inundated_ha": 1.5}, "cover": [{"class": "wheat", "flood_ha": 1.5}],
    "thresholds": {"post": {"ndwi": 0.125}}, "pre_1": "a.tif", "pre_2": "b.tif", "post": "/home/somebody/post.tif",
}  # fmt: skip
DATES = SimpleNamespace(
    mapped=NEW_WATER,
    knows_before=True,
    kinds={"pre_1": "radar", "pre_2": "map", "post": "spectrum"},
    dates=["pre_1", "pre_2", "post"],
)


def facts_of(name: str, language: Language) -> list[tuple[str, str]]:
    """What the page states, with the names of facts in the language."""
    given = facts_of_change(CHANGED, language) if name == "change" else facts_of_flood(DATES, FLOODED, language)  # type: ignore[arg-type]
    return [(page_language(language).say(label), value) for label, value in given]


@pytest.mark.parametrize("language", LANGUAGES[1:])
@pytest.mark.parametrize("name", ["change", "flood"])
def test_facts_of_a_page_are_in_its_language(name, language):
    """Names, numbers and words; file names and units are the same."""
    english, other = facts_of(name, "en"), facts_of(name, language)
    assert len(english) == len(other) > 5
    for (label, value), (in_label, in_value) in zip(english, other, strict=True):
        assert in_label != label
        assert not {"of", "or", "more", "only", "threshold", "known", "before", "run"} & set(
            in_value.replace(",", " ").split()
        ), in_value
        assert "somebody" not in in_value
        if "1.5" in value:
            assert ("1.5" if language == "ar" else "1,5") in in_value, "numbers as the language writes them"
