"""No regularizer: the plain NODE that every method is compared with."""

from sparsenode.methods import Method

METHOD = Method("none", "no regularizer", has_strength=False)
