"""A job that several processes share: the map is the one that a single process makes, and nothing is computed twice."""

import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rasterio.env import get_gdal_config
from small_grader import make_grader

from deepnets4eo import prediction
from deepnets4eo.cli.main import main
from deepnets4eo.damage import JobControl, Settings, assess, assess_inputs, assess_part, job, open_inputs
from deepnets4eo.damage.network import grader as network_grader
from deepnets4eo.damage.site.site import Inputs
from deepnets4eo.damage.structure import block, evidence as structure
from deepnets4eo.errors import InputError
from deepnets4eo.jobs import Part, identities
from deepnets4eo.rasters import Layer
from deepnets4eo.rasters.gdal_memory import CACHE_BYTES
from deepnets4eo.segmenters import NetworkSegmenter
from deepnets4eo.synthetic import City, Event

pytestmark = pytest.mark.usefixtures("labelled_once")
PRE_WIDTH = 184  # of 256 columns: beyond, buildings are assessed from the post image alone


@pytest.fixture(scope="module")
def city() -> City:
    return City(5, 256, 0.5, event=Event(shift_px=(2.0, -3.0), rotation_deg=0.0))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_grader(tmp_path_factory.mktemp("box") / "run")


@pytest.fixture
def count(network: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[int, int]]:
    """Blocks of 64 px, and a default damage network; returns how many blocks and tiles were computed since the last call."""
    done = {"blocks": 0, "tiles": 0}
    measure, label = block.measure_block, NetworkSegmenter.predict_raw

    def measure_one(*positional: object) -> object:
        done["blocks"] += 1
        return measure(*positional)

    def label_one(self: NetworkSegmenter, batch: np.ndarray, *, margin_px: int = 0) -> np.ndarray:
        done["tiles"] += 1
        return label(self, batch, margin_px=margin_px)

    def since() -> tuple[int, int]:
        counts = done["blocks"], done["tiles"]
        done.update(blocks=0, tiles=0)
        return counts

    monkeypatch.setattr(network_grader, "shipped_folder", lambda: network)
    monkeypatch.setattr(structure, "BLOCK_PX", 64)
    monkeypatch.setattr(block, "measure_block", measure_one)
    monkeypatch.setattr(NetworkSegmenter, "predict_raw", label_one)
    return since


def inputs_of(city: City, *, pre: bool = True) -> Inputs:
    before = Layer.open(city.pre.image[:, :, :PRE_WIDTH], grid=city.pre.grid[:, :PRE_WIDTH])
    post = Layer.open(city.post.image, grid=city.post.grid)
    return open_inputs(before if pre else None, post, city.footprints(), Settings(workers=1))


@pytest.mark.parametrize("pre", [True, False])
def test_three_parts_in_any_order_make_the_map_of_one_process(
    city: City, pre: bool, count: Callable[[], tuple[int, int]], tmp_path: Path
) -> None:
    inputs, settings = inputs_of(city, pre=pre), Settings(workers=1)
    whole = assess_inputs(inputs, settings)
    blocks, tiles = count()
    assert min(blocks, tiles) >= 6
    shares: list[float] = []
    work = JobControl(tmp_path / "scratch", shares.append)
    computed = []
    for number in (2, 3, 1):
        shares.clear()
        assess_part(inputs, Part(number, 3), settings, work)
        computed.append(count())
        assert shares == sorted(shares)
        assert shares[-1] == pytest.approx(1.0)
    assert sum(part[0] for part in computed) == blocks
    assert all(0 < part[0] < blocks and 0 < part[1] < tiles for part in computed)
    divided = assess_inputs(inputs, settings, work)
    assert count() == (0, 0)
    assert set(whole.buildings["method"]) >= {"pre_post", "post_only"} - ({"pre_post"} if not pre else set())
    pd.testing.assert_frame_equal(pd.DataFrame(divided.buildings), pd.DataFrame(whole.buildings), check_exact=True)
    assert divided.findings == whole.findings
    assert divided.estimates == whole.estimates


def test_the_cache_of_gdal_is_small_while_a_job_or_a_part_of_it_runs(
    city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, limits, before = inputs_of(city), [], get_gdal_config("GDAL_CACHEMAX")

    def stop(*_positional: object) -> None:
        limits.append(get_gdal_config("GDAL_CACHEMAX"))
        raise InputError("stop")

    monkeypatch.setattr(job, "load_model", stop)
    for run in (assess_inputs, partial(assess_part, part=Part(), work=JobControl(tmp_path))):
        with pytest.raises(InputError, match="stop"):
            run(inputs)
    assert limits == [CACHE_BYTES] * 2
    assert get_gdal_config("GDAL_CACHEMAX") == before


def test_parts_label_all_tiles_of_water_and_the_last_process_none(
    city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook in the one sliding window sees who computes tiles."""
    computed: list[int] = []

    def predict(*positional: object, **named: object) -> prediction.Prediction:
        done = label(*positional, **named)  # type: ignore[arg-type]
        computed.append(done.computed)
        return done

    label = prediction.predict
    monkeypatch.setattr(prediction, "predict", predict)
    settings = Settings(workers=1, network=False)
    inputs = open_inputs(
        *(Layer.open(date.image, grid=date.grid) for date in (city.pre, city.post)), city.footprints(), settings
    )
    whole = assess_inputs(inputs, settings, JobControl(tmp_path / "whole"))
    (tiles,) = computed
    assert tiles > 0
    computed.clear()
    for number in (2, 1):
        assess_part(inputs, Part(number, 2), settings, JobControl(tmp_path / "scratch"))
    assert sum(computed) >= tiles
    computed.clear()
    divided = assess_inputs(inputs, settings, JobControl(tmp_path / "scratch"))
    assert computed == [0]
    pd.testing.assert_frame_equal(pd.DataFrame(divided.buildings), pd.DataFrame(whole.buildings), check_exact=True)
    assert divided.findings == whole.findings


def test_a_part_needs_a_folder_that_all_see(city: City) -> None:
    with pytest.raises(InputError, match="no scratch folder. Give JobControl one"):
        assess_part(inputs_of(city), Part(1, 2))


@pytest.fixture(scope="module")
def place(city: City, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return city.write(tmp_path_factory.mktemp("place"))


def damage(place: Path, out: Path, *more: str, footprints: str = "", post: str = "") -> int:
    names = [str(place / "pre.tif"), post or str(place / "post.tif"), footprints or str(place / "footprints.gpkg")]
    return main(["damage", *names, "--out", str(out), *more])


def test_parts_on_the_command_line_and_the_job_that_completes_them(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "city"
    for part in ("1/3", "3/3"):
        assert damage(place, out, "--part", part) == 0
        assert f"part {part} is done and kept beside {out}" in capsys.readouterr().out
    assert not out.exists()
    assert damage(place, out) == 1
    assert "2 parts of a job into" in (refused := capsys.readouterr().err)
    assert "Pass --resume to make the map of them, or --overwrite to begin again." in refused
    assert damage(place, out, "--resume", footprints=str(place / "post.tif")) == 2  # a slip of the user's
    with caplog.at_level(logging.INFO):
        assert damage(place, out, "--resume") == 0
    assert "of 3 parts these are not done: 2; their work is done now" in caplog.text
    assert "alignments: kept from an earlier job" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["city"]
    assert "not used" not in caplog.text
    made = pd.read_csv(out / "damage.csv")
    pre, post, footprints = (place / name for name in ("pre.tif", "post.tif", "footprints.gpkg"))
    alone = assess(pre, post, footprints, settings=Settings())
    assert made["damage"].tolist() == alone.buildings["damage"].tolist()


def test_parts_over_an_older_map_and_those_of_another_job_are_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "city"
    assert damage(place, out, "--also", "none") == 0
    assert damage(place, out, "--part", "1/2", "--overwrite") == 0
    assert damage(place, out, "--resume") == 1
    assert "exists already, and 1 part of a job into" in (refused := capsys.readouterr().err)
    assert "Pass --overwrite to replace it by their map." in refused  # --resume is given
    flat = tmp_path / "flat.tif"  # another image after the event
    flat.write_bytes((place / "post.tif").read_bytes())
    complete = ["--resume", "--overwrite", "--also", "none"]
    done_with_others = (
        "1 part beside this one was done with other inputs, options or code of this package. Give all parts"
    )
    for options, post in ((["--set", "damaged_share=0.3"], ""), ([], str(flat))):
        for verb in (complete, ["--part", "2/2", "--overwrite"]):
            assert damage(place, out, *verb, *options, post=post) == 1
            assert done_with_others in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(identities, "code_version", lambda: "0.1.0+another")
        assert damage(place, out, *complete) == 1
        assert done_with_others in capsys.readouterr().err
    assert damage(place, out, "--part", "2/3", "--overwrite") == 1
    assert (
        "the job was divided into 2 and into 3 parts. Give all parts the same number, or remove"
        in capsys.readouterr().err
    )
    assert damage(place, out, "--part", "2/2", "--overwrite") == 0
    assert damage(place, out, *complete) == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".partial")] == []
    written = {path.name: path.read_bytes() for path in out.iterdir()}
    capsys.readouterr()
    same = ["--resume", "--also", "none"]
    assert damage(place, out, *same) == 0  # so that whoever starts it again until it is done comes to an end
    assert "already complete, nothing is left to resume" in capsys.readouterr().err
    assert damage(place, out, *same, post=str(flat)) == 0  # a copy of the image
    with Image.open(flat) as image:
        Image.fromarray(255 - np.asarray(image)).save(flat)
    for words, differing in ((["--resume"], "also"), ([*same, "--set", "damaged_share=0.3"], "damaged_share")):
        assert damage(place, out, *words) == 2
        assert f"{differing} " in capsys.readouterr().err.partition("is of another job: ")[2].partition("then")[0]
    assert damage(place, out, *same, post=str(flat)) == 2
    assert "post " in capsys.readouterr().err.partition("is of another job: ")[2]
    assert {path.name: path.read_bytes() for path in out.iterdir()} == written
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    manifest["findings"].insert(0, {"code": "a", "severity": "worthless", "message": "It shows another place."})
    (out / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert damage(place, out, *same) == 3  # as it ended before
    assert capsys.readouterr().err.endswith("DO NOT USE THIS MAP: It shows another place.\n")


def test_a_part_is_refused_where_buildings_must_be_found_and_where_a_map_is(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert damage(place, tmp_path / "out", "--part", "1/2", footprints="-") == 2
    assert "FOOTPRINTS is -, and --part is given" in capsys.readouterr().err
    assert damage(place, tmp_path / "out", "--part", "3/2") == 2
    assert "there is no part 3 of 2" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text("{}")
    assert damage(place, tmp_path / "out", "--part", "1/2") == 1
    assert "exists already" in capsys.readouterr().err
