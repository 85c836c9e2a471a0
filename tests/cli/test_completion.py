"""What the shell completes behind each verb, and the scripts that install it."""

from __future__ import annotations

import pytest

from deepnets4eo.cards import DatasetCard, ShippedModel
from deepnets4eo.cli.main import VERBS, main


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Returns what bash gets for the words that were typed; the last of them is completed."""

    def run(*words: str) -> list[str]:
        monkeypatch.setenv("_DEEPNETS4EO_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join(["deepnets4eo", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        with pytest.raises(SystemExit) as ended:
            main([])
        assert ended.value.code == 0
        return capfd.readouterr().out.split()

    return run


def test_verbs_complete(complete) -> None:
    assert complete("") == list(VERBS)
    assert complete("da") == ["damage", "datasets"]


def test_options_of_a_verb_complete(complete) -> None:
    assert complete("damage", "--o") == ["--out", "--overwrite"]


def test_names_of_recipes_complete(complete) -> None:
    expected = [name for name in ShippedModel.names() if name.startswith("baselines/r")]
    assert len(expected) > 2
    assert complete("train", "baselines/r") == complete("models", "baselines/r") == expected


def test_names_of_datasets_and_legends_complete(complete) -> None:
    assert complete("datasets", "isprs_") == ["isprs_potsdam", "isprs_vaihingen"]
    assert complete("datasets", "--legends", "mini") == ["minicity"]
    assert complete("check", "folder", "--dataset", "xb") == ["xbd"]
    for verb in ("check", "evaluate", "polygons", "suspects"):
        assert complete(verb, "a.tif", "--legend", "mini") == ["minicity"], verb


def test_protocols_complete_with_their_dataset_and_alone_behind_it(complete) -> None:
    known = list(DatasetCard.load("isprs_vaihingen").protocols)
    assert len(known) > 1
    assert complete("evaluate", "--protocol", "isprs_v") == [f"isprs_vaihingen/{name}" for name in known]
    assert complete("evaluate", "--protocol", f"isprs_vaihingen/{known[1]}") == [f"isprs_vaihingen/{known[1]}"]
    assert complete("evaluate", "--dataset", "isprs_vaihingen", "--protocol", known[0]) == [known[0]]
    assert complete("evaluate", "--dataset", "nowhere", "--protocol", known[0]) == []


@pytest.mark.parametrize("verb", ["train", "predict"])
def test_devices_and_precisions_complete(verb: str, complete) -> None:
    assert complete(verb, "x", "--device", "c") == ["cpu", "cuda"]
    assert complete(verb, "x", "--precision", "") == ["auto", "float32", "bfloat16", "float16"]


def test_where_no_name_fits_the_shell_proposes_files(complete) -> None:
    assert complete("train", "./") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_the_script_of_each_shell_is_shown(shell: str, monkeypatch, capfd) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: (shell, shell))
    with pytest.raises(SystemExit) as ended:
        main(["--show-completion"])
    assert ended.value.code == 0
    shown = capfd.readouterr().out
    assert "deepnets4eo" in shown
    assert f"complete_{shell}" in shown


def test_completion_is_installed_for_the_shell_that_runs(tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "bash"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["--install-completion"])
    assert ended.value.code == 0
    script = tmp_path / ".bash_completions" / "deepnets4eo.sh"
    assert "_DEEPNETS4EO_COMPLETE=complete_bash" in script.read_text()
    assert str(script) in (tmp_path / ".bashrc").read_text()
    assert "bash completion installed in" in capfd.readouterr().out
