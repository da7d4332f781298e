"""Build of the package; pyproject.toml has all that is declared.

The workflow is at the root of the repository, where Snakemake looks for it. A wheel has it as data of the package, in
`sparsenode/workflow`, laid out as here.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

WORKFLOW = ("Snakefile", "config.yaml", "envs", "profiles", "slurm", "workflow")


class BuildWithWorkflow(build_py):
    """Copy the modules, and into a wheel the workflow."""

    def run(self) -> None:
        """Build; an editable installation has the workflow where it is."""
        super().run()
        if not self.editable_mode:
            for source, target in self.workflow_files().items():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_source_files(self) -> list[str]:
        """Files that the source distribution has to have."""
        return [*super().get_source_files(), *self.workflow_files()]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Files that a build makes."""
        outputs = [] if self.editable_mode else list(self.workflow_files().values())
        return [*super().get_outputs(include_bytecode), *outputs]

    def workflow_files(self) -> dict[str, str]:
        """The files of the workflow, each with its copy in the build."""
        folder = Path(self.build_lib, "sparsenode", "workflow")
        paths = [
            path
            for name in WORKFLOW
            for path in sorted(Path(name).rglob("*") if Path(name).is_dir() else [Path(name)])
            if path.is_file() and path.suffix not in {".py", ".pyc"}
        ]
        return {str(path): str(folder / path) for path in paths}


setup(cmdclass={"build_py": BuildWithWorkflow})
