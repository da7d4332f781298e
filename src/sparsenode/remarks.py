"""What is doubtful about results, in words: a small table of results, and the same on the terminal."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType

from sparsenode.errors import UserError
from sparsenode.files import write_atomically

LOST = "members lost"
NOT_CHOSEN = "no strength chosen"
MAGNITUDES = "magnitudes"
STILL = "nothing moves"
TRIVIAL = "worse than trivial"
LARGEST = "largest strength"
SMALLEST = "smallest strength"
UNFINISHED = "peer not finished"
UNTOLD_EDGES = "edges not told"
HEADINGS = {
    MAGNITUDES: "Values or times are hard to learn from",
    LOST: "Members were lost in training, and are left out of everything else",
    NOT_CHOSEN: "No strength was chosen, since fewer than half of the members of each could be used",
    STILL: "The forecast hardly differs from its initial state: nothing moves",
    TRIVIAL: "A trivial forecast is better on validation",
    LARGEST: "The chosen strength is the largest on offer; larger ones may be better (`methods.NAME.strengths`)",
    SMALLEST: "The chosen strength is the smallest on offer; smaller ones may be better (`methods.NAME.strengths`)",
    UNFINISHED: "A peer was ended by its time limit and has no scores; it runs again with a longer one "
    "(`peers.NAME.options.time_limit`)",
    UNTOLD_EDGES: "The test of edges cannot tell all of them",
}
"""What each kind of remark says, in the order in which they are listed."""

NOTHING = (
    "Nothing here is doubtful by the rules: no member was lost, a strength was chosen for every method, no model "
    "forecasts just its initial state, no trivial forecast is better on validation, no chosen strength is an end of "
    "those on offer beyond which others may be better, no peer was ended by its time limit, no test of edges leaves "
    "any untold, and no values or times are hard to learn from."
)
_SENTENCES = (MAGNITUDES, UNTOLD_EDGES)
_MOST_FINDINGS = 6
_MOST_WARNINGS = 12
_MOST_SUMMARIES = 6
_TOLD = ("WARNING: ", "error: ")
_WIDTH = 110
# Rules that read the data of a dataset, and whose results are evaluated.
_EARLIER_RULES = ("train_members", "infer_peer", "infer_edges")


@dataclass(frozen=True)
class Remark:
    """A doubt about a model and method on a dataset, the method empty where it concerns all of the model's.

    Of a peer or a test of edges, which belong to no model, the model is empty.

    `kind` is one of `HEADINGS`; `finding` is the reason for it: numbers, or of `MAGNITUDES` and `UNTOLD_EDGES` a
    sentence.
    """

    dataset: str
    model: str
    method: str
    kind: str
    finding: str

    @property
    def subject(self) -> str:
        """Model and method."""
        return "/".join(name for name in (self.model, self.method) if name)


COLUMNS = (*(field.name for field in fields(Remark)), "remark")


def write_remarks(remarks: Iterable[Remark], path: Path) -> None:
    """Write a table of remarks as CSV, `COLUMNS`; `remark` says what the kind means."""
    with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**asdict(remark), "remark": HEADINGS[remark.kind]} for remark in remarks)


def read_remarks(path: Path) -> list[Remark]:
    """Read a table that `write_remarks` wrote.

    Raises:
        UserError: it is missing, or no such table.
    """
    names = COLUMNS[:-1]
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream)
        positions = [header.index(name) for name in names]
        remarks = [Remark(*(row[position] for position in positions)) for row in rows]
    except (OSError, ValueError, IndexError, csv.Error) as error:
        message = f"{path} cannot be read as a table of remarks ({error}); delete it and run again"
        raise UserError(message) from error
    if unknown := [remark.kind for remark in remarks if remark.kind not in HEADINGS]:
        message = f"{path} holds remarks of the kind {unknown[0]!r}, which is not known; delete it and run again"
        raise UserError(message)
    return remarks


def describe_remarks(remarks: Sequence[Remark], most: int | None = None) -> str:
    """All remarks as a list in two levels, which is Markdown too: the kind, and below it a line for each dataset.

    With `most`, so many datasets of a kind and findings of a dataset are listed, and all further ones are counted.
    """
    lines = []
    for kind, heading in HEADINGS.items():
        alike = [remark for remark in remarks if remark.kind == kind]
        lines += [f"- {heading}:"] * bool(alike)
        by_dataset: list[str] = []
        for dataset in dict.fromkeys(remark.dataset for remark in alike):
            findings = _cut(_findings_of(alike, dataset), most)
            # Sentences have a line each.
            by_dataset += [f"{dataset}: {text}" for text in (findings if kind in _SENTENCES else ["; ".join(findings)])]
        lines += [f"  - {line}" for line in _cut(by_dataset, most)]
    return "\n".join(lines)


def _findings_of(remarks: Sequence[Remark], dataset: str) -> list[str]:
    """Each finding on a dataset with the models and methods that it is of, the same one once."""
    subjects: dict[tuple[str, str], list[str]] = {}
    for remark in remarks:
        if remark.dataset == dataset:
            subjects.setdefault((remark.kind, remark.finding), []).append(remark.subject)
    return [
        f"{', '.join(names)}: {finding}" if kind in _SENTENCES else f"{', '.join(names)} ({finding})"
        for (kind, finding), names in subjects.items()
    ]


def _cut(texts: Sequence[str], most: int | None) -> list[str]:
    """At most so many texts, and how many more there are; a single one more is listed too."""
    if most is None or len(texts) <= most + 1:
        return list(texts)
    return [*texts[:most], f"and {len(texts) - most} more"]


def collect_remarks(tables: Sequence[Path], output: Path, markdown: Path) -> None:
    """Join the remarks of several datasets to one table, CSV, and the same for reading as Markdown.

    Args:
        tables: tables of remarks.
        output: where the joined table is written.
        markdown: where the same is written as Markdown.

    Raises:
        UserError: a table cannot be read.
    """
    remarks = [remark for table in tables for remark in read_remarks(table)]
    write_remarks(remarks, output)
    with write_atomically(markdown) as temporary:
        temporary.write_text(f"# Remarks\n\n{_wrap(describe_remarks(remarks) or NOTHING)}\n", encoding="utf-8")


def _wrap(text: str) -> str:
    """A list with lines of a width that can be read where nothing else breaks them."""
    return "\n".join(
        textwrap.fill(
            line,
            _WIDTH,
            subsequent_indent=" " * (len(line) - len(line.lstrip(" -"))),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.splitlines()
    )


def tell_run(results: Path | str, models: Mapping[str, Sequence[Path | str]], since: float) -> str:
    """What to print on the terminal at the end of a run, in at most some thirty lines; empty if there is nothing.

    Args:
        results: Folder of the results.
        models: The model files of the run, by dataset. Of a dataset whose evaluation is missing, or older than its
            models or than what a job before it has logged in this run, the warnings and errors in the logs of its jobs
            are printed in place of its remarks.
        since: Time (seconds since 1970) from which on logs are those of the run.
    """
    results = Path(results)
    remarks: list[Remark] = []
    errors: list[str] = []
    preprocessing: list[Path] = []
    logs: list[Path] = []
    repeated: dict[Path, set[str]] = {}
    for dataset, model_files in models.items():
        table = results / "remarks" / f"{dataset}.csv"
        data_log = results / "logs" / "preprocess_dataset" / f"{dataset}.log"
        earlier_logs = [path for rule in _EARLIER_RULES for path in _below(results / "logs" / rule, dataset)]
        preprocessing.append(data_log)
        inputs = [results / "data" / f"{dataset}.h5ad", *map(Path, model_files)]
        inputs += [log for log in [data_log, *earlier_logs] if _is_newer(log, since)]
        if _is_current(table, inputs):
            try:
                of_dataset = read_remarks(table)
            except UserError as error:  # the end of a run is no place to fail
                errors.append(str(error))
            else:
                remarks += of_dataset
                # What preprocessing has doubted and no remark repeats is told too: values that were centered.
                repeated[data_log] = {remark.finding for remark in of_dataset if remark.kind == MAGNITUDES}
                continue
        logs += [*earlier_logs, results / "logs" / "evaluate_models" / f"{dataset}.log"]
    warnings = [*errors, *read_warnings([*preprocessing, *logs], since, repeated)]
    lines = describe_remarks(remarks, _MOST_FINDINGS).splitlines()
    lines += [f"- {warning}" for warning in _cut(warnings, _MOST_WARNINGS)]
    whole = results / "remarks.md"
    if remarks and _is_current(whole, [results / "remarks" / f"{dataset}.csv" for dataset in models]):
        lines.append(f"All of it is in {whole}.")
    return "\n".join(lines)


def tell_summary(path: Path | str) -> str:
    """What was found, to be printed at the end of a run: the summaries of the first datasets; empty if there are none.

    Args:
        path: file of the summaries for reading.
    """
    try:
        _, *summaries = Path(path).read_text(encoding="utf-8").strip().split("\n\n")
    except OSError:
        return ""
    rest = len(summaries) - _MOST_SUMMARIES
    lines = summaries[:_MOST_SUMMARIES] + [f"And {rest} more datasets are in {path}."] * (rest > 0)
    return "\n\n".join(lines).replace("**", "")


def _below(folder: Path, dataset: str) -> list[Path]:
    return sorted(path for path in (folder / dataset).rglob("*") if path.is_file())


def _is_current(table: Path, inputs: Sequence[Path]) -> bool:
    """Whether a table is there and as new as all its inputs that are."""
    if not table.is_file():
        return False
    table_time = table.stat().st_mtime
    return all(path.stat().st_mtime <= table_time for path in inputs if path.exists())


def _is_newer(path: Path, time: float) -> bool:
    """Whether a file was written at a time (seconds since 1970) or later."""
    return path.is_file() and path.stat().st_mtime >= time


def read_warnings(
    logs: Iterable[Path], since: float, repeated: Mapping[Path, Collection[str]] = MappingProxyType({})
) -> list[str]:
    """Warnings and errors in logs that were written after a time, each once, with all that it is said of before it.

    Args:
        logs: The logs; those that are not there are passed over.
        since: Time (seconds since 1970) from which on a log has to be.
        repeated: By log, sentences that are left out, since they are told elsewhere.
    """
    subjects: dict[str, list[str]] = {}
    for path in logs:
        try:
            text = path.read_text(encoding="utf-8", errors="replace") if _is_newer(path, since) else ""
        except OSError:
            continue
        for line in text.splitlines():
            if not line.startswith(_TOLD):
                continue
            subject, _, message = line.partition(": ")[2].partition(": ")
            if " " in subject or not message:  # no name of a dataset, model and method
                subject, message = "", line.partition(": ")[2]
            if message in repeated.get(path, ()):
                continue
            said_of = subjects.setdefault(message, [])
            said_of += [subject] * (subject not in said_of)
    return [
        ": ".join(filter(None, (", ".join(_cut(said_of, _MOST_FINDINGS)), message)))
        for message, said_of in subjects.items()
    ]
