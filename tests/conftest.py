"""Fixtures of all tests: the folder of real samples, no network, little memory; the profile of Hypothesis."""

import atexit
import ctypes
import gc
import os
import socket
from pathlib import Path

import pytest
from _pytest.doctest import DoctestModule
from hypothesis import settings

# The same examples every time, however slow the machine: a test that fails here fails everywhere.
settings.register_profile("deepnets4eo", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("deepnets4eo")

# Processes that tests start, those of pytest-xdist among them, would compile the whole package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

MUCH_BYTES = 100 * 2**20
WORLD = "tests/experiments/world"


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
    if hasattr(config.option, "loadscopereorder"):  # pytest-xdist would end with files of few tests, however long
        config.option.loadscopereorder = False


@pytest.hookimpl(optionalhook=True)  # where pytest-xdist is not installed nobody asks
def pytest_xdist_make_scheduler(config, log):
    """Files are divided among workers, but those of the made-up world stay together: a worker compiles its kernels for a minute."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return WORLD if nodeid.startswith(f"{WORLD}/") else super()._split_scope(nodeid)

    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real samples; skips where it is absent, saying so."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DEEPNETS4EO_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"the real samples are not at {folder}; set DEEPNETS4EO_DATA to their folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _no_network_in_the_box():
    """Damage maps and maps of water are weight-free, as where the toolbox comes without weights; tests of its networks put one in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepnets4eo.damage.network.grader.shipped_folder", lambda: None)
        patch.setattr("deepnets4eo.floods.water_network.shipped_folder", lambda: None)
        yield


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
