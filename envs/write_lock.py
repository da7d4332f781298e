"""Print exact versions of all packages that sparsenode, its tests and its tools need, as installed here.

Everything that nothing asks for is left out, and a local version such as torch's `+cpu` is cut off, so that the lock
suits machines with and without a GPU.
"""

import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEADER = """\
# Exact versions of all packages that sparsenode, its tests and its tools need. Written by `make lock`; direct
# dependencies, with the reason for each, stand in pyproject.toml.
"""


def needed_versions(requirements: list[str]) -> dict[str, str]:
    """Give the installed version of each requirement and of all that they need, by canonical name."""
    versions: dict[str, str] = {}
    waiting = [Requirement(requirement) for requirement in requirements]
    seen = set()
    while waiting:
        requirement = waiting.pop()
        extras = frozenset(requirement.extras)
        name = canonicalize_name(requirement.name)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        distribution = metadata.distribution(name)
        versions[name] = distribution.version.partition("+")[0]
        for text in distribution.requires or []:
            below = Requirement(text)
            marker = below.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (extras or {""})):
                waiting.append(below)
    return versions


def main() -> None:
    """Print the lock."""
    root = Path(__file__).resolve().parent.parent
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    optional = project["project"]["optional-dependencies"].values()
    requirements = [
        *project["project"]["dependencies"],
        *project["build-system"]["requires"],
        *(requirement for group in optional for requirement in group),
    ]
    lines = [f"{name}=={version}" for name, version in sorted(needed_versions(requirements).items())]
    sys.stdout.write(HEADER + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
