"""Options of a verb come from its settings class, and its help shows them in groups."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

from deepnets4eo.cli.main import main
from deepnets4eo.cli.option_groups import GroupedCommand, with_options


@dataclass(frozen=True)
class Blur:
    """Three options with a description, one field that is no option."""

    radius_px: Annotated[
        int, Field(description="Radius.", ge=1, le=9, json_schema_extra={"group": "Filter", "flag": "--radius"})
    ] = 3
    edge: Annotated[Literal["mirror", "zero"], Field(description="Beyond the edge.")] = "mirror"
    seed: Annotated[int, Field(description="Seed of all randomness.")] = 4
    kernel: tuple[int, ...] = field(default=(1, 2))


@pytest.fixture
def run():
    """Runs a verb with such settings; returns its result object and the settings it was called with."""
    taken: list[Any] = []

    @with_options(Blur)
    def verb(
        image: str,
        mask: Annotated[str, typer.Option(rich_help_panel="Filter", help="Mask.")] = "",
        settings: Blur = Blur(),
    ) -> None:
        taken.extend([image, mask, settings])

    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command(cls=GroupedCommand)(verb)
    return lambda *words: (CliRunner(env={"COLUMNS": "100", "TERM": "dumb"}).invoke(app, list(words)), taken)


def test_fields_are_options_with_the_defaults_of_the_class(run) -> None:
    result, taken = run("a.tif")
    assert result.exit_code == 0, result.output
    assert taken == ["a.tif", "", Blur()]


def test_options_change_the_fields(run) -> None:
    words = ["--radius", "5", "--edge", "zero", "--seed", "7", "--mask", "m"]
    result, taken = run("a.tif", *words)
    assert result.exit_code == 0, result.output
    assert taken == ["a.tif", "m", Blur(5, "zero", 7)]


@pytest.mark.parametrize("words", [["--radius", "0"], ["--radius", "10"], ["--edge", "wrap"], ["--kernel", "1"]])
def test_values_outside_the_limits_and_fields_without_description_are_refused(run, words) -> None:
    result, taken = run("a.tif", *words)
    assert result.exit_code == 2
    assert words[0] in result.output
    assert not taken


def test_help_shows_the_options_under_the_headings_of_their_groups(run) -> None:
    lines = run("--help")[0].output.splitlines()
    headings = {line.rstrip(":"): [] for line in lines if line.endswith(":") and not line.startswith(" ")}
    heading = ""
    for line in lines:
        heading = line.rstrip(":") if line.rstrip(":") in headings else heading
        if line.startswith("  ") and heading:
            headings[heading].append(line.split()[0])
    assert list(headings) == ["Arguments", "Options", "Filter"]
    assert headings["Filter"] == ["--mask", "--radius"]
    assert {"--edge", "--seed", "--help"} <= set(headings["Options"])


def test_a_verb_without_such_a_parameter_is_refused() -> None:
    with pytest.raises(TypeError, match="no parameter of type Blur"):
        with_options(Blur)(lambda image: None)


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "1e400"])
@pytest.mark.parametrize(
    "words",
    [
        ["layers", "heights", "a.tif", "--out", "b.tif", "--max-building-m"],
        ["layers", "footprints", "a.pbf", "--out", "b.gpkg", "--bbox", "1", "1", "2"],
        ["polygons", "a.tif", "--out", "b.gpkg", "--simplify"],
        ["polygons", "a.tif", "--out", "b.gpkg", "--min-area"],
        ["objects", "a.tif", "car", "--out", "b.gpkg", "--gsd"],
        ["compare", "a", "b", "--out", "c", "--set", "above="],
        ["damage", "-", "a.tif", "b.gpkg", "--out", "c", "--set", "damaged_share="],
        ["flood", "a.tif", "--out", "c", "--set", "looks="],
        ["predict", "run", "a.tif", "--out", "b.tif", "--set", "scales=1,"],
        ["predict", "run", "a.tif", "--out", "b.tif", "--memory", ""],
    ],
    ids=lambda words: f"{words[0]} {words[-2] if words[-1] in ('', '2') else words[-1]}",
)
def test_no_number_of_a_verb_is_nan_or_infinite(
    words: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused before any file is looked for."""
    joined = [*words[:-1], words[-1] + word] if words[-1] == "" or words[-1][-1] in "=," else [*words, word]
    assert main(joined) == 2
    printed = capsys.readouterr().err
    name = next(part for part in reversed(words) if len(part) > 1).partition("=")[0]
    assert name in printed
    assert "exist" not in printed
