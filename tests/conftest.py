"""Fixtures of all tests: the folder of real samples, no network, little memory; the levels of the suite are in `suite.py`."""

import atexit
import ctypes
import gc
import logging
import os
import socket
from importlib import import_module
from pathlib import Path

import pytest
import suite
from _pytest.doctest import DoctestModule

# Processes that tests start, those of pytest-xdist among them, would compile the whole package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

MUCH_BYTES = 100 * 2**20


class Collection:
    """What a run of tests looks through, and in which order its workers take it."""

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self):
        """All modules and tests stay until the end: while they come in, and later, none of them is looked through for garbage."""
        gc.disable()
        try:
            return (yield)
        finally:
            gc.freeze()
            atexit.register(gc.unfreeze)  # libraries count at the very end what is still there
            gc.enable()

    @pytest.hookimpl(wrapper=True)
    def pytest_collect_file(self, file_path):
        """A file without examples is not imported and searched for them: that takes each worker seconds and memory."""
        collectors = yield
        if file_path.suffix == ".py" and b">>> " not in file_path.read_bytes():
            return [one for one in collectors if not isinstance(one, DoctestModule)]
        return collectors


def pytest_collection_modifyitems(items):
    """What is marked nightly runs where DEEPNETS4EO_NIGHTLY is set."""
    if not os.environ.get("DEEPNETS4EO_NIGHTLY"):
        for item in items:
            if item.get_closest_marker("nightly"):
                item.add_marker(pytest.mark.skip(reason="nightly: set DEEPNETS4EO_NIGHTLY=1"))


def pytest_configure(config):
    config.pluginmanager.register(Collection())  # on all folders, not on that of this file alone
    config.pluginmanager.register(suite.Suite())


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real samples; skips where it is absent, saying so."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DEEPNETS4EO_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"the real samples are not at {folder}; set DEEPNETS4EO_DATA to their folder")
    return folder


SHIPPED = (
    "deepnets4eo.damage.network.grader",
    "deepnets4eo.floods.water_network",
)  # modules that look for a shipped network


@pytest.fixture(scope="session", autouse=True)
def _no_shipped_networks():
    """Maps of damage and water are weight-free, as without shipped weights; yields what looks for them, by module."""
    modules = {name: import_module(name) for name in SHIPPED}
    originals = {name: module.shipped_folder for name, module in modules.items()}
    with pytest.MonkeyPatch.context() as patch:
        for module in modules.values():
            patch.setattr(module, "shipped_folder", lambda: None)
        yield originals


@pytest.fixture
def shipped_networks(_no_shipped_networks, monkeypatch):
    """Jobs of this test use the shipped networks, as jobs of users do."""
    for name, original in _no_shipped_networks.items():
        monkeypatch.setattr(f"{name}.shipped_folder", original)


@pytest.fixture(scope="session", autouse=True)
def _figure_of_curves():
    """A figure of curves takes most small trainings longer than all else: they leave an empty file; yields what draws it."""
    from deepnets4eo.segmenters import history

    draw = history._draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "_draw", lambda path, plot: Path(path).touch() or Path(path))
        yield draw


@pytest.fixture
def drawn_curves(_figure_of_curves, monkeypatch):
    """Trainings of this test draw their curves."""
    monkeypatch.setattr("deepnets4eo.segmenters.history._draw", _figure_of_curves)


@pytest.fixture(scope="module")
def registered_once():
    """The jobs of a file register the same two images once."""
    from done_once import register_once

    with pytest.MonkeyPatch.context() as patch:
        register_once(patch)
        yield


@pytest.fixture(scope="session")
def _least_bytes() -> list[int]:
    """Memory of this process after what was freed went back last."""
    return [_resident_bytes()]


@pytest.fixture(scope="module", autouse=True)
def _freed_memory_goes_back(_least_bytes, request):
    """A module's functions forget what they remember after it. Where modules grew their worker much, what was freed goes
    back to the system: else workers only ever grow."""
    yield
    for value in vars(request.module).values():
        if hasattr(value, "cache_clear") and value.__module__ == request.module.__name__:
            value.cache_clear()
    if _resident_bytes() - _least_bytes[0] > MUCH_BYTES:  # a look at all objects takes a second: not each time
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
        _least_bytes[0] = _resident_bytes()


def _resident_bytes() -> int:
    """Memory that this process holds now; 0 where the system does not show it."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


@pytest.fixture(autouse=True)
def _levels_of_messages():
    """Scripts and jobs set what their process logs, for example errors only; the next test starts with the levels of before."""
    loggers = (logging.getLogger(), logging.getLogger("deepnets4eo"))
    levels, disabled = [logger.level for logger in loggers], logging.root.manager.disable
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    logging.disable(disabled)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """A test, and all code that it runs in this process, connects to no other computer."""
    connect = socket.socket.connect

    def connect_here(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            pytest.fail(f"a test connected to {address}")
        return connect(self, address)

    def look_up_here(host, *rest, **named):
        if host not in ("127.0.0.1", "::1", "localhost", None, ""):
            pytest.fail(f"a test looked up the address of {host}")
        return look_up(host, *rest, **named)

    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(socket, "getaddrinfo", look_up_here)
