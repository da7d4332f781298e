"""No regularizer: the plain NODE that every method is compared with."""

from typing import ClassVar

from sparsenode.methods import Method


class NoRegularizer(Method):
    """Plain training."""

    summary: ClassVar[str] = "no regularizer"
    strength: ClassVar[str | None] = None
