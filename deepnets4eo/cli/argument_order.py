"""Arguments in another order than a verb takes them: recognised by what they are, and the right order named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deepnets4eo.cards import ShippedModel
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import RunFolder


def check_run_first(verb: str, first: str, others: Sequence[str]) -> None:
    """Refuse a run that comes after the files it works on. Raises InputError with the command in its correct order."""
    run = next((other for other in others if _names_run(other)), None)
    if run is None or _names_run(first):
        return
    rest = " ".join([first, *(other for other in others if other != run)])
    raise InputError(f"{run} is a run, and {first} is none. The run comes first: deepnets4eo {verb} {run} {rest} …")


def check_file_first(verb: str, first: str, second: str, what: str) -> None:
    """Refuse a file that comes after a word; `what` describes the word. Raises InputError with the command in its correct order."""
    if not Path(first).exists() and Path(second).is_file():
        raise InputError(
            f"{second} is a file, and there is no file {first}. The file comes first, then {what}: deepnets4eo {verb} {second} {first} …"
        )


def _names_run(word: str) -> bool:
    """Return whether a word is a run's folder, or the name of a model that can be used without training."""
    return RunFolder(word).is_run or (
        word in ShippedModel.names() and not Path(word).exists() and ShippedModel(word).has_weights
    )
