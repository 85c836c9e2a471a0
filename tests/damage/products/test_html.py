"""The page names files and nothing of where they lie, and has its words in every language."""

import json
import re

import numpy as np
import pytest
from made_up_map import make_grid, make_map
from page_words import words_of_page

from deepnets4eo.damage.decision.findings import share_findings
from deepnets4eo.damage.decision.site_fit import ShareEstimate
from deepnets4eo.damage.products.report import DAMAGE, write_report
from deepnets4eo.damage.products.summary import CAVEATS, SYNTHETIC_CAVEAT, summarize
from deepnets4eo.damage.products.words import IN_ENGLISH, words_of
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.damage.table.vocabulary import GRADES, TITLES, UNGRADED
from deepnets4eo.outputs import LABELS, EventInfo, Finding, number_text
from deepnets4eo.outputs.wording import LANGUAGES
from deepnets4eo.rasters import Layer


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
    told = (
        *TITLES.values(),
        *LABELS.values(),
        *EventInfo.LABELS.values(),
        DAMAGE.title,
        DAMAGE.subject,
        DAMAGE.made_up,
    )
    english = {
        *words_of_page(),
        *(reason.sentence for reason in Reason),
        *told,
        *CAVEATS,
        SYNTHETIC_CAVEAT,
        IN_ENGLISH,
    }
    assert len(english) > 200
    for language in LANGUAGES[1:]:
        words = words_of(language)
        assert english <= words.keys()
        assert [text for text, said in words.items() if said.count("{}") != text.count("{}")] == []


def test_a_page_in_arabic_runs_from_right_to_left_and_says_once_that_findings_are_english(tmp_path):
    damage_map = make_map(4)
    damage_map.findings = tuple(
        Finding(str(k), "caution", {"message": f"Pixels are <large>: {k} m."}) for k in range(3)
    )
    text, page = page_of(damage_map, tmp_path / "report.html", "ar")
    assert '<html lang="ar" dir="rtl">' in text
    assert text.count(words_of("ar")[IN_ENGLISH]) == 2, "in the header, and in the table"
    assert '<bdi lang="en">Pixels are &lt;large&gt;: 0 m.</bdi>' in text
    assert "%%" not in text
    assert [each["title"] for each in page["classes"]] == [words_of("ar")[TITLES[name]] for name in (*GRADES, UNGRADED)]
    english, page = page_of(damage_map, tmp_path / "english.html")
    assert '<html lang="en" dir="ltr">' in english
    assert IN_ENGLISH not in english
    assert page["translations"] == {}


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_a_page_says_findings_in_its_language_with_its_numbers(tmp_path, language):
    damage_map = make_map(4)
    (wide,) = damage_map.findings = share_findings(ShareEstimate(0.5, "estimated", (0.1, 0.9), 0.0, 0.5), 12_000)
    text, _ = page_of(damage_map, tmp_path / "report.html", language)
    banner = re.search(r'<section id="findings".*?</section>', text, re.DOTALL)[0]
    assert wide.html(language=language) in banner
    parts = wide.html(".remedy", language).split("`")  # commands are between two of them
    for before, command in zip(parts[::2], parts[1::2], strict=False):
        assert f'{before}<code dir="ltr">{command}</code>' in banner
    assert len(parts) == 5
    assert 'lang="en"' not in banner
    assert number_text(10_800, language) in banner
