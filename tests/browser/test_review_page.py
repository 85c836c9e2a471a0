"""The page of a review in a browser: one key an answer, undo, notes, two pages at once, hostile names, and the width of a phone."""

import pytest
from made_up_review import write_reviewed
from report_visit import DESKTOP, PHONE
from served import answering, press

from deepnets4eo.damage.review import ReviewServer
from deepnets4eo.outputs.served_page import Answers

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=\"document.title='run'\">" + "x" * 10_000  # the beginning of every building's name


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = write_reviewed(tmp_path_factory.mktemp("review"), looks=25, names=[f"{HOSTILE}{n}" for n in range(25)])
    with answering(ReviewServer(folder, folder / "review.gpkg", "Anna")) as server:
        yield server


@pytest.fixture
def visit(served_pages, server):
    with served_pages(server, ".chip img") as open_page:
        yield open_page


def kept(server):
    return [(row.answer, row.note) for row in Answers(server.sample).rows()]


def test_a_sample_is_graded_by_keys(server, visit):
    page = visit()
    opened = "document.getElementById('meanings').open"
    assert page.evaluate(opened), "what minor and major mean, before the first answer"
    press(page, "4", "Saved: Destroyed. Building 2 of 25.")
    assert not page.evaluate(opened)
    page.keyboard.press("n")
    page.keyboard.type("1 roof 2")  # no answers while a note is written
    page.keyboard.press("Escape")
    page.locator("#status", has_text="Note saved.").wait_for()
    press(page, "0", "Saved: Cannot tell. Building 3 of 25.")
    for key in "123":  # faster than they are saved
        page.keyboard.press(key)
    page.locator("#count", has_text="5 of 25 answered").wait_for()
    said = ["destroyed", "cannot-tell", "no-damage", "minor-damage", "major-damage"]
    assert kept(server)[:6] == [(answer, "1 roof 2" if n == 1 else None) for n, answer in enumerate([*said, None])]
    press(page, "u", "Taken back: not answered. Building 5 of 25.")
    press(page, "ArrowLeft", "Building 4 of 25, answered: Minor damage.")
    assert page.get_by_role("button", name="Minor damage").get_attribute("aria-pressed") == "true"
    page.get_by_label("Only unanswered").check()
    page.locator("#title", has_text="Building 5 of 25").wait_for()
    page.get_by_label("Single keys").uncheck()
    page.keyboard.press("1")
    page.get_by_role("button", name="Destroyed").focus()
    press(page, "Enter", "Saved: Destroyed. Building 6 of 25.")
    assert [answer for answer, _ in kept(server)[:6]] == [*said[:4], "destroyed", None]
    near = page.locator(".chip img").first.get_attribute("src")
    page.get_by_role("button", name="Surroundings").click()
    assert page.locator(".chip img").first.get_attribute("src") == near.replace("near", "wide")
    assert page.locator(".chip path").count() == 4
    page.get_by_role("button", name="Outline").click()
    assert page.locator(".chip path").count() == 0


def test_two_pages_see_each_other_and_names_are_text(server, visit):
    first, second = visit(), visit(PHONE)
    at = next(n for n, (answer, _) in enumerate(kept(server)) if answer is None)
    for page in (first, second):
        assert page.locator("#title").inner_text() == f"Building {at + 1} of 25"
    press(first, "1", "Saved")
    second.get_by_role("button", name="Destroyed").click()
    second.get_by_role("alert").wait_for()
    assert "answered elsewhere: No visible damage, by Anna" in second.get_by_role("alert").inner_text()
    assert kept(server)[at][0] == "no-damage"
    second.get_by_role("button", name="Destroyed").click()
    second.locator("#status", has_text="Saved: Destroyed").wait_for()
    assert kept(server)[at][0] == "destroyed"
    for page in (first, second):
        assert page.locator("#name").inner_text().startswith("<img src=x")
        assert page.locator("#name img").count() == 0
        assert page.title() == "Review of a map"
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_drawn_and_chosen_buildings_come_in_turn_and_the_page_says_what_they_show(tmp_path, served_pages):
    folder = write_reviewed(tmp_path, looks=40, number=80, size_px=256)
    with (
        answering(ReviewServer(folder, folder / "review.gpkg", "Anna", 10)) as server,
        served_pages(server, ".chip img") as visit,
    ):
        page = visit(PHONE)
        page.locator("#state li", has_text="From 20 grades on they teach the map: 0 so far.").wait_for()
        for number in range(30):
            page.keyboard.press("4" if number % 3 else "1")
        page.locator("#count", has_text="30 of 45 answered").wait_for(timeout=60_000)
        page.locator("#state li", has_text="by 30 that were drawn at random").wait_for()
        page.locator("#state li", has_text="Taught by").wait_for()
        titles = []
        for number in range(4):
            page.locator("#count", has_text=f"{30 + number} of").wait_for()
            titles.append(
                (page.locator("#title").inner_text(), page.locator("#name").inner_text().startswith("chosen"))
            )
            page.keyboard.press("1")
        page.locator("#count", has_text="34 of").wait_for()
        drawn = [int(title.split()[1]) for title, chosen in titles if not chosen]
        assert [chosen for _, chosen in titles] in ([False, True] * 2, [True, False] * 2)
        assert drawn == sorted(drawn)
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        rows = server.rows()
        assert sum(bool(row.answer) for name, row in rows if name.startswith("next-1-")) == 2


def test_two_pictures_state_what_minor_and_major_mean(visit):
    for options in (DESKTOP, {**PHONE, "viewport": {"width": 375, "height": 812}}):
        page = visit(options)
        meanings = page.locator("#meanings")
        assert meanings.locator("img").first.is_hidden()
        meanings.locator("summary").click()
        assert meanings.locator("figcaption b").all_inner_texts() == ["Minor damage", "Major damage"]
        page.wait_for_function("[...document.querySelectorAll('#grades img')].every((one) => one.naturalWidth > 300)")
        assert "SYNTHETIC" in meanings.inner_text()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
