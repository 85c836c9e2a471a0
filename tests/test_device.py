"""Where networks are computed: what is chosen on its own, and what is refused."""

import os
import platform
import sys

import numpy as np
import pytest
import torch
from refusals import raises_naming

from deepnets4eo import device
from deepnets4eo.device import Compute, choose, readers_for
from deepnets4eo.errors import InputError, MissingExtraError
from deepnets4eo.prediction.memory import resident_bytes
from deepnets4eo.system import cores


@pytest.fixture
def machine(monkeypatch):
    """A made-up machine: whether it has CUDA, of which capability, and what its CPU was measured to compute faster."""

    def make(cuda=False, capability=8, fastest="float32"):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        capabilities = {"cuda:0": 7, "cuda": capability, "cuda:1": capability}
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name: (capabilities[name], 0))
        monkeypatch.setattr(device, "fastest_precision", lambda: fastest)

    return make


@pytest.mark.parametrize(
    ("given", "asked", "chosen"),
    [
        ({}, "auto", ("cpu", "float32")),
        ({"fastest": "bfloat16"}, "auto", ("cpu", "bfloat16")),
        ({"cuda": True}, "auto", ("cuda", "bfloat16")),
        ({"cuda": True, "capability": 9}, "cuda:1", ("cuda:1", "bfloat16")),
        ({"cuda": True, "capability": 9}, "cuda:0", ("cuda:0", "float16")),  # an older one beside it
        ({"cuda": True, "capability": 7, "fastest": "bfloat16"}, "auto", ("cuda", "float16")),
        ({"cuda": True, "capability": 6, "fastest": "bfloat16"}, "auto", ("cuda", "float32")),
        ({"cuda": True}, "cpu", ("cpu", "float32")),
    ],
)
def test_auto_takes_cuda_where_it_is_and_bfloat16_where_it_is_faster(machine, given, asked, chosen):
    machine(**given)
    found = choose(asked)
    assert (found.device, found.precision) == chosen
    for precision in ("float32", "bfloat16"):
        assert choose(asked, precision).precision == precision


@pytest.mark.parametrize(("limit", "threads"), [(None, 4), ("1", 1), ("2,1", 2), ("9", 4), ("0", 4), ("all", 4)])
def test_threads_are_those_asked_for_or_all_cores_or_those_that_the_environment_allows(
    machine, monkeypatch, limit, threads
):
    machine()
    monkeypatch.setattr("deepnets4eo.device.cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if limit is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert choose("cpu", threads=3) == Compute("cpu", "float32", 3)
    assert choose("cpu").threads == threads
    assert choose("cpu", "bfloat16", 2).to_dict() == {
        "device": "cpu",
        "precision": "bfloat16",
        "threads": 2,
        "runtime": "torch",
    }


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("gpu",), "device 'gpu' is unknown. Choose auto, cpu, cuda or cuda:N"),
        (("meta",), "device 'meta' is not supported"),
        (("cuda",), "device 'cuda' is not available: this machine has no CUDA. Use --device cpu"),
        (("cpu", "float8"), "precision 'float8' is unknown. Choose auto, float32, bfloat16 or float16"),
        (("cpu", "float16"), "precision float16 is for GPUs; on a CPU it is slower than float32"),
    ],
)
def test_what_the_machine_does_not_have_is_refused(machine, asked, message):
    machine(cuda=False)
    with pytest.raises(InputError, match=message):
        choose(*asked)


def test_a_gpu_is_fed_by_a_thread_a_core_and_a_cpu_is_not(monkeypatch):
    for count, threads in ((2, 2), (12, 12), (64, 16)):
        monkeypatch.setattr("deepnets4eo.device.cores", lambda count=count: count)
        assert readers_for("cuda:1", on_cpu=1, on_gpu=16) == threads
        assert readers_for("cpu", on_cpu=1, on_gpu=16) == 1


def test_a_gpu_that_is_not_there_is_refused(machine):
    machine(cuda=True)
    assert choose("cuda:1").device == "cuda:1"
    with raises_naming(InputError, "'cuda:2'", "2", "GPUs"):
        choose("cuda:2")


def test_without_torch_the_processor_is_chosen_and_a_gpu_needs_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert choose() == choose("cpu", "float32") == Compute("cpu", "float32", cores())
    assert choose("cpu", threads=3).threads == 3
    for asked in (("cuda",), ("cuda:1",), ("cpu", "bfloat16")):
        with raises_naming(MissingExtraError, "deepnets4eo"):
            choose(*asked)
    with raises_naming(InputError, "'gpu'"):
        choose("gpu")
    with choose().torch_settings():
        pass


def test_threads_of_torch_are_set_for_a_while(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    before, inside = torch.get_num_threads(), torch.get_num_threads() + 1
    with Compute(threads=inside).torch_settings():
        assert (torch.get_num_threads(), torch.backends.cudnn.deterministic) == (inside, True)
    assert (torch.get_num_threads(), torch.backends.cudnn.deterministic) == (before, False)


@pytest.mark.parametrize("deterministic", [True, False])
def test_convolutions_are_tried_out_only_where_bits_may_differ_and_settings_come_back(monkeypatch, deterministic):
    from torch.backends import cudnn

    monkeypatch.setattr(cudnn, "deterministic", not deterministic)
    monkeypatch.setattr(cudnn, "benchmark", deterministic)
    with device.cudnn_settings(deterministic=deterministic):
        assert (cudnn.deterministic, cudnn.benchmark) == (deterministic, not deterministic)
    assert (cudnn.deterministic, cudnn.benchmark) == (not deterministic, deterministic)


def _faults_of_a_pass() -> int:
    """Pages that the system had to hand out for arrays as large as the maps of a network."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    maps = [np.ones(3 << 20, np.float32) for _ in range(8)]
    del maps
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep freed memory")
def test_a_second_pass_takes_no_new_memory_and_all_is_returned_at_the_end():
    pages = 8 * (12 << 20) // os.sysconf("SC_PAGESIZE")
    with device.keep_freed_memory():
        _faults_of_a_pass()
        held = resident_bytes()
        assert _faults_of_a_pass() < pages / 10
    assert resident_bytes() < held - (48 << 20)


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(device.ctypes, "CDLL", lambda name: object())
    with device.keep_freed_memory():
        pass
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(device.ctypes, "CDLL", None)
    with device.keep_freed_memory():
        pass
