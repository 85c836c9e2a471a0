"""Small files that stand for gigabytes are refused before they are unpacked."""

import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from refusals import raises_naming
from sklearn.naive_bayes import GaussianNB

from deepnets4eo.baselines import load_estimator, save_estimator
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import load_yaml, parse_yaml, read_yaml
from deepnets4eo.formats import unpacking

RNG = np.random.default_rng(0)
FITTED = GaussianNB().fit(RNG.normal(size=(20, 3)), np.arange(20) % 2)


def array_bytes(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def rewritten(path: Path, change) -> Path:
    """An estimator's file with its first array replaced by `change(bytes)`, packed as tightly as can be."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    first = next(name for name in parts if name.endswith(".npy"))
    parts[first] = change(parts[first])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def test_an_estimator_larger_than_the_limit_is_refused(tmp_path):
    path = save_estimator(FITTED, tmp_path / "estimator.skops")
    unpacking.check_array_sizes(path)
    with raises_naming(InputError, "1", "000"):
        unpacking.check_array_sizes(path, 1000)


def test_an_estimator_that_unpacks_to_hundreds_of_times_its_size_takes_no_memory(tmp_path):
    """3 MB took 4.7 GB once; here 72 kB, which are 72 MB."""
    path = rewritten(save_estimator(FITTED, tmp_path / "estimator.skops"), lambda _: array_bytes(np.zeros(9 << 20)))
    assert path.stat().st_size < (72 << 20) / unpacking.UnpackLimits.max_times_larger
    tracemalloc.start()
    try:
        with raises_naming(RunError, "estimator.skops"):
            load_estimator(path)
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
    finally:
        tracemalloc.stop()


def test_an_array_that_announces_more_than_it_has_is_not_loaded(tmp_path):
    def boast(content: bytes) -> bytes:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**11,)})
        return header.getvalue() + content[-16:]

    path = rewritten(save_estimator(FITTED, tmp_path / "estimator.skops"), boast)
    with raises_naming(RunError, "800", "000"):
        load_estimator(path)


def test_an_archive_within_the_archive_is_checked_as_well(tmp_path):
    inner = io.BytesIO()
    np.savez_compressed(inner, data=np.zeros(1 << 20))
    path = tmp_path / "estimator.skops"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sparse.npz", inner.getvalue())
    with pytest.raises(InputError, match="unpacks to"):
        unpacking.check_array_sizes(path, plausible_bytes=1 << 20)


def test_yaml_whose_names_stand_for_millions_of_values_is_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    path = tmp_path / "recipe.yaml"
    path.write_text("\n".join(lines))
    with raises_naming(InputError, "recipe.yaml", "1", "000"):
        read_yaml(path)
    path.write_text("a: &a [*a]")
    with pytest.raises(InputError, match="stands for more"):
        read_yaml(path)


def test_yaml_with_names_that_stand_for_little_is_read(tmp_path):
    path = tmp_path / "recipe.yaml"
    text = "base: &base {lr: 0.1, steps: [1, 2]}\nfirst: {<<: *base, lr: 0.2}\nagain: [*base, *base]\nempty:\n"
    path.write_text(text)
    assert read_yaml(path) == yaml.safe_load(text)
    assert json.dumps(read_yaml(path))
    path.write_text("")
    assert read_yaml(path) is None


@pytest.mark.parametrize("begin", ["[", "{a: ", "- ", "? ", "-\n"])
def test_yaml_that_nests_without_end_is_refused_and_ends_no_process(begin):
    text = "".join(" " * k + begin for k in range(2000)) if "\n" in begin else begin * 10**5
    with raises_naming(InputError, "YAML"):
        parse_yaml(text, "recipe.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2", "1: x\n2.5: [y]\n2020-01-01: z", "? [1, 2]\n: x", "a: [1, 2\nb: 3", "a:\n - b\n  - c", "\ta: 1",
        "a: !foo 1", "a: 2020-13-45", "a: *b", "<<: {a: 1}\nb: 012", "a: 1\n---\nb: 2", "a: \"\\ud800\"", "a: b\x00", "# none",
    ],
)  # fmt: skip
def test_yaml_has_the_values_and_errors_of_plain_pyyaml(text, monkeypatch):
    def read():
        try:
            return repr(parse_yaml(text, "recipe.yaml"))
        except InputError as error:
            return str(error)

    quick = read()
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert read() == quick


def test_yaml_of_endless_length_is_refused():
    with raises_naming(InputError, "recipe.yaml", "150", "100"):
        load_yaml("a: 1\n" * 30, "recipe.yaml", most_characters=100)
