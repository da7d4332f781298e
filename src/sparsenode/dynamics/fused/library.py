"""Compile the kernels once for each machine, and keep them in the user's cache.

Light on purpose: `plan` asks whether there is a compiler.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

_LOG = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent
MOST_LAYERS = 9
_OPTIONS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-shared", "-fPIC")
_SECONDS = 120.0
_SIZES = {"kernel": ("solve_bytes", "match_bytes"), "refit": ("refit_bytes",), "system": ("system_bytes", "lanes")}
_INTEGER, _POINTER = ctypes.c_int64, ctypes.c_void_p


def _task_fields(real: Any) -> list[tuple[str, Any]]:
    """Fields of the kernel's `Task`, in its order."""
    layers = _POINTER * MOST_LAYERS
    arrays = (
        "decay skip step initial factor projected feature_weight states movement residual_weight observed quadrature "
        "duration columns nodes first"
    )
    integers = (
        "order features layers activation targets rows intervals groups width rank factor_rows factor_stride "
        "projected_stride residuals nodes_of_step steps weight_stride"
    )
    return [
        *((name, _INTEGER) for name in integers.split()),
        ("widths", _INTEGER * (MOST_LAYERS + 1)),
        ("weights", layers),
        ("biases", layers),
        *((name, _POINTER) for name in arrays.split()),
        ("scale", real),
        ("loss", _POINTER),
        ("weights_gradient", layers),
        ("biases_gradient", layers),
        *((name, _POINTER) for name in ["decay_gradient", "skip_gradient", "initial_gradient"]),
    ]


class FloatTask(ctypes.Structure):
    """What a call in float32 computes."""

    _fields_ = _task_fields(ctypes.c_float)


class DoubleTask(ctypes.Structure):
    """The same in float64, to compare gradients with."""

    _fields_ = _task_fields(ctypes.c_double)


def task_type(integers: str, arrays: str, numbers: str) -> type[ctypes.Structure]:
    """The `Task` of a kernel in float64, in its order: names of its integers, of its arrays, and of its numbers."""
    fields = [
        *((name, _INTEGER) for name in integers.split()),
        *((name, _POINTER) for name in arrays.split()),
        *((name, ctypes.c_double) for name in numbers.split()),
    ]
    return type("Task", (ctypes.Structure,), {"_fields_": fields})


def find_compiler() -> str | None:
    """Path of the C compiler: that of the environment variable CC, else cc, gcc or clang; None where there is none."""
    names = [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]
    return next((path for name in names if (path := shutil.which(name))), None)


@cache
def load(precision: str, kernel: str = "kernel") -> ctypes.CDLL | None:
    """A kernel in `float32` or `float64`, compiled where it is not in the cache; None where that is not possible.

    Args:
        precision: of its numbers; refits are made in `float64`.
        kernel: `kernel` for losses and gradients, `refit` for refits, `system` for starts of whole systems.
    """
    source = _FOLDER / f"{kernel}.c"
    try:
        path = _cache_folder() / f"{kernel}-{_fingerprint(source, precision)}.so"
        if not path.exists():
            _compile(source, path, precision)
        library = ctypes.CDLL(str(path))
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:  # a home folder may be missing, too
        _LOG.warning("the plain engine is taken, which may be slower: no compiled kernel here (%s)", _reason(error))
        return None
    for name in _SIZES[kernel]:
        getattr(library, name).restype = _INTEGER
    return library


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sparsenode"


def _fingerprint(source: Path, precision: str) -> str:
    """Of the source, the options and the processor: the nodes of a cluster may share a home and differ in these."""
    texts = [file.read_text(encoding="utf-8") for file in (source, _FOLDER / "vectors.h")]
    parts = [*texts, *_OPTIONS, precision, platform.platform(), _processor()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())


def _compile(source: Path, path: Path, precision: str) -> None:
    """Compile beside the name and rename, so that jobs that do so at the same time do not meet."""
    compiler = find_compiler()
    if compiler is None:
        raise FileNotFoundError("there is no C compiler")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    real = [] if precision == "float32" else ["-DREAL=double"]
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        target = Path(folder) / path.name
        command = [compiler, *_OPTIONS, *real, "-o", str(target), str(source), "-lm"]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
        target.rename(path)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return next(iter(error.stderr.splitlines()), str(error))
    return str(error)
