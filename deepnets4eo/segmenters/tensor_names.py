"""Matching of a file's tensors to an encoder's weights, whatever programs have put before the names or between their parts.

Takes tensors by name. Refuses files that contain several different encoders.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from deepnets4eo.errors import InputError

WHOLE_SHARE = 0.9  # of an encoder's weights that a file of it has at least
Tensors = Mapping[str, Tensor]


def file_names(expected: Tensors, tensors: Tensors, source: str) -> dict[str, str]:
    """Return the name in the file of each weight of an encoder that is there with as many dimensions.

    The names follow one prefix, such as `_orig_mod.module.encoder.`: the one that most weights have. Parts of names that the
    encoder has nowhere, such as `_orig_mod` within, are left out if more weights match without them.

    Errors: InputError for a file with several encoders of this kind.
    """
    matches = _after_prefix(expected, tensors, {name: name for name in tensors}, source)
    if len(matches) == len(expected):
        return matches
    parts = {part for key in expected for name in _variants(key) for part in name.split(".")}
    shortened = {name: ".".join(part for part in name.split(".") if part in parts) for name in tensors}
    times = Counter(shortened.values())
    unique = {short: name for name, short in shortened.items() if times[short] == 1}
    return max(matches, _after_prefix(expected, tensors, unique, source), key=len)


def _variants(key: str) -> Iterator[str]:
    """Yield the names that a weight may have: timm renames "stages.0.conv" to "stages_0.conv" if it returns levels."""
    plain = key.removeprefix("model.")
    yield from dict.fromkeys((key, plain, re.sub(r"^([a-z]+)_(\d+)\.", r"\1.\2.", plain)))


def _after_prefix(expected: Tensors, tensors: Tensors, names: Mapping[str, str], source: str) -> dict[str, str]:
    """Return the names in the file (values of `names`) of the weights that follow the most frequent prefix."""
    matches = [_match(expected, tensors, names, prefix) for prefix in _prefixes(expected, names)]
    if not matches:
        return {}
    best = max(matches, key=len)
    equals = [match for match in matches if len(match) == len(best)]
    if len(best) >= WHOLE_SHARE * len(expected) and not all(_same(tensors, best, match) for match in equals):
        key = next(iter(best))
        listed = ", ".join(match.get(key, "") for match in equals)
        raise InputError(
            f"the weights {source} hold several encoders of this kind ({listed}). Keep the tensors of one: "
            "safetensors.torch.save_file({name: value for name, value in tensors.items() if name.startswith(PREFIX)}, OUT)."
        )
    return best


def _prefixes(expected: Tensors, names: Mapping[str, str]) -> list[str]:
    """Return the prefixes before the encoder's names in a file, the shortest first."""
    own = {name for key in expected for name in _variants(key)}
    prefixes = {""}
    for name in names:
        parts = name.split(".")
        for start in range(len(parts)):
            if ".".join(parts[start:]) in own:
                prefixes.add("".join(f"{part}." for part in parts[:start]))
    return sorted(prefixes, key=lambda prefix: (len(prefix), prefix))


def _match(expected: Tensors, tensors: Tensors, names: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Name of each weight in the file, with this prefix, if it has as many dimensions there."""
    matches = {}
    for key, value in expected.items():
        there = (names.get(prefix + variant) for variant in _variants(key))
        name = next((name for name in there if name is not None and tensors[name].ndim == value.ndim), None)
        if name is not None:
            matches[key] = name
    return matches


def _same(tensors: Tensors, first: Mapping[str, str], second: Mapping[str, str]) -> bool:
    return first.keys() == second.keys() and all(
        first[key] == second[key] or torch.equal(tensors[first[key]], tensors[second[key]]) for key in first
    )
