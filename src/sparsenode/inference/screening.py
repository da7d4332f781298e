"""Which inputs of a target are looked at: the first on the path of an adaptive group lasso by matching.

The slopes of smoothed training blocks are explained by a few functions of each input, which enter or leave together
(group lasso, Yuan and Lin 2006; weights of a second pass by the first, Wang and Leng 2008). It is a screen: it drops
what can be left out, and says nothing about what is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sparsenode.data.trajectories import Floats
from sparsenode.inference.blocks import Block

_STRENGTHS = 20
_LEAST = 1e-3  # of the strength that leaves no edge
_SWEEPS = 25
_CALM = 1e-3  # change of weights in a sweep, in units of the slopes' deviation
_FUNCTIONS = 3


def features_of(states: Floats) -> Floats:
    """Three functions of each variable, orthonormal over rows: (variable, row, function); 0 where it is constant."""
    scaled = (states - states.mean(0)) / np.where(states.std(0) > 0, states.std(0), 1.0)
    bent = np.tanh(scaled)
    raw = np.stack([scaled, np.square(bent), bent**3], axis=-1).transpose(1, 0, 2)
    q, r = np.linalg.qr(raw - raw.mean(1, keepdims=True))
    size = np.abs(np.diagonal(r, axis1=1, axis2=2))
    return q * (size > 1e-8 * np.maximum(size.max(1, keepdims=True), 1e-300))[:, None]


def screen(blocks: Sequence[Block], allowed: np.ndarray, required: np.ndarray, most: int) -> np.ndarray:
    """Candidates of each target, (target, candidate), the strongest first; all lists are of one length.

    Where fewer are allowed the rest of a list is filled by the target's own number, which is no candidate.

    Args:
        blocks: training blocks.
        allowed: which pairs may be edges, (source, target).
        required: which pairs are candidates in any case, (source, target).
        most: candidates of a target.
    """
    count = len(allowed)
    others = allowed & ~np.eye(count, dtype=bool)
    width = max(1, int(min(others.sum(0).max(), max(most, int((required & others).sum(0).max())))))
    result = np.tile(np.arange(count)[:, None], (1, width))
    if others.sum(0).max() <= width:
        for target in range(count):
            sources = np.flatnonzero(others[:, target])
            result[target, : len(sources)] = sources
        return result
    states, slopes = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("states", "slopes"))
    features = features_of(states)
    gram = np.ascontiguousarray(np.einsum("ark,brl->akbl", features, features, optimize=True))
    centered = slopes - slopes.mean(0)
    centered = centered / np.where(centered.std(0) > 0, centered.std(0), 1.0) / np.sqrt(len(centered))
    pulls = np.einsum("ark,rt->tak", features, centered)
    for target in range(count):
        usable = others[:, target].copy()
        order = _path(gram, pulls[target], usable, target, width)
        must: list[int] = np.flatnonzero(required[:, target] & others[:, target]).tolist()
        chosen = [*must, *(source for source in order if source not in must)][:width]
        result[target, : len(chosen)] = chosen
    return result


def _path(gram: Floats, pull: Floats, usable: np.ndarray, target: int, most: int) -> list[int]:
    """Sources in the order in which they enter the path of the adaptive group lasso."""
    scale = np.ones(len(usable))
    entered: list[int] = []
    for first in (True, False):
        # The first pass weighs twice as many as the second lets in.
        entered, size = _descend(gram, pull, usable, target, scale, 2 * most if first else most)
        scale = 1 / np.maximum(size, 1e-3 * size.max(initial=1e-12))
        scale = scale / scale[usable].min()
    never: list[int] = [source for source in np.flatnonzero(usable).tolist() if source not in entered]
    return [*entered, *sorted(never, key=lambda source: float(scale[source]))]


def _descend(
    gram: Floats, pull: Floats, usable: np.ndarray, target: int, scale: Floats, most: int
) -> tuple[list[int], Floats]:
    """Block coordinate descent from the strength that leaves no edge downward; the target's own functions are free.

    It ends where as many sources as asked for have entered.
    """
    weights = np.zeros_like(pull)
    weights[target] = pull[target]
    residual = pull - (gram[:, :, target] @ weights[target])
    candidates = np.flatnonzero(usable)
    highest = (np.linalg.norm(residual, axis=1) / scale)[usable].max(initial=1e-12)
    entered: list[int] = []
    size = np.zeros(len(usable))
    for strength in highest * np.geomspace(1.0, _LEAST, _STRENGTHS):
        sizes = np.linalg.norm(residual[candidates], axis=1)
        new = candidates[sizes > strength * scale[candidates] * 0.999].tolist()
        active = sorted({*entered, target, *new})
        for _ in range(_SWEEPS):
            moved = 0.0
            for source in active:
                before = weights[source]
                after = residual[source] + before
                if source != target:
                    length = max(float(np.linalg.norm(after)), 1e-300)
                    after = after * max(0.0, 1 - strength * scale[source] / length)
                change = after - before
                step = float(np.abs(change).max())
                if step > 0:
                    weights[source] = after
                    residual -= gram[:, :, source] @ change
                    moved = max(moved, step)
            if moved < _CALM:
                break
        size = np.linalg.norm(weights, axis=1)
        entering = [source for source in active if source != target and size[source] > 0 and source not in entered]
        entered += sorted(entering, key=lambda source: -size[source])
        if len(entered) >= most:
            break
    return entered, size
