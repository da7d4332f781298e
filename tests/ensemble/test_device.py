"""Device, memory and precision, with a GPU that is made up."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sparsenode.ensemble import memory
from sparsenode.ensemble.device import (
    is_out_of_memory,
    keep_freed_memory,
    matrix_precision,
    peak_memory,
    resolve_device,
    usable_memory,
)
from sparsenode.errors import UserError


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """One with 10 GB."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    properties = SimpleNamespace(total_memory=10 * 10**9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: properties)


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == resolve_device("cpu") == "cpu"
    with pytest.raises(UserError, match="found cuda, but torch sees no GPU"):
        resolve_device("cuda")


def test_with_a_gpu(gpu: None) -> None:
    assert resolve_device("auto") == resolve_device("cuda") == "cuda"
    assert resolve_device("cpu") == "cpu"


def test_memory_of_a_gpu(gpu: None) -> None:
    assert usable_memory("cuda") == 8 * 10**9
    assert usable_memory("cuda", 10**9) == 10**9
    assert usable_memory("cuda", 10**12) == 8 * 10**9


def test_memory_of_the_machine_or_of_its_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, top = tmp_path / "own", tmp_path / "groups"
    monkeypatch.setattr(memory, "_OWN_CONTROL_GROUPS", own)
    monkeypatch.setattr(memory, "_CONTROL_GROUPS", top)
    whole = usable_memory("cpu")
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert whole == pytest.approx(0.8 * total, rel=1e-3)
    (top / "slurm" / "job_7" / "step_0").mkdir(parents=True)
    own.write_text("0::/slurm/job_7/step_0\n")
    (top / "slurm" / "job_7" / "step_0" / "memory.max").write_text("max\n")
    assert usable_memory("cpu") == whole
    (top / "slurm" / "job_7" / "memory.max").write_text(f"{10**9}\n")
    assert usable_memory("cpu") == 8 * 10**8
    (top / "memory" / "docker").mkdir(parents=True)
    (top / "memory" / "docker" / "memory.limit_in_bytes").write_text(f"{10**8}\n")
    own.write_text("9:cpu:/elsewhere\n4:memory:/docker\n0::/\n")
    assert usable_memory("cpu") == 8 * 10**7


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."), True),
        (RuntimeError("shapes do not fit"), False),
    ],
)
def test_what_counts_as_too_little_memory(error: RuntimeError, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


def test_peak_memory_is_that_of_where_it_computes(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 12345)
    assert peak_memory("cuda") == 12345
    assert 10**7 < peak_memory("cpu") < 10**11


def test_precision_is_full_unless_asked_and_only_within_the_block() -> None:
    matmul = torch.backends.cuda.matmul
    assert not matmul.allow_tf32
    with matrix_precision("tf32"):
        assert matmul.allow_tf32
        with matrix_precision("float32"):
            assert not matmul.allow_tf32
        assert matmul.allow_tf32
    assert not matmul.allow_tf32


def test_freed_memory_is_kept_where_the_c_library_can(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda *arguments: asked.append(arguments))
    monkeypatch.setattr("ctypes.CDLL", lambda name: library)
    monkeypatch.setattr("platform.libc_ver", lambda: ("musl", "1"))
    keep_freed_memory()
    assert asked == []
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    keep_freed_memory()
    assert {parameter for parameter, _ in asked} == {-1, -3}
