"""The wheel holds what the checkout holds, and asks for what is imported, no more."""

import ast
import configparser
import hashlib
import io
import re
import runpy
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from datetime import date
from email import message_from_string
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from deepnets4eo.lazy import EXTRAS

ROOT = Path(__file__).resolve().parents[1]
MODULES = {
    "open-clip-torch": "open_clip",
    "open3d-cpu": "open3d",
    "odc-geo": "odc",
    "Pillow": "PIL",
    "PyYAML": "yaml",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
}  # distribution → module, where names differ by more than - and _
CONDA = {"matplotlib": "matplotlib-base", "torch": "pytorch"}
COMES_ALONG = "onnx_ir"  # with onnxscript
FROM_TORCH = {"triton"}  # of one version for each of PyTorch's, which names it
# by geopandas and pyogrio, matplotlib, torch.onnx
IMPORTED_BY_OTHERS = {"pyarrow", "folium", "mapclassify", "Pillow", "onnxscript", "mlflow", "tensorboardX", "wandb"}


def _setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_the_distribution_has_every_package_folder_and_the_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words: dict[str, Any] = {}
    with patch("setuptools.setup", words.update):
        runpy.run_path("setup.py")
    listed = subprocess.run(
        ["git", "ls-files", "deepnets4eo", "models", "datasets"], capture_output=True, text=True, check=True
    )
    folders = {folder for file in listed.stdout.split("\n") for folder in Path(file).parents if folder != Path()}
    code = {".".join(folder.parts) for folder in folders if folder.parts[0] == "deepnets4eo"}
    cards = {".".join(("deepnets4eo", *folder.parts)) for folder in folders if folder.parts[0] != "deepnets4eo"}
    assert sorted(words["packages"]) == sorted(code | cards)  # folders of data, too: setuptools warns of the others
    assert {name: (ROOT / folder).is_dir() for name, folder in words["package_dir"].items()} == dict.fromkeys(
        ("deepnets4eo.models", "deepnets4eo.datasets"), True
    )


def test_every_verb_has_its_file() -> None:
    from deepnets4eo.cli.main import VERBS

    files = {path.stem.replace("_", "-") for path in (ROOT / "deepnets4eo" / "cli").glob("*.py")}
    assert set(VERBS) <= files


def test_the_version_is_the_same_everywhere() -> None:
    from deepnets4eo.version import __version__

    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    assert recipe["context"]["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_changelog_of_the_first_version_is_one_page() -> None:
    """It says what there is; how it came about is in the history."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("## 0.1.0")[2].partition("\n## ")[0]
    assert 400 < len(text.split()) < 1000


def test_the_citation_has_a_day() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert isinstance(citation["date-released"], date)


def test_workflows_and_templates_name_verbs_that_exist() -> None:
    from deepnets4eo.cli.main import VERBS

    texts = [path.read_text(encoding="utf-8") for path in (ROOT / ".github").rglob("*") if path.is_file()]
    verbs = {verb for text in texts for verb in re.findall(r"\bdeepnets4eo ([a-z][a-z-]*)", text)}
    assert "check" in verbs
    assert verbs <= set(VERBS)


def test_values_of_the_project_stand_in_one_file() -> None:
    """What pyproject.toml does not list as dynamic is not read from setup.cfg."""
    assert set(_setup()["metadata"]) == {"version"}
    assert set(_setup()["options"]) == {"install_requires"}


def _requirements(text: str) -> dict[str, str]:
    """Distribution → lowest version, of lines such as `laspy[lazrs]>=2.5`; references to own extras are left out."""
    lines = [Requirement(line) for line in text.splitlines() if line]
    lows = {line.name: str(line.specifier).removeprefix(">=") for line in lines}
    return {name: low for name, low in lows.items() if name != "deepnets4eo"}


def _module(distribution: str) -> str:
    return MODULES.get(distribution, distribution.replace("-", "_"))


@cache
def _imported(folder: str) -> frozenset[str]:
    """Modules that the files of a folder import, without what follows the first dot; each file is parsed once."""
    modules: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules.update(name.name.partition(".")[0] for name in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(str(node.module).partition(".")[0])
    return frozenset(modules)


def test_every_import_is_required_at_base_or_by_an_extra() -> None:
    base = {_module(name) for name in _requirements(_setup()["options"]["install_requires"])}
    others = _imported("deepnets4eo") - set(sys.stdlib_module_names) - {"deepnets4eo"}
    assert others - base == EXTRAS.keys() & others
    assert EXTRAS.keys() - IMPORTED_BY_OTHERS <= others


@pytest.mark.parametrize("extra", ["dask", "deep", "onnx", "open3d", "openvino", "overture", "points"])
def test_every_requirement_is_imported(extra: str) -> None:
    setup = _setup()
    imported = _imported("deepnets4eo") | _imported("experiments")
    needed = _requirements(setup["options"]["install_requires"]) | _requirements(setup["options.extras_require"][extra])
    assert {_module(name) for name in needed.keys() - IMPORTED_BY_OTHERS} <= imported


def test_errors_name_the_extra_that_installs_the_module() -> None:
    extras = _setup()["options.extras_require"]
    for module, extra in EXTRAS.items():
        if module != COMES_ALONG:
            assert module in {_module(name) for name in _requirements(extras[extra])}


def test_all_holds_every_extra_but_those_chosen_by_name_and_that_of_developers_which_holds_all() -> None:
    extras = _setup()["options.extras_require"]
    assert {"deepnets4eo", *extras} - {
        "all",
        "clip",
        "clouds",
        "dev",
        "match",
        "mcp",
        "mlflow",
        "notebook",
        "openvino",
        "overture",
        "tensorboard",
        "wandb",
        "xfeat",
    } == set(re.findall(r"\w+", extras["all"]))
    assert "deepnets4eo[all]" in extras["dev"].split()


def test_every_requirement_has_one_tested_version_a_python() -> None:
    setup = _setup()
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.replace("_", "-").lower() for line in lines if not line.startswith("#")]
    keys = [re.sub(r"==[^;]*", "", pin) for pin in pins]
    assert len(keys) == len(set(keys))
    texts = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    for name in {name.lower() for text in texts for name in _requirements(text)}:
        found = {key.partition(";")[2].strip() for key in keys if key.partition(";")[0] == name}
        assert found in ({""}, {'python-version < "3.12"', 'python-version >= "3.12"'}), name


def test_the_same_source_is_packed_alike_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from build_backend import pack_alike

    contents = {"d/a.py": b"a = 1\n", "d/run.sh": b"#!/bin/sh\n"}
    packed = []
    for time, order, group in ((1, sorted(contents), 0o077), (2.5, sorted(contents, reverse=True), 0)):
        archive = tmp_path / f"{group}.tar.gz"
        with tarfile.open(archive, "w:gz") as target:
            for name in order:
                member = tarfile.TarInfo(name)
                member.size, member.mtime, member.uid, member.uname = len(contents[name]), time, int(time), str(time)
                member.mode = (0o600 if name.endswith(".py") else 0o700) | group
                target.addfile(member, io.BytesIO(contents[name]))
        pack_alike(archive, 86400)
        packed.append(archive.read_bytes())
    assert packed[0] == packed[1]
    with tarfile.open(archive) as target:
        assert {each.name: target.extractfile(each).read() for each in target} == contents  # type: ignore[union-attr]
        assert [(each.mtime, each.mode) for each in target.getmembers()] == [(86400, 0o644), (86400, 0o755)]


def test_the_lowest_versions_are_those_that_were_tested() -> None:
    setup = _setup()
    lines = (ROOT / "constraints-floors.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.lower().split("==") for line in lines if not line.startswith("#"))
    floors = _requirements(setup["options"]["install_requires"]) | _requirements(
        setup["options.extras_require"]["deep"]
    )
    assert {name for name, low in floors.items() if Version(pins[name.lower()]) != Version(low)} == set()


def test_the_conda_recipe_follows_the_setup() -> None:
    setup = _setup()
    values = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    assert values["schema_version"] == 1
    for key, text in (
        ("run", setup["options"]["install_requires"]),
        ("run_constraints", setup["options.extras_require"]["deep"]),
    ):
        found = dict(line.split(" >=") for line in values["requirements"][key] if not line.startswith("python "))
        known = {CONDA.get(name, name).lower().replace("_", "-"): low for name, low in _requirements(text).items()}
        assert {name.replace("_", "-"): low for name, low in found.items()} == known


def test_the_wheel_states_both_licences_and_carries_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata of the wheel is built; that the wheel itself has the files, scripts/try_wheel.py checks."""
    build = "import sys; from setuptools import build_meta; build_meta.prepare_metadata_for_build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    (folder,) = tmp_path.glob("*.dist-info")
    metadata = message_from_string((folder / "METADATA").read_text(encoding="utf-8"))
    assert metadata["License-Expression"] == "MIT AND Apache-2.0"
    files = metadata.get_all("License-File")
    assert files == ["LICENSE", "NOTICE", "models/efficientnet-lite0/LICENSE"]
    assert all((folder / "licenses" / name).read_bytes() == (ROOT / name).read_bytes() for name in files)
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from try_wheel import LICENCES, check_licences

    wheel = tmp_path / "a.whl"
    for left_out in ("", *LICENCES):
        with zipfile.ZipFile(wheel, "w") as packed:
            for name in LICENCES:
                if name != left_out:
                    packed.writestr(f"deepnets4eo-1.{name}" if name.startswith("dist-info") else name, "")
        if left_out:
            with pytest.raises(SystemExit, match=re.escape(left_out)):
                check_licences(wheel)
        else:
            check_licences(wheel)


def test_models_that_began_with_weights_of_others_state_their_licence() -> None:
    """Each shipped file of weights whose recipe begins with shipped weights under Apache-2.0 has a notice; NOTICE lists its folder."""
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    licensed = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "models").rglob("LICENSE")}
    begun = set()
    for path in (ROOT / "models").rglob("weights.safetensors"):
        recipe = path.with_name("recipe.yaml")
        model = (yaml.safe_load(recipe.read_text(encoding="utf-8")) or {}).get("model", {}) if recipe.is_file() else {}
        if f"models/{model.get('encoder_weights')}" in licensed:
            begun.add(path.parent.relative_to(ROOT).as_posix())
    assert begun == {"models/eurosat"}
    assert set(re.findall(r"^models/\S+$", notice, re.MULTILINE)) == licensed | begun
    for folder in licensed | begun:
        assert (ROOT / folder / "NOTICE").is_file()
        assert "Apache-2.0" in (ROOT / folder / "card.md").read_text(encoding="utf-8").replace(
            "Apache License 2.0", "Apache-2.0"
        )


def test_the_recipe_for_conda_forge_names_its_source_and_maintainers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deepnets4eo.version import __version__

    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from conda_recipe import main

    archive = tmp_path / f"deepnets4eo-{__version__}.tar.gz"
    archive.write_bytes(b"source")
    recipe = yaml.safe_load(main(archive, "first-one", "Second2").read_text(encoding="utf-8"))
    assert recipe["source"]["sha256"] == hashlib.sha256(b"source").hexdigest()
    assert recipe["source"]["url"].endswith("deepnets4eo-${{ version }}.tar.gz")
    assert recipe["extra"] == {"recipe-maintainers": ["first-one", "Second2"]}
    mine = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    assert {key: value for key, value in recipe.items() if key not in ("source", "extra")} == {
        key: value for key, value in mine.items() if key not in ("source", "extra")
    }
    assert mine["extra"] == {"recipe-maintainers": []}  # nobody has agreed to be named
    assert all((ROOT / name).is_file() for name in mine["about"]["license_file"])
    (old := tmp_path / "deepnets4eo-0.0.1.tar.gz").write_bytes(b"")
    for words in ((archive,), (archive, "no name"), (old, "first-one")):
        with pytest.raises(SystemExit):
            main(*words)


def test_all_that_names_the_address_of_the_repository_names_the_same() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation, recipe = (
        yaml.safe_load((ROOT / name).read_text(encoding="utf-8")) for name in ("CITATION.cff", "conda/recipe.yaml")
    )
    (cloned,) = re.findall(r"git clone (\S+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    named = {
        project.get("urls", {}).get("Repository"), citation.get("repository-code"), recipe["about"].get("repository"),
        None if cloned == "ADDRESS" else cloned,
    }  # fmt: skip
    assert len(named) == 1, f"the addresses differ: {named}"


def test_every_python_that_is_announced_is_tested() -> None:
    announced = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert announced
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert set(re.findall(r'python: "(3\.\d+)"', workflow)) == set(announced)


def test_what_others_can_move_is_named_by_what_it_holds() -> None:
    workflows = [path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml")]
    actions = [use for text in workflows for use in re.findall(r"uses: +(\S+.*)", text)]
    assert actions
    assert [use for use in actions if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} +# v\d+(\.\d+)*", use)] == []
    assert all(
        re.search(r"-c constraints(-floors)?\.txt", line)
        for text in workflows
        for line in text.splitlines()
        if "pip install" in line
    )
    images = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert images
    assert all(re.fullmatch(r"[\w.:/-]+@sha256:[0-9a-f]{64}", image) for image in images)


def test_all_that_the_extras_bring_along_has_a_tested_version() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {canonicalize_name(re.split("[=;]", line)[0]) for line in lines if not line.startswith("#")}
    setup, waiting, tree = _setup(), ["deepnets4eo[dev]"], set()
    while waiting:
        wanted = Requirement(waiting.pop())
        name = canonicalize_name(wanted.name)
        if (name, *sorted(wanted.extras)) in tree or name in FROM_TORCH or name.startswith(("nvidia-", "cuda-")):
            continue
        tree.add((name, *sorted(wanted.extras)))
        if name == "deepnets4eo":  # as declared now, not as when it was installed
            own = [
                setup["options"]["install_requires"],
                *(setup["options.extras_require"][one] for one in wanted.extras),
            ]
            waiting += [line for text in own for line in text.splitlines() if line]
            continue
        try:
            needs = [Requirement(text) for text in distribution(name).requires or ()]
        except PackageNotFoundError:  # an extra that is not installed here
            continue
        chosen = [{"extra": extra} for extra in ("", *wanted.extras)]
        waiting += [
            str(one) for one in needs if one.marker is None or any(one.marker.evaluate(each) for each in chosen)
        ]
    assert {name for name, *_ in tree} - pinned - {"deepnets4eo", "pip", "setuptools", "wheel"} == set()
