"""Whatever a library raises while a file is read becomes an error of the package that names the file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from affine import Affine
from refusals import raises_naming

from deepnets4eo.errors import GridError, InputError, OutputError, Reading, RunError
from deepnets4eo.grid import Grid
from deepnets4eo.rasters import Layer


class PanicException(BaseException):
    """As libraries in Rust raise it."""


@pytest.mark.parametrize(
    "error",
    [
        KeyError("IFD"), IndexError(), SystemError("returned NULL"), ZeroDivisionError(), RecursionError(), MemoryError(),
        AssertionError(), NotImplementedError("x"), OSError(5, "Input/output error"), UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
        StopIteration(), PanicException("index out of bounds"), np.linalg.LinAlgError("singular"), Warning("w"),
    ],
)  # fmt: skip
def test_every_foreign_error_becomes_one_that_names_the_file(error: BaseException) -> None:
    with (
        raises_naming(RunError, "a.tif") as raised,
        Reading("a.tif", "Copy it.", kind=RunError),
    ):
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [InputError("x"), OutputError("x"), GridError("x"), KeyboardInterrupt(), SystemExit(2), GeneratorExit()]
)
def test_errors_of_the_package_and_the_end_of_the_program_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, Reading("a.tif"):
        raise error
    assert raised.value is error


def test_a_reader_is_decorated_by_its_source() -> None:
    class Model:
        @classmethod
        @Reading.of_source("Copy it.", RunError)
        def load(cls, source: str = "shipped", *, key: int = 1) -> int:
            return key // 0

    for make in (
        lambda: Model.load("m.yaml"),
        lambda: Model.load(source="m.yaml"),
        lambda: Model.load("m.yaml", key=3),
    ):
        with raises_naming(RunError, "m.yaml"):
            make()


@pytest.mark.parametrize(
    "affine",
    [
        Affine(np.nan, 0, 0, 0, -1, 0),
        Affine(1, 0, np.nan, 0, -1, 0),
        Affine(1, 0, np.inf, 0, -1, 0),
        Affine(0, 0, 0, 0, 0, 0),
    ],
)
def test_an_array_on_a_grid_that_is_none_is_refused(affine: Any) -> None:
    with pytest.raises(GridError):
        Layer.open(np.ones((3, 8, 8), np.uint8), grid=Grid((8, 8), affine, "EPSG:32633"))
