"""What a published equation gives, by Python's own grammar and one operation after the other."""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping

_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def activation(level: float, half_saturation: float, coefficient: float) -> float:
    """The published form of fAct."""
    power = half_saturation**coefficient
    b = (power - 1) / (2 * power - 1)
    return b * max(level, 0.0) ** coefficient / (b - 1 + max(level, 0.0) ** coefficient)


def brute_force(node: ast.AST, levels: Mapping[str, float]) -> float:
    """The value of a parsed equation at the genes' levels."""
    if isinstance(node, ast.Expression):
        return brute_force(node.body, levels)
    if isinstance(node, ast.Constant):
        return float(node.value)
    if isinstance(node, ast.Name):
        return levels[node.id]
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](brute_force(node.left, levels), brute_force(node.right, levels))
    assert isinstance(node, ast.Call)
    assert node.func.id == "fAct"
    return activation(*(brute_force(argument, levels) for argument in node.args))
