"""Figures as the command line draws them."""

from pathlib import Path

from sparsenode.cli import main
from sparsenode.figures import FIGURES, subcommand_of


def draw(figure: str, dataset: str, files: dict[str, Path], folder: Path, *flags: str) -> list[Path]:
    """Draw a figure of the registry into a folder, and give the files that were written."""
    paths = {name: files[name] for name in FIGURES[figure].inputs}
    outputs = {ending: folder / f"{figure}.{ending}" for ending in ("pdf", "png")}
    if FIGURES[figure].animated:
        outputs["animation"] = folder / f"{figure}.gif"
    arguments = [word for name, path in {**paths, **outputs}.items() for word in (f"--{name}", str(path))]
    assert main([subcommand_of(figure), "--dataset", dataset, *arguments, "--dots-per-inch", "30", *flags]) == 0
    return list(outputs.values())
