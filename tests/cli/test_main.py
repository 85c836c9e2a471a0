"""The command line as a whole: verbs, version, exit codes, and what goes to which stream."""

import errno
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from deepnets4eo.cli.main import PANELS, PARTS, VERBS, app, main
from deepnets4eo.errors import GridError, InputError, LabelError, OutputError, RunError
from deepnets4eo.rasters import Layer
from deepnets4eo.version import __version__

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Help is wrapped to the terminal's width: one width for all."""
    monkeypatch.setenv("COLUMNS", "100")


def test_what_a_library_prints_by_pythons_hook_is_no_traceback(monkeypatch, capsys, tmp_path) -> None:
    """PyErr_PrintEx calls it where a callback of GDAL cannot raise, for a message that is no UTF-8."""

    def hooked(*_: object, **__: object) -> object:
        sys.excepthook(ValueError, ValueError("no UTF-8"), None)
        raise InputError("a.tif is damaged. Fetch it again.")

    monkeypatch.setattr(Layer, "open", hooked)
    before = sys.excepthook
    assert main(["objects", str(tmp_path / "a.tif"), "car", "--out", str(tmp_path / "cars.gpkg")]) == 2
    assert sys.excepthook is before
    assert "Traceback" not in (text := capsys.readouterr().err)
    assert "a.tif is damaged" in text
    assert "no UTF-8" not in text


def test_the_version_is_printed(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"deepnets4eo {__version__}\n"


def test_the_package_is_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deepnets4eo", "--version"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout) == (0, f"deepnets4eo {__version__}\n")


def test_help_lists_every_verb_in_order_with_its_line(capsys) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    places = [out.index(f"\n  {verb} ") for verb in VERBS]
    assert places == sorted(places)
    words = " ".join(out.split())
    assert all(f"{verb} {line}" in words for verb, line in VERBS.items())
    assert "Usage: deepnets4eo " in out


def test_help_groups_the_verbs(capsys) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert list(PANELS) == ["Damage", "Change", "Train and predict", "Points", "Helpers"]
    titles = [out.index(f"\n{panel}:\n") for panel in PANELS]
    assert titles == sorted(titles)
    assert len(VERBS) <= 24  # mcp, which assistants start


@pytest.mark.parametrize("words", [[verb, part] for verb, parts in PARTS.items() for part in parts])
def test_every_part_of_a_verb_has_a_paragraph_and_an_example(words: list[str], capsys) -> None:
    assert main([*words, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Usage: deepnets4eo {' '.join(words)} " in out
    assert f"deepnets4eo {' '.join(words)}" in out.split("\n", 2)[2]


def commands() -> dict[str, typer.core.TyperCommand]:
    """Every verb, and every part of a verb, as typer makes it."""
    group = typer.main.get_command(app)
    found = {}
    for verb in VERBS:
        command = group.get_command(None, verb)
        parts = getattr(command, "commands", None)
        found |= {f"{verb} {name}": part for name, part in parts.items()} if parts else {verb: command}
    return found


def test_no_verb_has_more_than_22_options_and_all_together_at_most_255() -> None:
    counts = {
        name: sum(parameter.param_type_name == "option" for parameter in command.params)
        for name, command in commands().items()
    }
    assert max(counts.values()) <= 22, counts
    # layers clouds and coherence write a raster each; train takes --images and --masks; review --image and --confidence; compare
    # --sample; mcp --write; series --dry-run
    assert sum(counts.values()) <= 255, counts


def test_keys_of_set_are_listed_and_mistyped_ones_get_the_nearest(capsys) -> None:
    for verb in ("damage", "change", "series", "rubble", "register", "predict", "objects", "evaluate"):
        assert main([verb, "--set", "help"]) == 0
        assert capsys.readouterr().out.count("\n") >= 4
    damage = ["damage", "a", "b", "c", "--out", "x"]
    for words, message in (
        (["--set", "senor=optical"], "--set senor=optical: unknown key 'senor'. Did you mean 'sensor'?"),
        (["--set", "sensor=lidar"], "--set: sensor is 'lidar'"),
        (["--set", "sensor"], "--set sensor has no value; expected KEY=VALUE"),
        (["--set", "model=x"], "--set model=x: model is an option. Give it as --model."),
        (["--set", "gsd_m=1"], "--set gsd_m=1: gsd_m is an option. Give it as --gsd."),
        (["--max-shift", "3"], "No such option --max-shift. Did you mean '--set max_shift_m=…'?"),
        (["--hazard", "Flood"], "No such option --hazard. Give it as --event name=HAZARD."),
        (["--gsd", "0.5m"], "Invalid value for '--gsd': Expected a number, such as 0.5, without a unit."),
        (["--event", "nme=Flood"], "--event nme=Flood: unknown key 'nme'. Did you mean 'name'?"),
        (["--event", "Flood"], "--event Flood is neither KEY=VALUE"),
    ):
        assert main([*damage, *words]) == 2
        assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_paragraph_and_an_example(verb: str, capsys) -> None:
    assert main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Usage: deepnets4eo {verb} " in out
    assert f"deepnets4eo {verb}" in out.split("\n", 2)[2]


@pytest.mark.parametrize(
    "arguments", [[], *([verb] for verb in VERBS if verb not in ("demo", "models", "datasets", "check"))]
)
def test_without_arguments_it_helps_and_fails(arguments: list[str], capsys) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert f"Usage: deepnets4eo {' '.join(arguments)}".strip() in shown.out + shown.err


@pytest.mark.parametrize(
    "arguments", [["damge"], ["models", "--jsno", "-"], ["predict", "run"], ["evaluate", "a", "b", "--erode", "-1"]]
)
def test_wrong_usage_ends_with_2_on_stderr(arguments: list[str], capsys) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Usage: deepnets4eo" in shown.err
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("a"), 2), (LabelError("a"), 2), (GridError("a"), 2), (RunError("a"), 2), (OutputError("a"), 1),
        (KeyboardInterrupt(), 130), (typer.Abort(), 130), (typer.Exit(7), 7),
    ],
)  # fmt: skip
def test_each_failure_has_its_status_and_one_line(error: BaseException, status: int, monkeypatch, capsys) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("deepnets4eo.cards.catalog.ShippedModel.names", fail)
    assert main(["models"]) == status
    shown = capsys.readouterr()
    assert shown.out == ""
    if status in (1, 2):
        assert shown.err == "Error: a\n"
    elif status == 130:
        assert shown.err.startswith("Interrupted. Finished work is kept; continue with --resume")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EMFILE, "Too many open files", "a.tif"), "a.tif: Too many open files. Let a process open more files, e.g. ulimit -n 4096"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "a: Permission denied. Ask for the right"),
        (MemoryError(), "the memory does not suffice"),
        (EOFError("EOF read where object expected"), "a file of the installation ends too early (EOF read where object expected)"),
        (RuntimeError("can't start new thread"), "the system starts no further thread: can't start new thread. Let the process have more"),
    ],
)  # fmt: skip
def test_errors_of_the_system_are_one_line_with_a_remedy(error: Exception, message: str, monkeypatch, capsys) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("deepnets4eo.cards.catalog.ShippedModel.names", fail)
    assert main(["models"]) == 1
    assert capsys.readouterr().err.lstrip().startswith(f"Error: {message}")


@pytest.mark.parametrize(
    "words",
    [
        ["models", "--json"], ["demo", "--out"],
        ["find", "--catalogue", "items.json", "--bbox", "1", "1", "2", "2", "--date", "2020-01-01", "--out"],
    ],
)  # fmt: skip
def test_an_output_whose_name_is_no_utf_8_is_refused_in_one_line(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "items.json").write_text('{"type": "FeatureCollection", "features": []}')
    assert main([*words, f"{tmp_path}/o\udcff.yaml"]) == 1
    error = capsys.readouterr().err
    assert "is not UTF-8. Choose another one." in error
    assert len(error.splitlines()) == 1


def test_another_runtime_error_is_a_bug_and_shows_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("a")

    monkeypatch.setattr("deepnets4eo.cards.catalog.ShippedModel.names", fail)
    with pytest.raises(RuntimeError, match="^a$"):
        main(["models"])


def test_debug_shows_the_error_itself(monkeypatch) -> None:
    def fail() -> None:
        raise InputError("a")

    monkeypatch.setattr("deepnets4eo.cards.catalog.ShippedModel.names", fail)
    with pytest.raises(InputError, match="a"):
        main(["models", "--debug"])


def test_libraries_that_talk_much_are_kept_quiet() -> None:
    logging.getLogger("rasterio").setLevel(logging.NOTSET)
    assert main(["--version"]) == 0
    for name in ("rasterio", "fiona", "pyogrio", "matplotlib", "PIL"):
        assert logging.getLogger(name).level == logging.WARNING


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["damge"], "Error: No such verb 'damge'. Did you mean 'damage'?"),
        (["zzz"], f"Error: No such verb 'zzz'. Choose from {', '.join(VERBS)}."),
        (["damage", "a", "b", "c", "--ouput", "x"], "Error: No such option --ouput. Did you mean '--out'?"),
        (["damage", "a", "b", "c", "--out", "x", "--zzz"], "Error: No such option --zzz."),
        (["models", "--jsno", "-"], "Error: No such option --jsno. Did you mean '--json'?"),
        (["layers", "heigths"], "Error: No such verb 'heigths'. Did you mean 'heights'?"),
        (
            ["demo", "--size", "1km"],
            "Error: Invalid value for '--size': Expected a whole number, such as 2, without a unit.",
        ),
        (["--verson"], "Error: No such option --verson. Did you mean '--version'?"),
    ],
)
def test_mistyped_verbs_and_options_get_the_nearest_name(arguments: list[str], line: str, capsys) -> None:
    assert main(arguments) == 2
    assert " ".join(capsys.readouterr().err.split()).endswith(line)


def test_a_file_whose_name_has_an_equals_sign_is_a_file() -> None:
    from deepnets4eo.osm import sources_of_words

    assert sources_of_words(["buildings=nowhere.gpkg"]) == {"buildings": "nowhere.gpkg"}
    assert sources_of_words(["https://place/x.geojson?a=b"]) == ["https://place/x.geojson?a=b"]


def test_a_file_in_a_folder_with_an_equals_sign_is_a_file(tmp_path) -> None:
    from deepnets4eo.osm import sources_of_words

    path = tmp_path / "theme=buildings" / "b.gpkg"
    path.parent.mkdir()
    path.touch()
    assert sources_of_words([str(path)]) == [str(path)]
    assert sources_of_words([f"buildings={path}"]) == {"buildings": str(path)}


def test_numpys_warnings_of_absurd_values_are_for_debugging(capsys) -> None:
    import warnings

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        main(["--version"])
        np.float32(3e38) * np.float32(10)
        np.sqrt(np.float64(-1))
        np.nanmean(np.full(3, np.nan))
    assert not shown
