"""Which precision a processor computes faster: measured once per model, kept, and the same for all processes of a job."""

import json
from pathlib import Path

import pytest
import torch
from small_segmenters import SCENE, deep_network

from deepnets4eo import processor
from deepnets4eo.damage import Settings
from deepnets4eo.damage.journal import with_precision
from deepnets4eo.jobs import Journal
from deepnets4eo.prediction import PredictOptions
from deepnets4eo.prediction.plan import make_plan
from deepnets4eo.processor import fastest_precision, time_convolution

SLOW, FAST = (
    {"float32": 0.008, "bfloat16": 0.014},
    {"float32": 0.0065, "bfloat16": 0.0032},
)  # of processors that were measured


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Put the caches into an empty folder and count measurements, whose answers are given."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls = []

    def answer(seconds):
        monkeypatch.setattr(processor, "time_convolution", lambda: calls.append(1) or seconds)
        fastest_precision.cache_clear()
        return fastest_precision()

    yield answer, calls
    fastest_precision.cache_clear()


@pytest.mark.parametrize(
    ("seconds", "chosen"), [(SLOW, "float32"), (FAST, "bfloat16"), ({"float32": 0.0065, "bfloat16": 0.006}, "float32")]
)
def test_bfloat16_is_taken_only_where_it_was_clearly_faster(measured, seconds, chosen):
    answer, _ = measured
    assert answer(seconds) == chosen


def test_a_processor_is_measured_once_and_another_one_again(measured, monkeypatch):
    answer, calls = measured
    assert [answer(FAST), answer(SLOW)] == ["bfloat16", "bfloat16"]
    monkeypatch.setattr(processor, "processor_model", lambda: ("another one", ""))
    assert [answer(SLOW), answer(FAST)] == ["float32", "float32"]
    assert len(calls) == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"a": {"float32": "x"}}', '{"a": 3}'])
def test_a_damaged_cache_is_measured_again(measured, tmp_path, text):
    answer, _ = measured
    file = tmp_path / "deepnets4eo" / "precision.json"
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")
    assert answer(FAST) == "bfloat16"
    assert list(json.loads(file.read_text(encoding="utf-8")).values()) == [FAST]


def test_a_cache_that_cannot_be_written_does_not_matter(measured, tmp_path):
    answer, calls = measured
    (tmp_path / "deepnets4eo").write_text("a file where the folder should be", encoding="utf-8")
    assert [answer(FAST), answer(SLOW)] == ["bfloat16", "float32"]
    assert len(calls) == 2


def test_both_precisions_are_timed_on_one_thread_and_the_threads_come_back():
    before = torch.get_num_threads()
    seconds = time_convolution()
    assert torch.get_num_threads() == before
    assert set(seconds) == {"float32", "bfloat16"}
    assert all(0 < value < 5 for value in seconds.values())


def test_a_job_that_goes_on_elsewhere_computes_in_the_precision_of_the_first_process(measured, tmp_path):
    answer, _ = measured
    journal = Journal(tmp_path / "job")
    settings = Settings(device="cpu")
    answer(FAST)
    assert with_precision(settings, journal).precision == "bfloat16"
    fastest_precision.cache_clear()
    (tmp_path / "deepnets4eo" / "precision.json").unlink()
    assert answer(SLOW) == "float32"  # another computer
    assert with_precision(settings, journal).precision == "bfloat16"
    assert with_precision(settings, Journal()).precision == "float32"
    assert with_precision(Settings(precision="float32"), journal).precision == "float32"


def test_a_prediction_that_goes_on_keeps_the_measured_precision_unless_another_is_named(measured):
    answer, _ = measured
    segmenter = deep_network("unet")
    answer(SLOW)
    for options, begun, precision in (
        ({}, {}, "float32"),
        ({}, {"device": "cpu", "precision": "bfloat16"}, "bfloat16"),
        ({"precision": "float32"}, {"device": "cpu", "precision": "bfloat16"}, "float32"),
    ):
        assert (
            make_plan(segmenter, SCENE, PredictOptions(device="cpu", **options), begun).compute.precision == precision
        )


def test_of_two_processes_that_choose_at_once_one_decides(tmp_path):
    journal = Journal(tmp_path / "job")

    def slowly() -> str:
        assert journal.agree("word", lambda: "first") == "first"  # meanwhile
        return "second"

    assert journal.agree("word", slowly) == "first"
    assert [path.name for path in journal.folder.iterdir()] == ["word.npz"]
    Path(journal.folder / "word.npz").write_bytes(b"cut")
    assert journal.agree("word", lambda: "third") == "third"
