"""Threads that call kernels, and the memory of each."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

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
