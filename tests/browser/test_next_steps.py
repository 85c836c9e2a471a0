"""What the page of a small job advises works as it is written, and the page that was opened is the new one afterwards."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from made_up_map import make_map_of_files
from report_visit import DESKTOP
from served import press

from deepnets4eo.damage import GRADES

pytestmark = pytest.mark.browser
BETWEEN = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]), "BROWSER": "true"}


def heed_interrupt() -> None:
    """Let a process be interrupted that is started in the background of a shell, where SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def folder(tmp_path):
    """A map of 40 buildings in a folder whose name a terminal would take apart, with its images and all products."""
    damage_map, images = make_map_of_files(tmp_path, 1.1)
    row = {"expected": 12.0, "interval_95": [8.0, 17.0]}
    damage_map.estimates = {"buildings": dict.fromkeys((*GRADES, "damaged"), row), "confusion": {}}
    damage_map.save(tmp_path / "Anna's map (1)", **images, also=())
    return tmp_path / "Anna's map (1)"


def test_both_commands_of_the_page_work_and_the_opened_page_is_the_new_one(visit, folder, tmp_path, browser):
    one = visit(folder / "report.html")
    one.page.locator("#tab-summary").click()
    commands = one.page.locator(".command").all_inner_texts()
    assert len(commands) == 2
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert str(folder) not in page, "the page knows it only where it is opened"
    one.page.locator(".copied .copy").first.click()
    one.page.locator(".copied .copy", has_text=re.compile("Copied|Selected")).wait_for()
    assert all(shlex.split(command)[:3] == ["deepnets4eo", "review", str(folder)] for command in commands)
    old, files = one.page.locator("#headline").inner_text(), {path.name for path in folder.iterdir()}
    environment = os.environ | BETWEEN
    with subprocess.Popen(
        shlex.split(commands[0]),
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupt,
    ) as serving:
        try:
            page = browser.new_page()
            page.goto(serving.stdout.readline().strip())
            page.locator(".chip img").first.wait_for()
            for number in range(2, 7):
                press(page, "4", f"Saved: Destroyed. Building {number} of 40.")
            page.close()
            serving.send_signal(signal.SIGINT)
            serving.wait(30)
        finally:
            serving.kill()
    assert serving.returncode == 0
    done = subprocess.run(
        shlex.split(commands[1]), cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    printed = [Path(line) for line in done.stdout.splitlines()]
    assert printed[0] == folder / "report.html"
    assert {path.name for path in folder.iterdir()} == files | {"review.gpkg", "review.qgz", "before_review"}
    one.page.reload()
    one.page.wait_for_selector("body[data-ready]")
    assert one.page.locator("#headline").inner_text() != old
    assert "5 buildings have the grade that a person gave" in one.page.locator("#findings").inner_text()
    again = visit(printed[0], DESKTOP)
    assert again.page.locator("#headline").inner_text() == one.page.locator("#headline").inner_text()
