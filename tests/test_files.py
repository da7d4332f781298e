import re
from pathlib import Path

import pytest

from sparsenode.errors import UserError
from sparsenode.files import describe_absence, lookup_problem, read_json, reading, write_atomically


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "table.csv"
    with write_atomically(target) as temporary:
        assert temporary.suffix == ".csv"
        assert temporary.parent == target.parent
        temporary.write_text("a")
        assert not target.exists()
    assert target.read_text() == "a"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("earlier")

    def write_half() -> None:
        with write_atomically(target) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert target.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [target]


def test_the_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with write_atomically(tmp_path / "atomic") as temporary:
        temporary.write_text("")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"

    def write_both_halves() -> None:
        with write_atomically(target) as temporary:
            temporary.write_text("half")
            Path("/dev/full").write_bytes(b"the other half")

    with pytest.raises(UserError, match=r"cannot write .*table\.csv: No space left on device"):
        write_both_halves()
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    for target in (tmp_path / "results" / "table.csv", tmp_path / "results" / "data" / "table.csv"):
        with pytest.raises(UserError, match=r"cannot write .*table\.csv"), write_atomically(target):
            pytest.fail("the block must not run")


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "table.csv").mkdir()
    with (
        pytest.raises(UserError, match=r"cannot write .*directory"),
        write_atomically(tmp_path / "table.csv") as temporary,
    ):
        temporary.write_text("a")
    assert list(tmp_path.iterdir()) == [tmp_path / "table.csv"]


def test_an_error_of_another_file_is_not_blamed_on_this_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), write_atomically(tmp_path / "table.csv"):
        (tmp_path / "elsewhere" / "input.csv").read_text()


def test_a_damaged_file_of_a_run_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "choice.json"
    with pytest.raises(UserError, match=r"choice\.json is missing; run again"):
        read_json(path)
    path.mkdir()
    with pytest.raises(UserError, match=r"choice\.json is a folder and no file; delete it and run again"):
        read_json(path)
    path.rmdir()
    for text, reason in (
        ("", "Expecting value"),
        ('{"chosen": ', "Expecting value"),
        ("{}", "it lacks 'chosen'"),
        ("3", ""),
    ):
        path.write_text(text)
        with pytest.raises(
            UserError, match=rf"choice\.json is damaged \({reason}.*\); delete it and run again"
        ) as caught:
            read_json(path, keys=["chosen"])
        assert "\n" not in str(caught.value)
    path.write_text('{"chosen": 0.1}')
    assert read_json(path, keys=["chosen"]) == {"chosen": 0.1}


def test_a_file_that_a_person_may_name_is_not_to_be_deleted_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.h5ad"
    path.touch()
    message = (
        r"cannot be read as a model \(odd\): it is damaged or of another kind; if it is a result of a run, delete it"
    )
    with pytest.raises(UserError, match=message), reading(path, "a model"):
        raise ValueError("odd\nand more")


def test_a_file_that_the_system_refuses_or_that_memory_does_not_hold_is_not_damaged(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.touch()
    with pytest.raises(PermissionError), reading(path):
        raise PermissionError(13, "Permission denied", str(path))
    with pytest.raises(MemoryError, match="table: memory allocation failed"), reading(path):
        raise OSError("memory allocation failed")


def test_an_input_beside_the_output_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), write_atomically(tmp_path / "table.csv"):
        (tmp_path / "input.csv").read_text()


def test_a_file_that_another_program_writes_beside_the_temporary_one_is_the_output(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"cannot write .*table\.csv: No such file"),
        write_atomically(tmp_path / "table.csv") as temporary,
    ):
        temporary.with_suffix(".part").read_text()


def test_a_path_that_is_too_long_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    assert re.fullmatch(r".*/x{300} cannot be looked up: File name too long; check the path", str(lookup_problem(path)))
    assert describe_absence(path) == lookup_problem(path)
    with pytest.raises(UserError, match="cannot be looked up: File name too long"):
        read_json(path)
    assert lookup_problem(tmp_path / "missing") is None
