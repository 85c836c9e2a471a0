"""Phrases and findings come back from a journal as they were kept, whatever their values are."""

from collections.abc import Sequence
from pathlib import Path
from string import Formatter

import numpy as np
import pytest

from deepnets4eo.damage.journal import KINDS
from deepnets4eo.jobs import Journal
from deepnets4eo.outputs import Finding, Phrase
from deepnets4eo.outputs.wording import LANGUAGES, Value, Verbatim, texts_of

ALSO: dict[str, Value] = {
    "list": [Phrase("roofs_agree_as_georeferenced", {"there": 0.5, "chance": 0.1})],
    "none": None,
    "numpy": np.float32(0.5),
    "text": Verbatim("Florence.tif"),
}


def value_of(key: str) -> dict[str, Value]:
    """A number for each value that has a format, else a list of phrases, as code may give for any of them."""
    text = texts_of("en")[key]
    sentences = [text] if isinstance(text, str) else text
    names = [(name, form) for each in sentences for _, name, form, _ in Formatter().parse(each) if name is not None]
    return {
        name: 2
        if form
        else [Phrase("roofs_agree_as_georeferenced", {"there": 0.5, "chance": 0.1}), Phrase("pre_image")]
        for name, form in names
    }


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path, kinds=(*KINDS, Finding))


def test_every_phrase_and_finding_of_the_tables_is_kept(journal: Journal) -> None:
    keys = sorted(texts_of("en"))
    phrases = {key: Phrase(key, value_of(key)) for key in keys}
    findings = {key: Finding(key, "note", value_of(key)) for key in keys}
    assert len(phrases) > 300
    journal.keep("phrases", phrases)
    journal.keep("findings", findings)
    assert journal.recall("phrases") == phrases
    assert journal.recall("findings") == findings
    for key, again in journal.recall("phrases").items():
        assert all(again.text(language) == phrases[key].text(language) for language in LANGUAGES)


@pytest.mark.parametrize("name", ALSO)
def test_values_of_a_phrase_are_kept(journal: Journal, name: str) -> None:
    phrase, finding = Phrase("pre_image", {"value": ALSO[name]}), Finding("pre_image", "note", {"value": ALSO[name]})
    journal.keep("both", (phrase, finding))
    assert journal.recall("both") == (phrase, finding)


def test_lists_in_a_value_of_a_job_are_kept_as_tuples(journal: Journal) -> None:
    journal.keep("value", {"shares": [0.5, [1.0]]})
    assert journal.recall("value") == {"shares": (0.5, (1.0,))}


def test_a_list_of_phrases_cannot_be_changed_after_the_phrase_is_made() -> None:
    given = [Phrase("pre_image")]
    phrase = Phrase("reasons", {"reasons": given})
    given.clear()
    assert isinstance(phrase.values["reasons"], Sequence)
    assert len(phrase.values["reasons"]) == 1
