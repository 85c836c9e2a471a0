"""One headless Chromium and one report page for the tests of a module."""

import os
import shutil

import pytest
from made_up_map import make_map
from report_visit import DESKTOP, Visit, write

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


@pytest.fixture
def visit(browser):
    visits = []

    def open_page(path, options=DESKTOP):
        visits.append(Visit(browser, path, options))
        return visits[-1]

    yield open_page
    for one in visits:
        assert one.left_the_page == [], "the report must work offline"
        assert one.complaints == [], "the console must stay silent"
        one.context.close()
