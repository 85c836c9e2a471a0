"""Pages of floods, change and comparisons have every word of theirs in every language, as the page of damage has."""

import pytest
from page_words import words_of_page

from deepnets4eo.change.page import CAVEATS as OF_CHANGE, CHANGE, DOUBTS
from deepnets4eo.damage.comparison.report import CLASSES, KIND as COMPARISON, WORDS
from deepnets4eo.damage.products.words import TABLE
from deepnets4eo.floods.page import CAVEATS as OF_FLOODS, KIND as FLOOD, TITLES
from deepnets4eo.maps import page_language
from deepnets4eo.outputs import EventInfo, map_page
from deepnets4eo.outputs.wording import LANGUAGES

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
