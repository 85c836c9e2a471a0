"""The search of the documentation runs when the site is opened as a file: its worker script runs in a frame."""

import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

SHIM = Path(__file__).resolve().parents[2] / "docs" / "assets" / "iframe-worker.js"
WORKER = "addEventListener('message', (event) => postMessage(event.data * 2));"
PAGE = """<!doctype html><meta charset="utf-8"><script src="iframe-worker.js"></script><body><script>
const worker = new Worker("worker.js");
window.answers = [];
worker.addEventListener("message", (event) => window.answers.push(event.data));
worker.postMessage(1);  // before the script has been loaded
setTimeout(() => worker.postMessage(21), 300);
</script>"""


def test_a_worker_of_a_page_opened_as_a_file_answers_in_order(browser, tmp_path: Path) -> None:
    shutil.copy(SHIM, tmp_path)
    (tmp_path / "worker.js").write_text(WORKER, encoding="utf-8")
    (tmp_path / "index.html").write_text(PAGE, encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    page.wait_for_function("window.answers.length === 2", timeout=60_000)
    assert page.evaluate("window.answers") == [2, 42]
    page.close()
