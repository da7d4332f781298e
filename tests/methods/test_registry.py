import subprocess
import sys

import pytest

from sparsenode.errors import UserError
from sparsenode.methods import (
    EdgeProximal,
    Method,
    Penalty,
    Pruner,
    WeightProximal,
    get_method,
    make_method,
    method_names,
)

NAMES = ("cnode", "dash", "grouplasso", "imp", "l0", "l1", "lassonet", "masked", "none", "pathreg")


def test_all_methods_are_found_by_name() -> None:
    assert set(NAMES) <= set(method_names())
    assert list(method_names()) == sorted(method_names())


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"method: found \"lasso\" \(did you mean 'lassonet'\?\); allowed: .*pathreg"):
        get_method("lasso")
    with pytest.raises(UserError, match=r'^method: found "xyz"; allowed: cnode, '):
        get_method("xyz")
    with pytest.raises(UserError, match=r'^method: found "nono" \(did you mean \'none\'\?\); allowed: cnode, '):
        make_method("nono", {})


@pytest.mark.parametrize("name", method_names())
def test_a_method_is_complete(name: str) -> None:
    method = get_method(name)
    assert method.name == name
    assert method.summary
    kinds = [kind for kind in (Penalty, WeightProximal, EdgeProximal, Pruner) if issubclass(method, kind)]
    assert len(kinds) == (method.strength is not None)
    # Masks take the place of gates, and scores follow the chain of layers.
    assert not (issubclass(method, Pruner) and (method.gated or method.skip))
    assert not method.skip or issubclass(method, EdgeProximal)
    # Every option is described, and has a default or must be set.
    required = [key for key, field in method.model_fields.items() if field.is_required()]
    assert required == (["prior"] if name in {"dash", "masked"} else [])
    assert all(field.description for field in method.model_fields.values())
    record = make_method(name, dict.fromkeys(required, "known"))
    assert record.prior_name() == ("known" if required else None)


def test_options_that_are_unknown_or_not_allowed_are_named() -> None:
    with pytest.raises(UserError, match=r"^options of pathreg: unknown key: found \"kapa\" \(did you mean 'kappa'\?\)"):
        make_method("pathreg", {"kapa": 1})
    with pytest.raises(UserError, match=r"^options of pathreg\.kappa: found the number -1; allowed: .* at least 0"):
        make_method("pathreg", {"kappa": -1})
    with pytest.raises(UserError, match=r"^options of dash\.prior: missing; allowed: text that is not empty"):
        make_method("dash", {})


@pytest.mark.parametrize("kind", [Penalty, WeightProximal, EdgeProximal, Pruner])
def test_a_kind_without_its_steps_cannot_be_made(kind: type[Method]) -> None:
    with pytest.raises(TypeError, match="abstract"):
        kind()


@pytest.mark.slow(reason="starts a process")
def test_methods_can_be_read_without_torch() -> None:
    code = (
        "import sys; from sparsenode.methods import get_method, method_names; "
        "[get_method(name) for name in method_names()]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
