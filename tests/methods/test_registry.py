import inspect
import subprocess
import sys

import jsonschema
import pytest

from sparsenode.methods import get_method, method_names

NAMES = ("cnode", "dash", "grouplasso", "imp", "l0", "l1", "lassonet", "none", "pathreg")


def test_all_methods_are_found_by_name() -> None:
    assert set(NAMES) <= set(method_names())
    assert list(method_names()) == sorted(method_names())


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(KeyError, match=r"no method 'lasso'.*pathreg"):
        get_method("lasso")


@pytest.mark.parametrize("name", method_names())
def test_a_record_is_complete(name: str) -> None:
    method = get_method(name)
    assert method.name == name
    assert method.summary
    hooks = [hook for hook in (method.penalty, method.proximal, method.edge_proximal, method.scores) if hook]
    assert len(hooks) == method.has_strength
    assert (method.size is not None) == (method.proximal is not None)
    assert (method.edge_size is not None) == (method.edge_proximal is not None) == method.per_target
    assert (method.weights_left is not None) == (method.scores is not None)
    # Masks stand in place of gates, and scores follow the chain of layers.
    assert method.scores is None or not (method.gated or method.skip or method.per_target)
    assert method.strength
    hooks += [
        hook for hook in (method.edge_weights, method.ramp, method.warm_up, method.weights_left) if hook is not None
    ]
    # Every option is described, has a valid default or must be given, and is taken by the hooks under its name.
    defaults = {key: option["default"] for key, option in method.options.items() if "default" in option}
    assert method.options.keys() - defaults.keys() == ({"prior"} if method.prior else set())
    jsonschema.Draft202012Validator.check_schema({"properties": dict(method.options)})
    jsonschema.validate(defaults, {"type": "object", "properties": dict(method.options)})
    for hook in hooks:
        parameters = inspect.signature(hook).parameters
        others = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
        assert others or defaults.keys() <= parameters.keys()
    assert method.problem is None or method.problem(**defaults) is None
    assert all(option["description"] for option in method.options.values())


def test_methods_can_be_read_without_torch() -> None:
    code = (
        "import sys; from sparsenode.methods import get_method, method_names; "
        "[get_method(name) for name in method_names()]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
