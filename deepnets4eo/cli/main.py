"""`deepnets4eo`: the table of verbs, loaded only when called; here errors become messages."""

from __future__ import annotations

import importlib
import inspect
import io
import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from typing import Any

import typer
import typer.core
import typer.main

from deepnets4eo.cli.option_groups import GroupedCommand
from deepnets4eo.cli.output import (
    VisibleFormatter,
    echo,
    findings_of,
    open_closed_streams,
    show_findings,
    visible,
    visible_warning,
)
from deepnets4eo.device import share_heaps
from deepnets4eo.errors import CompleteError, DeepNets4EOError, name_hint, nearest_name
from deepnets4eo.files import system_error
from deepnets4eo.formats import allow_user_files, need_few_drivers
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.plugins import load_plugin, plugins_of
from deepnets4eo.system import spare_collections, stated_time
from deepnets4eo.version import __version__

PANELS = {
    "Damage": {
        "find": "Choose images from before and after an event in open catalogues, and write a plan for `damage`.",
        "damage": "Map building damage from a pre-event image, a post-event image and building outlines.",
        "review": "Count damaged buildings, or measure how accurate a label raster is, from a sample that people check.",
        "compare": "Compare a damage map with another tool's map, or draw a sample where two label rasters differ.",
        "rubble": "Measure the height loss and debris volume of buildings from point clouds.",
        "demo": "Run the main job on a synthetic miniature city.",
    },
    "Change": {
        "change": "Map what changed between two images.",
        "flood": "Map floods in radar and optical images.",
        "series": "Rank the rare changes in a time series of images.",
        "register": "Measure the offset between a pre-event image and a post-event image.",
    },
    "Train and predict": {
        "train": "Train a recipe on data, and write a run folder.",
        "predict": "Label a scene with a trained run.",
        "clicks": "Correct the labels of a scene by clicking on a page.",
        "evaluate": "Score a label raster, labelled points or heights against a reference.",
        "suspects": "Find labels that are probably wrong.",
        "export": "Export a trained network as ONNX, as a folder for Hugging Face, or as a page.",
        "models": "List recipes and networks.",
    },
    "Points": {
        "label-points": "Label a point cloud with a trained run or with rules.",
    },
    "Helpers": {
        "check": "Describe a raster, vector, point cloud, dataset, run or this installation, and list its problems.",
        "polygons": "Convert a label raster to polygons.",
        "objects": "Find the single objects of a class, such as cars, in a label raster.",
        "layers": "Write further layers of a scene: heights, OpenStreetMap, sharpened bands, cloud masks, radar coherence, refined scores, building outlines, embeddings.",
        "datasets": "List dataset cards, or show one.",
        "mcp": "Give an assistant tools to check files, query finished maps and make new maps, in folders that you name.",
    },
}  # fmt: skip
VERBS = {verb: line for panel in PANELS.values() for verb, line in panel.items()}
PARTS = {
    "layers": (
        "heights",
        "osm",
        "pansharpen",
        "footprints",
        "clouds",
        "coherence",
        "refine",
        "transitions",
        "embeddings",
    )
}  # verbs of sub-verbs

# Typer has its own copy of click or uses the installed one, by version; this is the public way to its base error.
UsageProblem: type[Exception] = typer.BadParameter.__mro__[2]

NUMPY_WARNINGS = (
    r"(overflow|underflow|divide by zero|invalid value) encountered|All-NaN|Mean of empty slice|Degrees of freedom"
)
NO_THREAD = "can't start new thread"  # of Python, where memory or the number of processes is limited
THREAD_REMEDY = "Let the process have more memory or threads (ulimit -v, ulimit -u), or use fewer: --workers 1."
REGISTERS = "It measures and moves no image: damage, change, series and flood bring PRE onto POST by themselves."
CUT_OFF = (
    "a file of the installation ends too early ({reason}), as after a full disk. Delete the folders __pycache__ of deepnets4eo "
    "and of its dependencies, or install them again; --debug shows the module."
)
INTERRUPTED = 130  # the shell's code for Ctrl-C
# Errors that end in one line. RuntimeError is among them for the errors of typer and of threads; `_report` raises any other again
ENDINGS = (DeepNets4EOError, OSError, MemoryError, UsageProblem, KeyboardInterrupt, RuntimeError)

# Words that users try as options, and how the verbs that have --event take them.
EVENT_WORDS = {"--hazard": "name=HAZARD", "--disaster": "name=HAZARD", "--event-name": "name=HAZARD"}

SHORT_HELP = "Semantic segmentation of remote-sensing data, up to building-damage maps."


class NamedVerbs(typer.core.TyperGroup):
    """Verbs whose names, mistyped, get the nearest name."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if not self.knows(ctx, args[0]) and not args[0].startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"No such verb {args[0]!r}. {name_hint(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def knows(self, ctx: Any, name: str) -> bool:
        """Return whether there is a verb of this name."""
        return name in self.list_commands(ctx)


class Verbs(NamedVerbs):
    """Command group that loads a verb's module when it is called, and searches other packages for names that are not its own verbs."""

    def knows(self, ctx: Any, name: str) -> bool:
        return name in VERBS or super().knows(ctx, name)

    def list_commands(self, ctx: Any) -> list[str]:
        return [*VERBS, *_verbs_of_others()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in VERBS:
            entry = _verbs_of_others().get(cmd_name)
            return None if entry is None else _command(cmd_name, load_plugin(entry))
        function = cmd_name.replace("-", "_")
        module = importlib.import_module(f"deepnets4eo.cli.{function}")
        return _command(
            cmd_name, getattr(module, function), [getattr(module, part) for part in PARTS.get(cmd_name, ())]
        )

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, VERBS))
        for panel, verbs in PANELS.items():
            with formatter.section(panel):
                formatter.write_dl([(verb.ljust(width), line) for verb, line in verbs.items()])
        if others := _verbs_of_others():
            with formatter.section("Of other packages"):
                rows = [(verb.ljust(width), f"See deepnets4eo {verb} --help.") for verb in others]
                formatter.write_dl(rows)


def _verbs_of_others() -> dict[str, EntryPoint]:
    """Verbs that installed packages add; none takes the place of one of ours."""
    return {name: entry for name, entry in plugins_of("verbs").items() if name not in VERBS}


def _command(name: str, verb: Callable[..., None], parts: Sequence[Callable[..., None]] = ()) -> Any:
    """Return the command of a verb. parts : its sub-verbs."""
    single = typer.Typer(cls=NamedVerbs, add_completion=False, rich_markup_mode=None, no_args_is_help=True)
    for part in parts:
        single.command(part.__name__, cls=GroupedCommand, no_args_is_help=True)(part)
    if parts:
        single.callback()(verb)
    else:
        needs = any(parameter.default is parameter.empty for parameter in inspect.signature(verb).parameters.values())
        single.command(name, cls=GroupedCommand, no_args_is_help=needs)(verb)
    command = typer.main.get_command(single)
    command.name = name
    return command


app = typer.Typer(cls=Verbs, help=SHORT_HELP, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def root(
    version: bool = typer.Option(
        False,
        "--version",
        help="Print the version.",
        is_eager=True,
        callback=lambda value: _print_version(requested=value),
    ),
    debug: bool = typer.Option(False, "--debug", help="Show the stack trace of an error; works with every verb."),
) -> None:
    """Semantic segmentation of remote-sensing data, up to building-damage maps."""


def _set_up_messages(debug: bool) -> None:
    """Let messages and warnings go to standard error in one line each, whatever characters the terminal has."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # file names may have characters that the terminal does not have
            stream.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(VisibleFormatter("%(message)s"))
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler])
    warnings.formatwarning = visible_warning
    if not debug:  # NumPy's of absurd values, which name neither file nor remedy: findings and errors of ours do
        warnings.filterwarnings("ignore", NUMPY_WARNINGS, RuntimeWarning)
    for chatty in (
        "rasterio", "fiona", "pyogrio", "matplotlib", "fontTools", "PIL", "asyncio", "onnxscript", "onnx_ir",
    ):  # fmt: skip
        logging.getLogger(chatty).setLevel(logging.WARNING)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 1 failed (also what cannot be read now), 2 wrong input, 3 a map not to be used, 130 interrupted."""
    open_closed_streams()
    share_heaps()
    if arguments is None:  # the process is ours alone
        need_few_drivers()
        spare_collections()
        arguments = sys.argv[1:]
    debug, arguments = "--debug" in arguments, [word for word in arguments if word != "--debug"]
    _set_up_messages(debug)
    command = typer.main.get_command(app)
    with _quiet_hooks(debug):
        try:
            if any(word.startswith("--out") for word in arguments):
                stated_time()  # refused before the work, not when its products are written
            with allow_user_files(arguments), name_missing_extra():
                result = command.main(arguments, prog_name="deepnets4eo", standalone_mode=False)
        except ENDINGS as error:
            result = _report(error, debug=debug)
    if result == INTERRUPTED:  # typer makes this exit code of Ctrl-C, and says nothing
        again = (
            "the same command goes on" if "--resume" in arguments else "continue with --resume where the verb has it"
        )
        echo(f"Interrupted. Finished work is kept; {again}.", err=True)
    return result if isinstance(result, int) else 0


@contextmanager
def _quiet_hooks(debug: bool) -> Iterator[None]:
    """Log what Python would print as a traceback; records that cannot be written show none unless `debug`."""
    hooks = sys.unraisablehook, sys.excepthook
    sys.unraisablehook, sys.excepthook = _log_unraisable, _log_printed
    raises, logging.raiseExceptions = logging.raiseExceptions, debug
    try:
        yield
    finally:
        (sys.unraisablehook, sys.excepthook), logging.raiseExceptions = hooks, raises


def _report(error: BaseException, *, debug: bool) -> int:
    """Report in one line the error that ended a verb, and return the exit status. Raises the error itself if it is a bug, or for `debug`."""
    cut_off = isinstance(error, typer.Abort) and isinstance(error.__cause__, EOFError)
    if isinstance(error, (KeyboardInterrupt, typer.Abort)) and not cut_off:
        return INTERRUPTED
    if isinstance(error, CompleteError):  # not an error of whoever starts a job again until it is done
        echo(str(error), err=True)
        return show_findings(findings_of(error.out))
    if isinstance(error, UsageProblem):
        _show_usage(error)
        return 2
    if debug or isinstance(error, BrokenPipeError):
        raise (error.__cause__ or error) if cut_off else error
    if isinstance(error, DeepNets4EOError):
        message, status = str(error), error.status
    elif isinstance(error, (OSError, MemoryError)):
        message, status = visible(system_error(error), one_line=True), 1
    elif cut_off:  # Python's error of a module whose compiled copy is cut off; typer makes an abort of it
        message, status = CUT_OFF.format(reason=visible(str(error.__cause__), one_line=True)), 1
    elif str(error) == NO_THREAD:
        message, status = f"the system starts no further thread: {error}. {THREAD_REMEDY}", 1
    else:
        raise error
    echo(f"Error: {message}", err=True)
    return status


def _show_usage(error: Any) -> None:
    """Show an error of words, with the advice of the toolbox if there is some."""
    message = unknown_option(error)
    if message is not None:
        error.possibilities = None  # else they are printed behind the message
    error.message = visible(message or error.message)
    error.show()


def unknown_option(error: Exception) -> str | None:
    """Return the message for an option that its verb lacks; Typer's error is not public, but has two attributes."""
    name, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if name is None or context is None or not hasattr(error, "possibilities"):
        return None
    parameters = context.command.get_params(context)
    if name == "--out" and (written := _results(parameters)):
        verb = str(context.command.name)
        return f"No such option --out: {verb} writes {written}.{f' {REGISTERS}' if verb == 'register' else ''}"
    options = [
        word
        for parameter in parameters
        if parameter.param_type_name == "option"
        for word in (*parameter.opts, *parameter.secondary_opts)
    ]
    completed = (
        item.value
        for parameter in parameters
        if parameter.name == "set_keys"
        for item in parameter.shell_complete(context, "")
    )
    keys = {f"--{key.rstrip('=').replace('_', '-')}": f"--set {key}…" for key in completed}
    if context.command.name == "train":
        from deepnets4eo.training import hint_of_other_word

        if hint := hint_of_other_word(name):
            return f"No such option {name}. {hint} Values of a recipe are set by --set NAME=VALUE."
    if name in EVENT_WORDS and "--event" in options:
        return f"No such option {name}. Give it as --event {EVENT_WORDS[name]}."
    near = nearest_name(name, [*options, *keys])
    return f"No such option {name}." + ("" if near is None else f" Did you mean '{keys.get(near, near)}'?")


def _results(parameters: Iterable[Any]) -> str:
    """Return, in words, the options that write the results of a verb without --out."""
    helps = {
        parameter.opts[0]: parameter.help or "" for parameter in parameters if parameter.param_type_name == "option"
    }
    names = [f"{option} FILE" for option, text in helps.items() if text.startswith("Write") and option != "--update"]
    return " or ".join(names)


def _log_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Log, for --debug, what a library's callback cannot raise, such as a message of GDAL in an unknown encoding."""
    logging.getLogger(__name__).debug("%s: %s", unraisable.err_msg or "ignored", unraisable.exc_value)


def _log_printed(_kind: type[BaseException], error: BaseException, _trace: object) -> None:
    """Log, for --debug, what a library in C prints by Python's hook and then continues; errors of verbs are raised instead."""
    logging.getLogger(__name__).debug("ignored: %s", error)


def _print_version(*, requested: bool) -> None:
    if requested:
        echo(f"deepnets4eo {__version__}")
        raise typer.Exit


if __name__ == "__main__":
    raise SystemExit(main())
