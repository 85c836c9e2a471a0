"""Names in files of others are shown on the terminal, and do nothing there."""

import ast
import io
import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
import shapely
from geotiff import write_geotiff

import deepnets4eo.cli
from deepnets4eo.cli import output
from deepnets4eo.cli.main import main
from deepnets4eo.cli.output import (
    PROGRAM,
    STDOUT,
    VisibleFormatter,
    echo,
    own_command,
    progress,
    show_footprints,
    show_json,
    visible,
)
from deepnets4eo.errors import OutputError
from deepnets4eo.files import named_path
from deepnets4eo.jobs import JobOutput

ESCAPE = "\x1b]0;owned\x07\x1b[2J"
TURNED = "\u202egpj.exe"
ACTING = [chr(code) for code in [*range(9), *range(11, 32), *range(0x7F, 0xA0), 0x200F, 0x2028, 0x202E, 0x2066, 0xDCFF]]


@pytest.mark.parametrize("character", ACTING, ids=lambda text: hex(ord(text)))
def test_control_characters_are_written_as_json_writes_them(character):
    shown = visible(f"a{character}b")
    assert shown.isprintable()
    assert json.loads(f'"{shown}"') == f"a{character}b"


@pytest.mark.parametrize("text", ["naïve café", "город 街", "👩‍🌾", "می‌خواهم", "a\tb\nc", "[red]roof[/red]"])
def test_text_of_any_language_stays_as_it_is(text):
    assert visible(text) == text


def test_columns_and_files_named_to_act_on_the_terminal_are_shown_by_check(tmp_path, capsys):
    path = tmp_path / f"a{TURNED}\x1b[1m.gpkg"
    missing = tmp_path / "b\n  ! fine.gpkg"
    column = f"roof{ESCAPE}{TURNED}\n  ! nothing is wrong"
    gpd.GeoDataFrame({column: [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:32615").to_file(
        path, layer=f"b{ESCAPE}"
    )
    assert main(["check", str(path)]) == 0
    assert main(["check", str(missing)]) == 2
    printed = capsys.readouterr().out
    assert all(line.isprintable() for line in printed.splitlines())
    assert "roof\\u001b]0;owned" in printed
    assert not any(line.strip().startswith(("! nothing", "! fine")) for line in printed.splitlines())


def test_messages_of_errors_and_wrong_usage_are_shown(tmp_path, capsys):
    assert main(["check", str(tmp_path / f"a{ESCAPE}.tif")]) == 2
    assert main(["predict", f"{tmp_path}/run{ESCAPE}", "a.tif", "--out", str(tmp_path / "b.tif")]) == 2
    assert main(["check", f"--legen{ESCAPE}"]) == 2
    printed = "".join(capsys.readouterr())
    assert printed.count("owned") >= 3
    assert all(line.isprintable() for line in printed.splitlines())


def test_log_lines_are_shown():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(VisibleFormatter("%(message)s"))
    handler.emit(logging.makeLogRecord({"msg": "layer %s", "args": (ESCAPE,)}))
    assert stream.getvalue() == "layer \\u001b]0;owned\\u0007\\u001b[2J\n"


def test_warnings_of_libraries_are_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    main(["check", str(tmp_path / "missing.tif")])
    shown = warnings.formatwarning(f"layer {ESCAPE}", RuntimeWarning, "a.py", 1)  # what Python prints warnings with
    assert "layer \\u001b]0;owned" in shown
    assert all(line.isprintable() for line in shown.splitlines())


def test_json_on_the_terminal_stays_the_same_json(capsys):
    value = {"name": f"{ESCAPE}{TURNED}\x9b", "line": "a\nb"}
    show_json(value, STDOUT)
    printed = capsys.readouterr().out
    assert json.loads(printed) == value
    assert all(line.isprintable() for line in printed.splitlines())


def test_to_stderr_without_a_newline(capsys):
    echo("a", err=True, nl=False)
    assert capsys.readouterr() == ("", "a")


def test_verbs_print_in_this_way_alone():
    folder = Path(deepnets4eo.cli.__file__).parent
    calls = [
        (path.name, ast.unparse(node.func))
        for path in sorted(folder.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]
    assert ("check.py", "echo") in calls
    assert [call for call in calls if call[1] in ("typer.echo", "print", "typer.secho")] == [
        ("output.py", "typer.echo")
    ]


def test_a_full_disk_behind_stdout_is_one_line(monkeypatch, capsys):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("sys.stdout", Full())
    assert main(["models"]) == 1
    assert capsys.readouterr().err == (
        "Error: nothing can be printed: No space left on device. Free some space, or print elsewhere.\n"
    )


def test_a_job_whose_stderr_is_closed_or_full_writes_its_result(tmp_path, monkeypatch, capsys):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    ramp = np.linspace(0, 1, 400, dtype=np.float32).reshape(1, 20, 20)
    for name in ("scores.tif", "image.tif"):
        write_geotiff(tmp_path / name, ramp)
    for number, stream in enumerate((None, Full())):
        monkeypatch.setattr(sys, "stderr", stream)
        out = tmp_path / f"out{number}.tif"
        inputs = [str(tmp_path / "scores.tif"), str(tmp_path / "image.tif")]
        assert main(["layers", "refine", *inputs, "--set", "steps=1", "--device", "cpu", "--out", str(out)]) == 0
        assert out.is_file()
        assert capsys.readouterr().out == f"{out}\n"
        echo("a line that is no result", err=True)


@pytest.mark.skipif(sys.platform == "win32", reason="closes a stream as shells of POSIX do")
def test_no_file_of_a_job_gets_the_number_of_a_stream_that_is_closed():
    code = (
        "import os, sys; from deepnets4eo.cli.output import open_closed_streams; open_closed_streams();"
        "print('lost', file=sys.stderr); os.write(2, b'lost'); print(os.open(os.devnull, os.O_RDONLY) > 2)"
    )
    command = f"exec '{sys.executable}' -c \"{code}\" 0<&- 2>&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout == "True\n"


def test_log_lines_of_progress_hold_the_time_left_by_the_pace_since_the_first_share(monkeypatch, caplog):
    clock = iter([0.0, 5.0, 15.0, 20.0, 30.0, 3000.0, 3100.0])
    monkeypatch.setattr("deepnets4eo.cli.output.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    with caplog.at_level("INFO", logger="deepnets4eo"), progress("predict") as advance:
        for share in (0.5, 0.6, 0.65, 0.75, 0.751, 1.0):  # half was done before
            advance(share)
    assert caplog.messages == [
        "predict: 60 %, about 40 s left",
        "predict: 75 %, about 25 s left",
        "predict: 75 %, about 50 min left",
        "predict: 100 %",
    ]


def test_traces_that_libraries_log_are_for_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rasterio logs errors of GDAL with a trace, e.g. of a damaged JPEG 2000, beside raising them."""
    try:
        raise ValueError("deep within")
    except ValueError:
        record = logging.LogRecord(
            "rasterio", logging.ERROR, "", 0, "cannot decode %s", ("a.jp2",), sys.exc_info(), None, "stack"
        )
    levels = {logging.INFO: "cannot decode a.jp2", logging.DEBUG: "Traceback"}
    for level, expected in levels.items():
        monkeypatch.setattr(logging.getLogger(), "level", level)
        logging.getLogger().manager._clear_cache()
        text = VisibleFormatter("%(message)s").format(record)
        assert expected in text
        assert ("Traceback" in text) == (level == logging.DEBUG)


def test_the_command_that_is_printed_is_one_that_this_shell_can_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "my env" / "bin" / PROGRAM
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script), "demo"])
    monkeypatch.setenv("PATH", str(script.parent))
    assert own_command() == PROGRAM, "an activated environment"
    assert own_command("review", Path("my map.tif"), "--serve") == f"{PROGRAM} review 'my map.tif' --serve"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert own_command() == f"'{script}'"
    monkeypatch.chdir(tmp_path)
    assert own_command() == f"'my env/bin/{PROGRAM}'", "as make demo calls it"
    monkeypatch.chdir(script.parent)
    assert own_command() == f"./{PROGRAM}", "in the folder of the program"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / PROGRAM / "__main__.py")])
    assert own_command().endswith(f" -m {PROGRAM}")


@pytest.mark.parametrize(("folder", "expected"), [("my env", '& "{}"'), ("env", "{}")])
def test_on_windows_only_commands_with_spaces_are_quoted_and_called(
    folder: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "os", SimpleNamespace(name="nt", path=os.path))
    monkeypatch.setenv("PATH", str(tmp_path))
    script = tmp_path / folder / PROGRAM
    monkeypatch.setattr(sys, "argv", [str(script), "demo"])
    assert own_command() == expected.format(script)
    assert own_command("review", "my map.tif") == f'{expected.format(script)} review "my map.tif"'
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "__main__.py")])
    monkeypatch.setattr(sys, "executable", str(script))
    assert own_command() == f"{expected.format(script)} -m {PROGRAM}"


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({}, ""),
        ({"repaired": 2}, "footprints: 8 of 10 rows used, 2 repaired"),
        ({"renamed": 1}, "footprints: 8 of 10 rows used, 1 id renamed"),
        ({"dropped": {"not a polygon": 1, "empty": 1}}, "footprints: 8 of 10 rows used; left out: 1 not a polygon; 1 empty"),
        ({"repaired": 1, "renamed": 3, "dropped": {"empty": 2}}, "footprints: 8 of 10 rows used, 1 repaired, 3 ids renamed; left out: 2 empty"),
    ],
)  # fmt: skip
def test_one_line_tells_what_was_done_to_footprints(
    changed: dict[str, object], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_footprints({"read": 10, "used": 8, "dropped": {}, "repaired": 0, "renamed": 0} | changed)
    show_footprints({})
    assert capsys.readouterr().err.strip() == line


@pytest.mark.parametrize(
    "words",
    [
        ["register", "none.tif", "none.tif", "--json"], ["check", "none.tif", "--json"], ["models", "--json"], ["datasets", "--json"],
        ["export", "none", "--onnx"], ["evaluate", "none.tif", "none.tif", "--json"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", [".", "..", "folder"])
def test_a_folder_as_name_of_a_file_is_refused_in_one_line_before_any_work(words, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    assert main([*words, name]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"Error: {name} is a folder, expected the name of a file to write. Add a name: {Path(name) / 'NAME'}."
    ]


@pytest.mark.parametrize("name", ["label-points", "layers refine", "part of rows"])
def test_files_next_to_a_folder_without_a_name_are_refused(name, tmp_path, monkeypatch, capsys):
    """Names of hidden files next to the output, or of its page, are made of its name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cloud.xyz").write_text("\n".join(f"{x} {y} 1" for x in range(9) for y in range(9)))
    write_geotiff(tmp_path / "score.tif", np.zeros((16, 16), np.float32))
    words = {
        "label-points": ["label-points", "cloud.xyz", "--model", "rules", "--out", "."],
        "layers refine": ["layers", "refine", "score.tif", "score.tif", "--out", "."],
    }
    if name in words:
        assert main([*words[name], "--overwrite"]) == 1
        assert capsys.readouterr().err.splitlines()[-1].startswith("Error: . is a folder")
    else:
        for out in (".", ".."):
            with pytest.raises(OutputError, match="is a folder"):
                JobOutput(Path(out), last="")


def test_a_legend_of_masks_is_next_to_the_run_folder_by_its_own_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert named_path(Path(".")) == tmp_path.resolve()
    assert named_path(Path("..")) == tmp_path.resolve().parent
    assert named_path(Path("a/b")) == Path("a/b")
    with pytest.raises(OutputError, match="whole disk"):
        named_path(Path("/"))


@pytest.mark.parametrize(("name", "number"), [("label-points", 81), ("check", 2)])
def test_json_for_the_standard_output_is_all_that_it_gets(name, number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cloud.xyz").write_text("\n".join(f"{x} {y} 1" for x in range(9) for y in range(9)))
    write_geotiff(tmp_path / "score.tif", np.zeros((16, 16), np.float32))
    before = {*tmp_path.iterdir()}
    words = {
        "label-points": ["label-points", "cloud.xyz", "--model", "rules", "--out", "labelled.las"],
        "check": ["check", "score.tif", "score.tif"],
    }
    assert main([*words[name], "--json", "-"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["points"] if name == "label-points" else len(printed["files"])) == number
    assert {path.name for path in {*tmp_path.iterdir()} - before} <= {"labelled.las"}
