"""The file of a fitted estimator: its members, its data and its settings, and nothing that is executed."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsenode.errors import UserError
from sparsenode.estimator.settings import PARAMETERS
from sparsenode.files import describe_absence, describe_problem, write_atomically
from sparsenode.typed import plain_value

if TYPE_CHECKING:
    from sparsenode.estimator.model import SparseNODE

FORMAT = "sparsenode estimator 1"
_MEMBERS, _DENSE = "model.safetensors", "dense.safetensors"
_DATA, _HISTORY, _ABOUT = "data.h5ad", "history.parquet", "estimator.json"
_DATE = (1980, 1, 1, 0, 0, 0)  # equal estimators are equal files


def save(model: SparseNODE, path: Path) -> None:
    """Write a fitted estimator; what was measured is not written, since it follows from the rest."""
    content = pack(model)
    with write_atomically(path) as temporary:
        temporary.write_bytes(content)


def load(cls: type[SparseNODE], path: Path) -> SparseNODE:
    """Read a fitted estimator.

    Raises:
        UserError: the file is missing, damaged, or of another version.
    """
    if (absence := describe_absence(path)) is not None:
        raise UserError(absence)
    return unpack(cls, path.read_bytes(), path)


def pack(model: SparseNODE) -> bytes:
    """A fitted estimator as bytes."""
    from sparsenode import __version__
    from sparsenode.data.contract import write_trajectories
    from sparsenode.ensemble.members import save_ensemble

    about = {"format": FORMAT, "version": __version__, "settings": _settings_of(model)}
    ensembles = {_MEMBERS: model.ensemble_} | ({} if model.dense_ is None else {_DENSE: model.dense_})
    with tempfile.TemporaryDirectory(prefix="sparsenode-") as folder:
        root = Path(folder)
        for name, ensemble in ensembles.items():
            save_ensemble(
                root / name,
                ensemble.parameters,
                ensemble.members,
                ensemble.settings,
                ensemble.features,
                ensemble.metadata,
                ensemble.groups,
                ensemble.centers,
            )
        write_trajectories(model.adata_, root / _DATA)
        model.history_.to_parquet(root / _HISTORY, index=False)
        (root / _ABOUT).write_text(json.dumps(about, indent=2))
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in (_ABOUT, *ensembles, _DATA, _HISTORY):
                archive.writestr(zipfile.ZipInfo(name, _DATE), (root / name).read_bytes(), zipfile.ZIP_DEFLATED)
    return content.getvalue()


def unpack(cls: type[SparseNODE], content: bytes, path: Path) -> SparseNODE:
    """A fitted estimator of its bytes, which are those of the file `path`.

    Raises:
        UserError: they are damaged, or of another version.
    """
    from sparsenode import __version__
    from sparsenode.data.contract import read_trajectories
    from sparsenode.ensemble.members import load_ensemble
    from sparsenode.files import read_table

    try:
        with (
            zipfile.ZipFile(io.BytesIO(content)) as archive,
            tempfile.TemporaryDirectory(prefix="sparsenode-") as folder,
        ):
            about = json.loads(archive.read(_ABOUT))
            if about["format"] != FORMAT:
                raise UserError(f"its format is {about['format']!r}, and this one reads {FORMAT!r}")
            root = Path(folder)
            has_dense = _DENSE in archive.namelist()
            for name in (_MEMBERS, _DATA, _HISTORY, *([_DENSE] if has_dense else [])):
                (root / name).write_bytes(archive.read(name))
            model = cls(**{name: _tuples(value) for name, value in about["settings"].items()})
            ensemble, adata = load_ensemble(root / _MEMBERS), read_trajectories(root / _DATA)
            history = read_table(root / _HISTORY)
            dense = load_ensemble(root / _DENSE) if has_dense else None
    except UserError as error:
        raise UserError(
            f"{path} was saved by sparsenode {about.get('version')}, and cannot be read by sparsenode {__version__} "
            f"({str(error).replace(f'{folder}/', '')}); fit again, or load it with that version"
        ) from error
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} cannot be read as a saved SparseNODE ({describe_problem(error)}): it is damaged or of another "
            "kind; save it again"
        ) from error
    model._set_fitted(adata, ensemble, history, dense)
    return model


def _settings_of(model: SparseNODE) -> dict[str, Any]:
    """Settings of the constructor that are not the default, in the types of JSON."""
    values = {name: plain_value(value) for name, value in model.get_params(deep=False).items()}
    defaults = {name: plain_value(value) for name, value in PARAMETERS.items()}
    return {name: value for name, value in values.items() if value != defaults[name]}


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
