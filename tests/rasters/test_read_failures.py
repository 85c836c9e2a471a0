"""What cannot be read now and what is refused are two errors: a server that fails and a disk that is gone may come back."""

from pathlib import Path

import pytest

from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError, UnreadableError
from deepnets4eo.formats import rasters


def test_a_broken_connection_and_a_file_that_is_gone_may_come_back_but_a_damaged_file_does_not(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.tif"
    damaged.write_bytes(b"II*\0")
    names = [
        "https://example.org/a.tif",
        "/vsicurl/https://example.org/a.tif",
        str(tmp_path / "gone.tif"),
        "/vsizip//vsis3/bucket/a.zip/a.tif",
        str(damaged),
        f"/vsizip/{tmp_path}/a.zip/a.tif",
    ]
    errors = [InputError.of_reading(name) for name in names]
    assert [isinstance(error, UnreadableError) for error in errors] == [True, True, True, True, False, False]
    assert [error.status for error in errors] == [1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("answer", "passing"),
    [
        ("CURL error: Could not resolve host", True),
        ("HTTP response code: 500", True),
        ("HTTP response code: 503", True),
        ("HTTP response code: 429", True),
        ("HTTP response code: 404", False),
        ("HTTP response code: 403", False),
    ],
)
def test_an_answer_of_a_server_passes_or_is_final(answer: str, passing: bool) -> None:
    with pytest.raises(InputError) as error:
        rasters._check_answered("https://example.org/a.tif", answer)
    assert isinstance(error.value, UnreadableError) is passing


def test_what_cannot_be_read_now_ends_with_another_status_than_wrong_input(monkeypatch: pytest.MonkeyPatch) -> None:
    for error, status in ((UnreadableError("HTTP 500."), 1), (InputError("no raster."), 2)):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("deepnets4eo.cli.main._command", lambda *_: fail())
        assert main(["datasets"]) == status
