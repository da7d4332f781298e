"""Device, memory and precision, with a GPU that is made up."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sparsenode import device
from sparsenode.device import keep_freed_memory, matrix_precision, resolve_device, usable_memory
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
    monkeypatch.setattr(device, "_CGROUP_LIMITS", (tmp_path / "nothing",))
    whole = usable_memory("cpu")
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert whole == pytest.approx(0.8 * total, rel=1e-3)
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(device, "_CGROUP_LIMITS", (limit,))
    limit.write_text("max\n")
    assert usable_memory("cpu") == whole
    limit.write_text(f"{10**9}\n")
    assert usable_memory("cpu") == 8 * 10**8


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
