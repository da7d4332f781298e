"""What all tests share: one thread each, the repository's root, and a mirror of the published data if there is one."""

import os
from pathlib import Path

import pytest

# Before numpy and torch are imported: tests are small, and more threads than cores make them slow.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ.setdefault("MPLBACKEND", "agg")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Folder laid out as HOST/PATH with the published files; tests that need it are skipped without one."""
    named = os.environ.get("SPARSENODE_MIRROR")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "mirror"
    if not folder.is_dir():
        pytest.skip("no mirror of the published data; set SPARSENODE_MIRROR to a folder laid out as HOST/PATH")
    return folder
