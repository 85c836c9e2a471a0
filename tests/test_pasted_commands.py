"""Every command of the README and of the how-tos runs as it stands, on made-up files of the names that it uses (SYNTHETIC)."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up_files import fill, make, set_words, small, unfilled

from deepnets4eo.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "experiments"))  # a recipe has its task there


def pasted(text: str) -> list[str]:
    """Commands of the code blocks, continued lines as one, without comments."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [re.split(r"\s#\s|\s+#", line)[0].strip() for line in lines if line.strip().startswith("deepnets4eo ")]


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = {page.relative_to(ROOT).as_posix(): lines for page in PAGES if (lines := pasted(page.read_text("utf-8")))}
# what a test cannot do, and where it is tested instead
NOT_RUN = {
    "--install-completion": "changes the settings of the shell",
    "--serve": "a page that serves until it is stopped: tests/browser",
    "prithvi.safetensors": "needs weights of others: tests/segmenters",
    "galileo.safetensors": "needs weights of others: tests/segmenters/test_dated_encoders.py, tests/change/test_dated_features.py",
    "deepnets4eo series embeddings/ --out changes --set cell_px=4": "the same",
    "dynamicworld.onnx": "needs a network of others: tests/segmenters/test_onnx_segmenter.py",
    "roofs.onnx": "needs a network of others: tests/segmenters/test_onnx_segmenter.py",
    "network.onnx": "needs a network of others: tests/segmenters/test_onnx_segmenter.py",
    "evaluate roofs.tif": "the same",
    "evaluate world.tif": "the same; tests/evaluation/test_rules.py scores by such a card",
    "dinov3.safetensors": "needs weights of others: tests/segmenters/test_encoder_files.py",
    "deepnets4eo clicks": "a page that serves until it is stopped: tests/browser",
    "--online": "needs a network",
    "deepnets4eo find --place": "needs a network",
    "--catalogue vantor": "needs a network",
    "--catalogue earth-search": "needs a network",
    "--catalogue https:": "needs a network",
    "layers clouds": "needs the extra clouds: tests/inspection/test_cloud_network.py",
    "deepnets4eo mcp": "serves until its input ends: tests/assistant",
    "tls://": "needs a cluster",
}


def runs_here(line: str) -> bool:
    return not any(part in line for part in NOT_RUN)


def words_of(line: str) -> list[str]:
    """The words of a command, with those that make it small, and leave to replace what an earlier one of the page wrote."""
    line = line.replace("$SLURM_ARRAY_TASK_ID", "1").replace("--looks 200", "--looks 40")
    line = line.replace("train.epochs=20", "train.epochs=1").partition(" > ")[0]
    words = shlex.split(line)[1:]
    if words[:1] == ["train"]:
        words += small(words[1], set_words(words))
    if words[0] == "demo":
        words += ["--size", "384"]
    out = words[words.index("--out") + 1] if "--out" in words else None
    if out and "--part" in words and (Path(out) / "manifest.json").exists():
        shutil.rmtree(out)
    if out and Path(out).exists() and not {"--resume", "--part", "--dry-run"} & {*words}:
        words.append("--overwrite")
    return words


WRITTEN = {
    "--out",
    "--json",
    "--csv",
    "--figure",
    "--probabilities",
    "--values",
    "--onnx",
    "--hub",
    "--page",
    "--tie-points",
}


def inputs(words: list[str]) -> Iterator[str]:
    """Names of files and folders that a command may read."""
    for before, word in zip(words[1:], words[2:], strict=False):
        for name in re.findall(r"[\w./-]+", word):
            yield from (str(folder) for folder in reversed(Path(name).parents) if folder != Path())
            if before not in WRITTEN:
                yield name.rstrip("/")


@pytest.mark.beyond_core
@pytest.mark.parametrize("page", COMMANDS)
def test_the_commands_of_a_page_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in filter(runs_here, COMMANDS[page]):
        for name in inputs(shlex.split(line)):
            make(name, tmp_path, page)
        words = words_of(line)
        status = main(words)
        said = capsys.readouterr()
        assert status in (0, 3), f"{line}\n{said.err}"
        for sample in unfilled(tmp_path):
            fill(sample)
        if " > " in line:
            Path(line.split(" > ")[1]).write_text(said.out, encoding="utf-8")


def test_every_reason_to_leave_a_command_out_is_used() -> None:
    lines = [line for lines in COMMANDS.values() for line in lines]
    assert [part for part in NOT_RUN if not any(part in line for line in lines)] == []
