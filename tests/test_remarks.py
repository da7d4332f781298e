"""The table of what is doubtful, and what of it is told at the end of a run."""

import os
from pathlib import Path

import pytest

from sparsenode.errors import UserError
from sparsenode.remarks import (
    HEADINGS,
    LARGEST,
    LOST,
    MAGNITUDES,
    NOTHING,
    TRIVIAL,
    Remark,
    collect_remarks,
    describe_remarks,
    read_remarks,
    read_warnings,
    tell_run,
    write_remarks,
)

REMARKS = [
    Remark("mine", "tiny", "l1", LARGEST, "3"),
    Remark("mine", "tiny", "", MAGNITUDES, "values move by 1e-09: set `scaling`"),
    Remark("mine", "tiny", "none", LOST, "2 of 2, by iteration 0"),
    Remark("mine", "tiny", "l0", LARGEST, "3"),
    Remark("yours", "tiny", "l1", LARGEST, "0.1"),
]


def test_a_table_is_read_as_it_was_written(tmp_path: Path):
    path = tmp_path / "remarks" / "mine.csv"
    write_remarks(REMARKS, path)
    assert read_remarks(path) == REMARKS
    lines = path.read_text().splitlines()
    assert lines[0] == "dataset,model,method,kind,finding,remark"
    assert lines[1] == f"mine,tiny,l1,largest strength,3,{HEADINGS[LARGEST]}"
    write_remarks([], path)
    assert read_remarks(path) == []


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "dataset,model,method,kind,finding\nm,t,l1,odd,3\n", None])
def test_a_damaged_table_is_named(tmp_path: Path, content):
    path = tmp_path / "mine.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"mine\.csv .*; delete it and run again"):
        read_remarks(path)


def test_remarks_are_grouped_by_kind_and_dataset():
    assert describe_remarks(REMARKS).splitlines() == [
        f"- {HEADINGS[MAGNITUDES]}:",
        "  - mine: tiny: values move by 1e-09: set `scaling`",
        f"- {HEADINGS[LOST]}:",
        "  - mine: tiny/none (2 of 2, by iteration 0)",
        f"- {HEADINGS[LARGEST]}:",
        "  - mine: tiny/l1, tiny/l0 (3)",
        "  - yours: tiny/l1 (0.1)",
    ]
    assert describe_remarks([]) == ""


def test_a_long_list_is_cut():
    many = [
        Remark(f"data{number}", "tiny", f"method{row}", TRIVIAL, f"error {row}")
        for number in range(10)
        for row in range(10)
    ]
    lines = describe_remarks(many, 3).splitlines()
    assert len(lines) == 5
    assert lines[1] == "  - data0: tiny/method0 (error 0); tiny/method1 (error 1); tiny/method2 (error 2); and 7 more"
    assert lines[4] == "  - and 7 more"
    assert len(describe_remarks(many).splitlines()) == 11


def test_the_remarks_of_all_datasets_are_one_table(tmp_path: Path):
    tables = [tmp_path / "mine.csv", tmp_path / "yours.csv"]
    write_remarks(REMARKS[:4], tables[0])
    write_remarks(REMARKS[4:], tables[1])
    collect_remarks(tables, tmp_path / "all.csv", tmp_path / "all.md")
    assert read_remarks(tmp_path / "all.csv") == REMARKS
    written = (tmp_path / "all.md").read_text()
    assert written == f"# Remarks\n\n{describe_remarks(REMARKS)}\n"
    write_remarks([], tables[0])
    collect_remarks(tables[:1], tmp_path / "none.csv", tmp_path / "none.md")
    assert NOTHING in " ".join((tmp_path / "none.md").read_text().split())
    # What is told of all results is true of a single strength too, of strength 0, and of an error that equals another.
    assert "lies between" not in NOTHING


def test_long_lines_for_reading_are_broken_between_words(tmp_path: Path):
    finding = "values move by 1e-09: " + "set `scaling: training_range` " * 9 + "a-b" * 60
    write_remarks([Remark("mine", "tiny", "", MAGNITUDES, finding)], tmp_path / "mine.csv")
    collect_remarks([tmp_path / "mine.csv"], tmp_path / "all.csv", tmp_path / "all.md")
    first, *others = (tmp_path / "all.md").read_text().splitlines()[3:]
    assert first.startswith("  - mine: tiny: values move")
    assert all(line.startswith("    ") and not line.startswith("     ") for line in others)
    assert all(len(line) <= 110 for line in [first, *others[:-1]])
    assert " ".join(line.strip() for line in [first, *others]) == f"- mine: tiny: {finding}"


def write_log(path: Path, text: str, time: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time, time))


def test_warnings_of_logs_are_told_once_and_only_those_of_the_run(tmp_path: Path):
    logs = [tmp_path / f"{number}.log" for number in range(5)]
    write_log(logs[0], "WARNING: stale\n", 10)
    write_log(logs[1], "INFO: fine\nWARNING: mine: values are small: set `scaling`\nTraceback: x\n", 30)
    write_log(logs[2], "WARNING: mine/tiny: values are small: set `scaling`\nWARNING: mine/tiny/l1: lost\n", 30)
    write_log(logs[3], "WARNING: mine/tiny/l1: lost\nerror: no member has finished: see above\nWARNING: odd\n", 30)
    assert read_warnings(logs, 20) == [
        "mine, mine/tiny: values are small: set `scaling`",
        "mine/tiny/l1: lost",
        "no member has finished: see above",
        "odd",
    ]


def models_of(folder: Path, *datasets: str) -> dict[str, list[Path]]:
    """The model files of a run of a model and method, by dataset."""
    return {name: [folder / "models" / name / "tiny" / "l1" / "seeds_0-1.safetensors"] for name in datasets}


def test_the_end_of_a_run_tells_remarks_and_where_there_are_none_yet_the_warnings(tmp_path: Path):
    assert tell_run(tmp_path, models_of(tmp_path, "mine", "yours"), 0) == ""
    log = tmp_path / "logs" / "train_members" / "yours" / "tiny" / "l1" / "seeds_0-1.log"
    write_log(log, "WARNING: yours/tiny/l1: members were lost\n", 30)
    model = tmp_path / "models" / "mine" / "tiny" / "l1" / "seeds_0-1.safetensors"
    write_log(model, "", 30)
    for name, remarks in (("mine", REMARKS[:4]), ("yours", REMARKS[4:])):
        write_remarks(remarks, tmp_path / "remarks" / f"{name}.csv")
        os.utime(tmp_path / "remarks" / f"{name}.csv", (40, 40))
    assert tell_run(tmp_path, models_of(tmp_path, "mine", "yours"), 20) == describe_remarks(REMARKS)
    (tmp_path / "remarks" / "yours.csv").unlink()
    expected = f"{describe_remarks(REMARKS[:4])}\n- yours/tiny/l1: members were lost"
    assert tell_run(tmp_path, models_of(tmp_path, "mine", "yours"), 20) == expected
    # Once a model is trained again what was said of the one before no longer holds.
    os.utime(model, (50, 50))
    assert tell_run(tmp_path, models_of(tmp_path, "mine", "yours"), 20) == "- yours/tiny/l1: members were lost"
    assert tell_run(tmp_path, models_of(tmp_path, "mine"), 20) == ""


def test_the_end_of_a_run_tells_what_preprocessing_doubts_and_no_remark_repeats(tmp_path: Path):
    finding = "values move by 1e-09"
    write_remarks([Remark("mine", "tiny", "", MAGNITUDES, finding)], tmp_path / "remarks" / "mine.csv")
    log = tmp_path / "logs" / "preprocess_dataset" / "mine.log"
    text = f"WARNING: mine: {finding}\nWARNING: walk 07_01: lhand.rx is 120 degrees from its mean\n"
    write_log(log, text, 30)
    lines = tell_run(tmp_path, models_of(tmp_path, "mine"), 20).splitlines()
    assert lines[-1] == "- walk 07_01: lhand.rx is 120 degrees from its mean"
    assert sum(finding in line for line in lines) == 1
    assert len(tell_run(tmp_path, models_of(tmp_path, "mine"), 40).splitlines()) == len(lines) - 1


def test_the_end_of_a_run_says_where_all_of_it_is(tmp_path: Path):
    table = tmp_path / "remarks" / "mine.csv"
    write_remarks(REMARKS[:4], table)
    collect_remarks([table], tmp_path / "remarks.csv", tmp_path / "remarks.md")
    assert (
        tell_run(tmp_path, models_of(tmp_path, "mine"), 0).splitlines()[-1]
        == f"All of it is in {tmp_path / 'remarks.md'}."
    )


def test_of_a_table_that_cannot_be_read_the_end_of_a_run_tells_that_and_all_else(tmp_path: Path):
    write_remarks(REMARKS[:4], tmp_path / "remarks" / "mine.csv")
    (tmp_path / "remarks" / "yours.csv").write_text("cut")
    write_log(tmp_path / "logs" / "preprocess_dataset" / "yours.log", "WARNING: yours: values were centered\n", 30)
    lines = tell_run(tmp_path, models_of(tmp_path, "yours", "mine"), 20).splitlines()
    assert "\n".join(lines[:-2]) == describe_remarks(REMARKS[:4])
    assert lines[-2].startswith(f"- {tmp_path / 'remarks' / 'yours.csv'} cannot be read as a table of remarks")
    assert lines[-1] == "- yours: values were centered"


def test_only_the_same_sentence_of_the_same_dataset_is_left_out_of_the_warnings(tmp_path: Path):
    """The finding "3" of another kind is in many sentences."""
    sentence = "values move by 1e-09: set `scaling`"
    write_remarks(REMARKS[:4], tmp_path / "remarks" / "mine.csv")
    write_remarks(REMARKS[4:], tmp_path / "remarks" / "yours.csv")
    logs = tmp_path / "logs" / "preprocess_dataset"
    write_log(logs / "mine.log", f"WARNING: mine: {sentence}\nWARNING: mine: 3 values are centered\n", 30)
    write_log(logs / "yours.log", f"WARNING: yours: {sentence}\n", 30)
    lines = tell_run(tmp_path, models_of(tmp_path, "mine", "yours"), 20).splitlines()
    assert lines[-2:] == ["- mine: 3 values are centered", f"- yours: {sentence}"]


def test_after_a_failed_training_the_end_of_a_run_tells_its_error_and_no_old_remark(tmp_path: Path):
    """Snakemake has removed the model, so that the old table is newer than all that is there."""
    table = tmp_path / "remarks" / "mine.csv"
    write_remarks(REMARKS[:4], table)
    os.utime(table, (40, 40))
    log = tmp_path / "logs" / "train_members" / "mine" / "tiny" / "l1" / "seeds_0-1.log"
    write_log(log, "error: the disk is full\n", 60)
    assert tell_run(tmp_path, models_of(tmp_path, "mine"), 50) == "- the disk is full"
    # The next run does not train: what its tables say is what there is.
    assert tell_run(tmp_path, models_of(tmp_path, "mine"), 70) == describe_remarks(REMARKS[:4])
    # Models of other runs do not count.
    write_log(tmp_path / "models" / "mine" / "large" / "l1" / "seeds_0-1.safetensors", "", 80)
    assert tell_run(tmp_path, models_of(tmp_path, "mine"), 70) == describe_remarks(REMARKS[:4])
