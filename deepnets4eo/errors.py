"""Every error a user can cause: what was given, what was expected, what to do.

Readers and the command line raise them before long work starts; array functions trust their input."""

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from deepnets4eo.addresses import has_scheme, without_secrets

MIN_LETTERS, MAX_NEAR = 3, 8  # of a word that begins a name; names in a hint
P = ParamSpec("P")
R = TypeVar("R")
MAX_REASON_CHARACTERS = 300  # characters
PANIC = "PanicException"  # of libraries in Rust, such as safetensors and lazrs; it is no Exception
# GDAL's file systems other than those of this computer, also within the name of an archive
ON_NETWORK = re.compile(r"/vsi(?!(?:zip|tar|gzip|7z|rar|mem|sparse|subfile)\b)\w+")
PROJ_REMEDY = "Unset PROJ_DATA and PROJ_LIB where they name the files of another installation of PROJ."


class DeepNets4EOError(Exception):
    """Root of all errors of this package; messages contain no password and no signature of an address.

    status : exit status of the command line
    """

    status = 1

    def __init__(self, *words: object) -> None:
        super().__init__(*without_secrets(words))


class InputError(DeepNets4EOError, ValueError):
    """A file, value or option that cannot be used as given."""

    status = 2

    @staticmethod
    def of_reading(name: str, where: str = "") -> "InputError":
        """Return the error for a file that was opened and cannot be read: UnreadableError if it may be readable later."""
        if has_scheme(name) or ON_NETWORK.search(name):
            return UnreadableError(
                f"{name} cannot be read{where}: the connection broke off, or nothing came for a while. Start again, or download it."
            )
        if not name.startswith("/vsi") and not Path(name.partition("#")[0]).exists():
            return UnreadableError(f"{name} cannot be read{where}: it is gone. Connect its disk again, or put it back.")
        return InputError(f"{name} cannot be read{where}: the file is truncated or damaged. Fetch it again.")


class LabelError(InputError):
    """Label values or colours that are not in the legend."""


class GridError(InputError):
    """Rasters or vectors that do not match in CRS, overlap or shape."""


class RunError(InputError):
    """A run folder that is damaged, foreign, or does not fit the scene."""


class OtherJobError(RunError):
    """A finished or interrupted job to resume that is of other inputs, options, code or weights; `differing` names them."""

    def __init__(self, message: str, differing: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.differing = tuple(differing)


class BlockError(RunError):
    """Blocks of work that no worker could do now; finished work is kept, and the job may continue later."""


class UnreadableError(InputError):
    """An input that cannot be read now, such as one whose server fails; the input itself is fine, and the job may continue later."""

    status = 1


class MissingExtraError(InputError, ImportError):
    """A part of the toolbox whose packages are not installed; the message names the extra that installs them."""


class OutputError(DeepNets4EOError, OSError):
    """An output that cannot be written: it exists already, or the disk refused it."""


class LockedError(OutputError):
    """Another job writes the output now."""


class CompleteError(OutputError):
    """A job to resume whose output `out` is complete; the command line ends as that job did."""

    def __init__(self, message: str, out: Path | None = None) -> None:
        super().__init__(message)
        self.out = out


class Reading:
    """Boundary of a reader: whatever a library raises within it becomes an error that names what is read.

    Errors of this package pass as they are. The libraries that decode files raise errors of every class for damaged ones,
    among them `IndexError`, `SystemError` and panics of Rust, so no list of classes would be complete.

    Parameters
    ----------
    name : what is read, such as its path
    remedy : sentence on what was expected, and what to do
    kind : class of the error
    words : makes other words of the message of a library's error

    Examples
    --------
    >>> with Reading("a.tif"):
    ...     raise KeyError("IFD")
    Traceback (most recent call last):
    deepnets4eo.errors.InputError: a.tif could not be read: KeyError: 'IFD'. Is it whole? Fetch or write it again.
    """

    def __init__(
        self,
        name: object,
        remedy: str = "Is it whole? Fetch or write it again.",
        *,
        kind: type[InputError] = InputError,
        words: Callable[[BaseException, str], str] = lambda _, message: message,
    ) -> None:
        self._name, self._remedy, self._kind, self._words = name, remedy, kind, words

    @classmethod
    def of_source(cls, remedy: str, kind: type[InputError] = InputError) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorate a function whose first argument, behind its class, is what it reads."""

        def decorate(reader: Callable[P, R]) -> Callable[P, R]:
            @wraps(reader)
            def read(*args: P.args, **named: P.kwargs) -> R:
                sources = [value for value in (*args, *named.values()) if not isinstance(value, type)]
                with cls(sources[0] if sources else reader.__qualname__, remedy, kind=kind):
                    return reader(*args, **named)

            return read

        return decorate

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, DeepNets4EOError):
            return
        if isinstance(error, Exception) or type(error).__name__ == PANIC:
            reason = self._words(error, _message(error)).rstrip(".")
            raise self._kind(f"{self._name} could not be read: {reason}. {self._remedy}") from error


def _message(error: BaseException) -> str:
    """Return the message of a library's error as one line, with the error's class if the message by itself may mean nothing."""
    text = " ".join(str(error).split())[:MAX_REASON_CHARACTERS]
    if isinstance(error, MemoryError):
        return f"it asks for more memory than there is ({text or 'MemoryError'})"
    return text if text and isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {text}".rstrip(": ")


def nearest_name(wanted: object, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to `wanted`, or None if no known name is similar."""
    return next(iter(get_close_matches(str(wanted), list(known), n=1, cutoff=0.6)), None)


def names_with_word(wanted: object, known: Iterable[str]) -> list[str]:
    """Return known names that begin with `wanted` (3+ letters), as "unet-resnet34" and "floods/unet" with "unet"; else names with that word."""
    names, word = list(known), re.escape(str(wanted))
    if len(word) < MIN_LETTERS:
        return []
    tiers = (
        [name for name in names if re.search(rf"{begin}{word}", name, re.IGNORECASE)]
        for begin in ("(?:^|/)", r"[_. -]")
    )
    return next(filter(None, tiers), [])


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise InputError where an option is none of its choices.

    >>> check_choice("unknown", "viod", ["error", "void"])
    Traceback (most recent call last):
    deepnets4eo.errors.InputError: unknown is 'viod'. Did you mean 'void'?
    """
    known = list(choices)
    if value not in known:
        raise InputError(f"{name} is {value!r}. {name_hint(value, known)}")


def name_hint(wanted: object, known: Iterable[str], otherwise: str | None = None) -> str:
    """Return the last sentence of an error on an unknown name: its nearest known name, else `otherwise`, else all known names.

    >>> name_hint("rooof", ["roof", "road"])
    "Did you mean 'roof'?"
    >>> name_hint("unet", ["fusenet", "floods/unet", "unet-resnet34"])
    'Did you mean one of floods/unet, unet-resnet34?'
    >>> name_hint("x", ["roof", "road"])
    'Choose from roof, road.'
    """
    names = list(known)
    begun = names_with_word(wanted, names)
    if 1 < len(begun) <= MAX_NEAR:
        return f"Did you mean one of {', '.join(begun)}?"
    near = begun[0] if len(begun) == 1 else nearest_name(wanted, names)
    if near is not None:
        return f"Did you mean {near!r}?"
    return f"Choose from {', '.join(names)}." if otherwise is None else otherwise
