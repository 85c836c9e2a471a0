"""One headless Chromium, its pages and one report for the tests of a module.

Each page that a test leaves is looked at on four screens, light and dark: it must not be wider than the screen, cut a text, or have
controls too small for a finger; axe looks at it, too, where that is installed.
"""

import itertools
import json
import os
import shutil
from contextlib import contextmanager

import pytest
from made_up_map import make_map
from report_visit import DESKTOP, FAULTS, FRAMES, SCREENS, Visit, write

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


@pytest.fixture(scope="module")
def browser():
    """Chromium, driven by playwright; skips where one of them is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    if not shutil.which(CHROMIUM):
        pytest.skip(f"no Chromium at {CHROMIUM}; set CHROMIUM to its path")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if root else [])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    damage_map = make_map(60)
    return damage_map, write(damage_map, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def open_pages(browser):
    """Pages by their options: a new page takes the browser longer than all that a test does in it."""
    pages = {}
    yield pages
    barriers = {}
    for page in itertools.chain.from_iterable(pages.values()):
        barriers |= barriers_of(page.page)
        page.context.close()
    assert barriers == {}, f"what keyboards, screen readers, fingers or eyes do not get at: {barriers}"


def barriers_of(page):
    """What stands in the way on a page, on two screens of its kind, light and dark: what → where."""
    if not page.url.startswith(("file:", "http:")):
        return {}
    found, screens = {}, SCREENS[bool(page.evaluate("navigator.maxTouchPoints"))]
    for (width, height), scheme in itertools.product(screens, ("light", "dark")):
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(media="null", color_scheme=scheme)
        page.evaluate(FRAMES)
        for fault, where in (page.evaluate(FAULTS) | axe_of(page)).items():
            found[f"{width} px, {scheme}: {fault}"] = where
    return found


def axe_of(page):
    """What axe finds on a page: rule → where; nothing where it is not installed, and no mere advice of style."""
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        return {}
    found = Axe().run(page).response["violations"]
    return {
        one["id"]: one["nodes"][0]["target"] for one in found if one["impact"] in ("moderate", "serious", "critical")
    }


@pytest.fixture
def visit(browser, open_pages):
    """Opens a file in a page that no other visit of this test is in."""
    visits = []

    def open_page(path, options=DESKTOP, **how):
        pages = open_pages.setdefault(json.dumps(options), [])
        free = [page for page in pages if page not in visits]
        if not free:
            free = [Visit(browser, options)]
            pages += free
        visits.append(free[0])
        return free[0].open(path, **how)

    yield open_page
    for one in visits:
        assert one.left_the_page == [], f"the report must work offline, and asked for {one.left_the_page}"
        assert one.complaints == [], f"the console must stay silent, and printed {one.complaints}"


@pytest.fixture
def served_pages(browser):
    """Opens pages of a server anew, and leaves them before it ends: a picture that is still on its way is no complaint.

    They must have complained of nothing but a state that was behind, and have asked nobody else.
    """

    @contextmanager
    def opened(server, ready):
        contexts, wrong = [], []

        def open_page(options=DESKTOP):
            contexts.append(browser.new_context(reduced_motion="reduce", **options))
            page = contexts[-1].new_page()
            page.on("console", lambda message: wrong.append(message.text) if "409" not in message.text else None)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on(
                "request", lambda one: None if one.url.startswith((server.address, "data:")) else wrong.append(one.url)
            )
            page.goto(server.address)
            page.locator(ready).first.wait_for()
            return page

        yield open_page
        for context in contexts:
            wrong += [barriers for page in context.pages if (barriers := barriers_of(page))]
            context.close()
        assert wrong == [], f"the page complained: {wrong}"

    return opened
