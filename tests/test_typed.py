"""Typed settings: what is wrong with values, in words, and what is allowed."""

import datetime
from collections.abc import Iterator
from typing import Annotated, Literal

import pytest
from pydantic import Field

from sparsenode.errors import UserError
from sparsenode.typed import (
    Contradiction,
    Settings,
    check_settings,
    describe_allowed,
    describe_key,
    describe_value,
    read_settings,
    settings_schema,
)


class Inner(Settings):
    step: float = Field(0.2, gt=0, description="Step.")


class Outer(Settings):
    name: str = Field(min_length=1, description="Name.")
    count: int | None = Field(None, ge=1, description="Count.")
    kind: Literal["one", "two"] = Field("one", description="Kind.")
    sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field((3,), min_length=1, strict=False, description="Sizes.")
    inner: Inner = Field(default_factory=Inner, description="Inner.")
    by_name: dict[str, Inner] = Field(default_factory=dict, description="By name.")
    held: float | Literal["low", "high"] = Field(0.0, description="Held.")
    chosen: bool | tuple[str, ...] = Field(True, description="Chosen.")
    folder: str | None = Field(None, description="Folder.")

    def contradictions(self) -> Iterator[Contradiction]:
        if self.kind == "two" and self.count == 1:
            yield Contradiction("count", "1, with kind: two", "2 or more")


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"name": "a"}, []),
        ({"name": "a", "count": 3.0, "sizes": [1, 2], "inner": {"step": 1}, "held": "low"}, []),
        ({}, ["outer.name: missing; allowed: text that is not empty"]),
        ({"name": ""}, ['outer.name: found ""; allowed: text that is not empty']),
        ({"name": 3}, ["outer.name: found the number 3; allowed: text that is not empty"]),
        ({"name": "a", "count": 0}, ["outer.count: found the number 0; allowed: an integer at least 1 or null"]),
        ({"name": "a", "count": True}, ["outer.count: found true; allowed: an integer at least 1 or null"]),
        ({"name": "a", "count": "3"}, ['outer.count: found "3"; allowed: an integer at least 1 or null']),
        ({"name": "a", "kind": "three"}, ['outer.kind: found "three"; allowed: one, two']),
        ({"name": "a", "sizes": [2, 0]}, ["outer.sizes[1]: found the number 0; allowed: an integer at least 1"]),
        ({"name": "a", "sizes": []}, ["outer.sizes: found an empty list; allowed: a list with 1 or more entries"]),
        ({"name": "a", "inner": {"step": 0}}, ["outer.inner.step: found the number 0; allowed: a number above 0"]),
        ({"name": "a", "inner": {"step": float("nan")}}, ["outer.inner.step: found the number NaN; allowed: a finite"]),
        ({"name": "a", "by_name": {"x": {"step": -1}}}, ["outer.by_name.x.step: found the number -1; allowed: "]),
        ({"name": "a", "inner": 3}, ["outer.inner: found the number 3; allowed: a mapping"]),
        ({"name": "a", "held": "middle"}, ['outer.held: found "middle"; allowed: ']),
        ({"name": "a", "inner": {"stp": 1}}, ["outer.inner: unknown key: found \"stp\" (did you mean 'step'?)"]),
        ({"name": "a", "kind": "two", "count": 1}, ["outer.count: found 1, with kind: two; allowed: 2 or more"]),
        ({"name": "a", "sizes": ["a"]}, ['outer.sizes[0]: found "a"; allowed: an integer at least 1']),
        ({"name": "a", "chosen": [3]}, ['outer.chosen[0]: found the number 3; allowed: text in quotes, such as "3"']),
        ({"name": "a", "chosen": 3}, ["outer.chosen: found the number 3; allowed: true or false or a list, each text"]),
        ({"name": "a", "folder": 5}, ["outer.folder: found the number 5; allowed: text in quotes or null"]),
        ({"name": "a", "folder": False}, ["outer.folder: found false (YAML reads yes, no, on and off without"]),
        ({"name": "a", "kind": True}, ["outer.kind: found true (YAML reads yes, no, on and off without quotes so)"]),
        ({"name": "a", "held": float("inf")}, ["outer.held: found the number Infinity; allowed: a finite number or"]),
        ({"name": "a", "folder": {"a", "b"}}, ["outer.folder: found a set; allowed: text or null"]),
        ({"count": 0, "kind": 2}, ["outer.name: missing", "outer.count: found", "outer.kind: found the number 2"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_key_and_what_is_allowed(values: dict, problems: list[str]) -> None:
    messages = check_settings(Outer, values, ["outer"])[1]
    assert len(messages) == len(problems)
    for message, beginning in zip(messages, problems, strict=True):
        assert message.startswith(beginning)
    if problems:
        with pytest.raises(UserError, match=r"^outer"):
            read_settings(Outer, values, "outer")


def test_settings_without_keys_say_so() -> None:
    class Empty(Settings):
        """Nothing to set."""

    assert check_settings(Empty, {"x": 1}, ["options"])[1] == [
        'options: unknown key: found "x"; allowed: no key, since there are no options'
    ]


def test_whole_numbers_take_the_type_of_their_field() -> None:
    read = read_settings(Outer, {"name": "a", "count": 3.0, "inner": {"step": 1}, "sizes": [4.0]}, "outer")
    assert (read.count, type(read.count)) == (3, int)
    assert (read.inner.step, type(read.inner.step)) == (1.0, float)
    assert read.sizes == (4,)
    assert read.model_dump(mode="json")["sizes"] == [4]


def test_settings_cannot_be_changed() -> None:
    read = read_settings(Outer, {"name": "a"}, "outer")
    with pytest.raises(ValueError, match="frozen"):
        read.name = "b"


def test_a_copy_with_changes_is_checked() -> None:
    read = read_settings(Outer, {"name": "a"}, "outer")
    assert (read.changed(count=2).count, read.count) == (2, None)
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        read.changed(count=0)


def test_a_schema_has_no_references_and_null_among_its_types() -> None:
    schema = settings_schema(Outer)
    assert "$ref" not in str(schema)
    assert schema["properties"]["count"]["type"] == ["integer", "null"]
    assert schema["properties"]["inner"]["properties"]["step"]["exclusiveMinimum"] == 0
    assert schema["required"] == ["name"]


def test_values_and_keys_in_words() -> None:
    assert describe_value(datetime.date(2020, 1, 2)) == "the date 2020-01-02"
    assert describe_value([]) == "an empty list"
    assert len(describe_value("x" * 100)) == 60
    assert describe_key(["models", "plain", "hidden", 0]) == "models.plain.hidden[0]"
    assert describe_allowed({"type": ["number", "null"], "minimum": 0, "maximum": 1}) == (
        "a number at least 0 and at most 1 or null"
    )
