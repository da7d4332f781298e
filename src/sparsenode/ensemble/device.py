"""All that depends on the device: which one, how much memory it has, how precise its products are."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import resource
from collections.abc import Iterator

import torch

from sparsenode.ensemble.memory import USABLE, machine_bytes
from sparsenode.errors import UserError


def resolve_device(device: str) -> str:
    """`auto` is cuda where there is one and else cpu. Raises UserError if cuda is asked for and missing."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device: found cuda, but torch sees no GPU here; use auto or cpu, or a node with a GPU")
    return device


def usable_memory(device: str, limit: int | None = None) -> int:
    """Bytes that a training job may use: of all that the device has, free or not, so that it is the same every time.

    On the CPU no more than any control group around this process, such as a container's or a cluster job's; `limit`
    bounds both.
    """
    if device == "cuda":
        total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    else:
        total = machine_bytes()
    usable = int(USABLE * total)
    return usable if limit is None else min(usable, limit)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch's allocator, of a GPU or of the CPU, has refused."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


@contextlib.contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Within the block, work on a GPU is in a stream of its own, as recording it as a graph needs."""
    if device.type != "cuda":
        yield
        return
    before = torch.cuda.current_stream(device)
    stream = torch.cuda.Stream(device)
    stream.wait_stream(before)
    with torch.cuda.stream(stream):
        yield
    before.wait_stream(stream)


def release_memory() -> None:
    """Give back what the allocator of a GPU keeps for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def peak_memory(device: str) -> int:
    """Most bytes that this process has used: of the GPU where it computes on one, else of the machine."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    # Linux counts in kilobytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextlib.contextmanager
def matrix_precision(precision: str) -> Iterator[None]:
    """Within the block, products of float32 matrices on a GPU keep 23 bits, or 10 with `tf32`."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def keep_freed_memory() -> None:
    """Let this process keep memory that it has freed, for the next tensor of its size.

    The C library gives large blocks back to the system and takes them again in each operation, page by page: at a
    megabyte this costs several times what the operation does. Does nothing but with glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    most = 2**31 - 1
    library = ctypes.CDLL(None)
    trim_threshold, map_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    library.mallopt(trim_threshold, most)
    library.mallopt(map_threshold, most)
