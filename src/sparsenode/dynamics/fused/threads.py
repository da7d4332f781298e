"""Threads that call kernels, and the memory of each."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch
from torch import Tensor

_OWN = threading.local()


def thread_memory(size: int) -> int:
    """Address of so many bytes of this thread, aligned to 64: the same at each call, since fresh pages are slow."""
    memory: Tensor | None = getattr(_OWN, "memory", None)
    if memory is None or len(memory) < size + 64:
        memory = _OWN.memory = torch.empty(size + 64, dtype=torch.uint8)
    return -(-memory.data_ptr() // 64) * 64


@cache
def thread_pool(threads: int) -> ThreadPoolExecutor:
    """The pool of so many threads, the same at each call."""
    return ThreadPoolExecutor(threads, thread_name_prefix="sparsenode-kernel")


def call_each(compute: Callable[..., Any], task: ctypes.Structure, count: int, size: int) -> None:
    """Call a kernel with a task, each number below `count` and memory of a size, in as many threads as torch has."""

    def run(number: int) -> None:
        compute(ctypes.byref(task), ctypes.c_int64(number), ctypes.c_void_p(thread_memory(size)))

    threads = min(torch.get_num_threads(), count)
    if threads <= 1:
        for number in range(count):
            run(number)
    else:
        list(thread_pool(threads).map(run, range(count)))


def pointers_of(arrays: dict[str, Tensor]) -> tuple[dict[str, int], list[Tensor]]:
    """Addresses of contiguous tensors, and these tensors, which are to live as long as the addresses are used.

    Raises:
        TypeError: `sources`, numbers of variables, are not int64, or another one is not float64.
    """
    for name, value in arrays.items():
        if name == "sources" and value.dtype != torch.int64:
            raise TypeError(f"{name} is of {value.dtype}; numbers of variables are int64")
        if name != "sources" and value.dtype != torch.float64:
            raise TypeError(f"{name} is of {value.dtype}; refits are made in float64")
    whole = {name: value.contiguous() for name, value in arrays.items()}
    return {name: value.data_ptr() for name, value in whole.items()}, list(whole.values())
