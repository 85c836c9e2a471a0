"""A label map that is corrected on a page: strokes that last, pages that are behind, folders of other runs, hostile names."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from made_up_clicks import HOSTILE, NAMES, write_clickable
from served import answering

from deepnets4eo.cli.main import main
from deepnets4eo.prediction import ClickReview, ClickServer, click_review, open_scene
from deepnets4eo.prediction.click_review import even_tiles
from deepnets4eo.prediction.clicked_scene import read_clicks
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import load_run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, a scene, and labels that nobody has corrected, in four tiles."""
    folder = tmp_path_factory.mktemp("clicks")
    write_clickable(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(click_review, "TILE_PX", 48)
        begin(folder, folder / "new")
    return folder


@pytest.fixture
def review(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClickReview:
    monkeypatch.setattr(click_review, "TILE_PX", 48)
    shutil.copytree(place / "new", tmp_path / "out")
    return begin(place, tmp_path / "out")


@pytest.fixture
def server(review: ClickReview) -> Iterator[ClickServer]:
    with answering(ClickServer(review, HOSTILE)) as server:
        yield server


def begin(place: Path, out: Path) -> ClickReview:
    run = load_run(place / "run")
    return ClickReview(run, open_scene(str(place / "scene.tif"), run.segmenter), out)


def request(address: str, path: str = "", body: object = None) -> tuple[int, bytes]:
    """Status and body; a body that is given is sent as JSON."""
    data = None if body is None else json.dumps(body).encode()
    sent = urllib.request.Request(address + path, data, {} if data is None else {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(sent, timeout=60) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def act(server: ClickServer, path: str, **body: object) -> tuple[int, dict]:
    state = json.loads(request(server.address, "state.json")[1])
    status, answer = request(server.address, path, {"version": state["version"], **body})
    return status, json.loads(answer)


def saved(review: ClickReview) -> list[tuple[int, int, int]]:
    """Clicks in the file."""
    clicks = read_clicks(review.out / "clicks.gpkg", review.grid, review.legend)
    return [(*pixel, int(index)) for pixel, index in zip(clicks.pixels, clicks.classes, strict=True)]


def test_tiles_cover_a_scene_once_and_are_alike() -> None:
    for shape in ((512, 512), (520, 1700), (3, 5000)):
        seen = np.zeros(shape, np.uint8)
        tiles = even_tiles(shape)
        for tile in tiles:
            seen[tile.slices] += 1
        assert (seen == 1).all()
        assert max(max(tile.height, tile.width) for tile in tiles) <= 512
        assert min(tile.width for tile in tiles) >= 256


def test_each_stroke_is_in_the_files_before_it_is_answered(server: ClickServer, review: ClickReview) -> None:
    window = review.window
    plain = Layer.open(review.out / "labels.tif").read()[0][0]
    index = (int(plain[window.row + 7, window.col + 9]) + 1) % 3
    status, state = act(server, "click", row=7, col=9, **{"class": index})
    assert (status, state["changed"] >= 1, state["marks"]) == (200, True, [[7, 9, index]])
    assert saved(review) == [(window.row + 7, window.col + 9, index)]
    tile = Layer.open(review.out / "tiles" / f"{window.row:06d}-{window.col:06d}.tif")
    assert tile.grid.affine == review.grid.affine * review.grid.affine.translation(window.col, window.row)
    shown = np.frombuffer(request(server.address, f"labels/{state['version']}")[1], np.uint8)
    np.testing.assert_array_equal(tile.read()[0][0].ravel(), shown)
    assert shown.reshape(window.height, window.width)[7, 9] == index
    corrected = Layer.open(review.finish()).read()[0][0]
    np.testing.assert_array_equal(corrected[window.slices].ravel(), shown)
    corrected[window.slices] = plain[window.slices]
    np.testing.assert_array_equal(corrected, plain)


def test_strokes_are_taken_back_and_weights_follow_until_a_key_forbids_it(
    server: ClickServer, review: ClickReview
) -> None:
    before = review.labels.copy()
    act(server, "click", row=20, col=20, **{"class": 1})
    discs = review.labels.copy()
    assert not review.session.follows  # the network sees discs
    _, state = act(server, "follow", on=True)
    assert state["follows"]
    assert state["changed"] == (review.labels != discs).sum() > 0
    _, state = act(server, "follow", on=False)
    np.testing.assert_array_equal(review.labels, discs)
    for _ in range(3):
        _, state = act(server, "undo")
    np.testing.assert_array_equal(review.labels, before)
    assert (state["undoable"], state["clicks"], saved(review)) == (False, 0, [])


def test_a_page_that_is_behind_overwrites_nothing(server: ClickServer, review: ClickReview) -> None:
    _, state = act(server, "click", row=1, col=2, **{"class": 0})
    stale = {"version": state["version"] - 1, "row": 5, "col": 5, "class": 2}
    status, answer = request(server.address, "click", stale)
    assert (status, json.loads(answer)["marks"]) == (409, [[1, 2, 0]])
    assert request(server.address, "undo", {})[0] == 409
    assert request(server.address, f"labels/{state['version'] - 1}")[0] == 404
    assert len(saved(review)) == 1
    here = review.number
    _, state = act(server, "tile", number=None)
    assert state["tile"] != here  # the most doubtful one without clicks
    assert [number for number, clicked in enumerate(state["clicked"]) if clicked] == [here]
    _, state = act(server, "tile", number=here)
    assert state["marks"] == [[1, 2, 0]]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("click", {"row": 48, "col": 0, "class": 0}),
        ("click", {"row": 0, "col": 0, "class": 3}),
        ("click", {"row": 0, "col": True, "class": 0}),
        ("click", {"row": "0", "col": 1.5, "class": 0}),
        ("click", {"row": 0, "col": 10**30, "class": 0}),
        ("tile", {"number": 4}),
        ("tile", {"number": -1}),
    ],
)
def test_what_lies_nowhere_is_refused(path: str, body: dict, server: ClickServer, review: ClickReview) -> None:
    assert act(server, path, **body)[0] == 400
    assert not (review.out / "clicks.gpkg").exists()


def test_names_go_to_the_page_as_data(server: ClickServer) -> None:
    page = json.loads(request(server.address, "page.json")[1])
    assert [one["title"] for one in page["classes"]] == list(NAMES)
    assert (page["title"], page["synthetic"], len(page["tiles"])) == (HOSTILE, True, 4)
    assert all(b"innerHTML" not in request(server.address, asset)[1] for asset in ("", "clicks.js", "page.js"))
    assert request(server.address, "tile/4")[0] == 404
    assert act(server, "next")[1]["next"][0] < 48


def test_clicks_of_other_scenes_and_labels_of_other_runs_are_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, _ = write_clickable(tmp_path, takes_clicks=False, seed=1)
    moved = write_geotiff(tmp_path / "moved.tif", Layer.open(place / "scene.tif").read()[0], gsd=0.5, origin=(0, 0))
    scene, run = str(place / "scene.tif"), str(place / "run")
    shutil.copytree(place / "new", tmp_path / "out")
    shutil.copy(scene, tmp_path / "same_size.tif")
    with rasterio.open(tmp_path / "same_size.tif", "r+") as file:
        file.write(255 - file.read())
    assert (tmp_path / "same_size.tif").stat().st_size == Path(scene).stat().st_size
    refused = {
        "labels of another run": [str(other), scene],
        "labels of another scene": [run, str(moved)],
        "labels of another scene. Give": [run, str(tmp_path / "same_size.tif")],
        "the scene does not fit the run": [run, str(write_geotiff(tmp_path / "grey.tif", np.ones((9, 9), np.uint8)))],
        "exists already": [run, scene, "--out", str(place)],
    }  # fmt: skip
    for message, words in refused.items():
        out = [] if "--out" in words else ["--out", str(tmp_path / "out")]
        assert main(["clicks", *words, *out, "--no-browser"]) in (1, 2), message
        assert message in capsys.readouterr().err
    begun = begin(place, tmp_path / "out")
    begun.stroke(lambda session: session.click(90, 3, 0))
    shutil.copy(begun.out / "clicks.gpkg", tmp_path / "clicks.gpkg")
    small = write_geotiff(tmp_path / "small.tif", Layer.open(scene).read()[0][:, :64], gsd=0.5)
    assert (
        main(["predict", run, str(small), "--clicks", str(tmp_path / "clicks.gpkg"), "--out", str(tmp_path / "x.tif")])
        == 2
    )
    assert "1 of 1 clicks" in capsys.readouterr().err


def test_a_process_that_is_killed_loses_no_click_and_the_next_one_goes_on(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(place / "new", out)
    command = ["clicks", str(place / "run"), str(place / "scene.tif"), "--out", str(out), "--no-browser"]
    with subprocess.Popen(
        [sys.executable, "-m", "deepnets4eo", *command], stdout=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        try:
            address = process.stdout.readline().strip()
            for version in range(3):
                click = {"version": version, "row": 9 * version, "col": 5, "class": version}
                assert request(address, "click", click)[0] == 200
        finally:
            process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    again = begin(place, out)
    assert saved(again) == [(0, 5, 0), (9, 5, 1), (18, 5, 2)]
    assert [again.labels[9 * k, 5] for k in range(3)] == [0, 1, 2]
    assert len(again.session.clicks) == 3


def test_the_page_of_clicks_names_its_own_verb(server: ClickServer) -> None:
    assert server.verb == "deepnets4eo clicks"
    assert b"deepnets4eo review" not in request(server.address, "clicks.js")[1]
    assert b"deepnets4eo clicks" in request(server.address, "clicks.js")[1]


def test_first_labels_have_the_precision_that_is_asked_for_and_clicks_all_digits(place: Path, tmp_path: Path) -> None:
    run = load_run(place / "run")
    scene = open_scene(str(place / "scene.tif"), run.segmenter)
    review = ClickReview(run, scene, tmp_path / "out", device="cpu", precision="bfloat16")
    assert review.segmenter.compute.to_dict() | {"threads": 1} == {
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
        "runtime": "torch",
    }
    exact, coarse = (Layer.open(folder / "entropy.tif").read()[0] for folder in (place / "new", tmp_path / "out"))
    assert 0 < np.abs(exact.astype(float) - coarse).mean() < 3
    row, col = review.next_click()
    review.stroke(lambda session: session.click(row, col, 1))
    assert review.labels[row, col] == 1
