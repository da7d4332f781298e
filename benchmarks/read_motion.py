"""Speed of reading motion capture: all AMC files below a mirror, each several times.

    python benchmarks/read_motion.py MIRROR

Prints megabytes a second over all files, the best and the first of the rounds, of bytes on disk.
"""

import argparse
import time
from pathlib import Path

from sparsenode.data.motion.acclaim import read_motion, read_skeleton

ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mirror", type=Path, help="folder laid out as HOST/PATH")
    files = sorted((parser.parse_args().mirror / "mocap.cs.cmu.edu" / "subjects").rglob("*.amc"))
    skeletons = {folder: read_skeleton(folder / f"{folder.name}.asf") for folder in {file.parent for file in files}}
    size = sum(file.stat().st_size for file in files) / 1e6
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        frames = sum(len(read_motion(file, skeletons[file.parent]).frames) for file in files)
        seconds.append(time.perf_counter() - began)
    print(f"{len(files)} files, {size:.1f} MB, {frames} frames")
    print(f"{size / min(seconds):.0f} MB/s at best, {size / seconds[0]:.0f} MB/s in the first round")


if __name__ == "__main__":
    main()
