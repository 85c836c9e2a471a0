"""The page names files and nothing of where they lie, and has its words in every language."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from made_up_map import make_grid, make_map
from page_words import words_of_page

from deepnets4eo.damage.calibration.site import ShareEstimate
from deepnets4eo.damage.decision.findings import (
    minor_findings,
    result_findings,
    segmenter_findings,
    share_findings,
    unbuilt_findings,
)
from deepnets4eo.damage.decision.model import BY_NETWORK, UNLIKE
from deepnets4eo.damage.decision.unbuilt import NO_BUILDING, UnbuiltOutlines
from deepnets4eo.damage.evidence import table
from deepnets4eo.damage.products.report import DAMAGE, write_report
from deepnets4eo.damage.products.summary import CAVEATS, SYNTHETIC_CAVEAT, summarize
from deepnets4eo.damage.products.words import ASSETS, IN_ENGLISH, LANGUAGES, sentences_html, words_of
from deepnets4eo.damage.vocabulary import TITLES
from deepnets4eo.files import read_yaml
from deepnets4eo.outputs.event import EventInfo
from deepnets4eo.outputs.findings import LABELS, Finding
from deepnets4eo.rasters.scene import Layer


def page_of(damage_map, path, language="en"):
    grid = make_grid()
    post = Layer.open(np.full((3, *grid.shape), 7, np.uint8), grid=grid)
    text = write_report(damage_map, summarize(damage_map, grid), path, post=post, language=language).read_text(
        encoding="utf-8"
    )
    return text, json.loads(re.search(r'id="page">(.*?)</script>', text, re.DOTALL)[1])


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("/home/somebody/secret place/post.tif", "post.tif"),
        ("somewhere/tiles (4 tiles)", "tiles (4 tiles)"),
        ("https://user:password@example.com/folder/post.tif?token=123", "post.tif"),
        ("s3://bucket/folder/post.tif", "post.tif"),
        ("/vsizip//home/somebody/all.zip/post.tif", "post.tif"),
        ("array", "array"),
    ],
)
def test_the_page_names_files_without_folders_hosts_and_passwords(tmp_path, source, shown):
    damage_map = make_map(4)
    damage_map.inputs["post"] = source
    text, page = page_of(damage_map, tmp_path / "report.html")
    assert page["inputs"] == {"post": shown}
    for word in ("somebody", "somewhere", "password", "token", "bucket"):
        assert word not in text


def test_every_language_has_every_word_of_the_page():
    reasons = (table.EMPTY, table.OUTSIDE, table.NODATA, table.CUT, table.CLOUD, table.SMALL, table.BLANK, table.LARGE)
    told = (
        *TITLES.values(),
        *LABELS.values(),
        *EventInfo.LABELS.values(),
        DAMAGE.title,
        DAMAGE.subject,
        DAMAGE.made_up,
    )
    english = {*words_of_page(), *reasons, table.ENCLOSING, NO_BUILDING, *told, *CAVEATS, SYNTHETIC_CAVEAT, IN_ENGLISH}
    assert len(english) > 200
    for language in LANGUAGES[1:]:
        words = words_of(language)
        assert english <= words.keys()
        assert [text for text, said in words.items() if said.count("{}") != text.count("{}")] == []


def test_a_page_in_arabic_runs_from_right_to_left_and_says_once_that_findings_are_english(tmp_path):
    damage_map = make_map(4)
    damage_map.findings = tuple(Finding(str(k), "caution", f"Pixels are <large>: {k} m.") for k in range(3))
    text, page = page_of(damage_map, tmp_path / "report.html", "ar")
    assert '<html lang="ar" dir="rtl">' in text
    assert text.count(words_of("ar")[IN_ENGLISH]) == 2, "in the header, and in the table"
    assert '<bdi lang="en">Pixels are &lt;large&gt;: 0 m.</bdi>' in text
    assert "%%" not in text
    assert [each["title"] for each in page["classes"]] == [words_of("ar")[title] for title in TITLES.values()]
    english, page = page_of(damage_map, tmp_path / "english.html")
    assert '<html lang="en" dir="ltr">' in english
    assert IN_ENGLISH not in english
    assert page["translations"] == {}


def findings_that_occur() -> list[Finding]:
    """One or several of each kind whose sentences have templates, as the job makes them."""
    evidence = ["not_assessed"] * 3 + ["assessed"]
    unlike = pd.DataFrame({"status": evidence, "reason": [UNLIKE, UNLIKE, NO_BUILDING, ""]})
    graded = pd.DataFrame({"status": ["assessed"], "reason": [BY_NETWORK + UNLIKE]})
    confusion = {"minor-damage": {"named": 9, "truly": {"minor-damage": {"interval_95": [1.0, 4.0]}}}}
    return [
        *segmenter_findings("buildings", after=True),
        *result_findings(unlike, np.array([True, True, False, False]), None),
        *result_findings(graded, np.array([False]), None),
        *share_findings(ShareEstimate(0.5, "estimated", (0.1, 0.9)), 12_000),
        *minor_findings(confusion),
        *unbuilt_findings(UnbuiltOutlines(np.zeros(0, bool), 0.5, few_copies=1)),
        Finding("blank", "caution", "1 building lies where the post image has one single value over a wide area; it was not assessed."),
    ]  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_sentences_of_findings_are_said_in_the_language(language):
    for finding in findings_that_occur():
        for text in filter(None, (finding.message, finding.remedy)):
            said = sentences_html(text, language)
            assert f'<bdi lang="en">{text[:20]}' not in said, "its first sentence stays English"
            assert not re.search(r'[.!] <bdi lang="en">[^<]*[.]</bdi>', said), "another one does"


def test_numbers_in_sentences_are_written_as_the_language_does_and_reasons_stay_english():
    (wide,) = share_findings(ShareEstimate(0.5, "estimated", (0.1, 0.9)), 12_000)
    assert "de 1.200 a 10.800 de 12.000" in sentences_html(wide.message, "es")
    said = sentences_html("No building could be assessed (2 × <no> data). Then this.", "ar")
    assert said == 'لم يمكن تقييم أي مبنى (<bdi lang="en">2 × &lt;no&gt; data</bdi>). <bdi lang="en">Then this.</bdi>'
    assert sentences_html("A sentence.", "en") == '<bdi lang="en">A sentence.</bdi>'


def test_every_template_has_every_language_and_as_many_values():
    for english, others in read_yaml(ASSETS / "findings.yaml").items():
        assert len(others) == len(LANGUAGES) - 1, english
        assert {text.count("{}") for text in others} == {english.count("{}")}, english
