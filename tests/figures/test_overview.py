"""The page that the report opens on, and the captions of its figures."""

import html.parser
import re

import pytest

from sparsenode.errors import UserError
from sparsenode.figures import FIGURES, overview

SUMMARY = """# Summary

**cells_<b>**
- Best on validation data: l1_ (model `small`) at strength 0.1. Its error
  goes on in a second line.
- Doubtful: a & b.

**springs**
- Nothing else.
"""


class Page(html.parser.HTMLParser):
    """Tags of a page, its texts, and the addresses that it loads from."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.addresses = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in {"src", "href"}]

    def handle_data(self, data):
        self.texts.append(data)


def test_the_summary_is_headings_and_lists_and_names_are_no_markup():
    page = Page(overview.describe_summary(SUMMARY))
    assert [tag for tag in page.tags if tag != "code"] == ["h3", "ul", "li", "li", "h3", "ul", "li"]
    text = "".join(page.texts)
    assert "cells_<b>" in text
    assert "Its error goes on in a second line." in text
    assert "a & b" in text
    assert "Summary" not in text


def test_of_a_table_the_columns_that_matter_are_shown_with_three_digits():
    rows = "".join(f"cells,,l1,0.123456,{number}\n" for number in range(30))
    page = Page(overview.describe_table("dataset,study,method,auprc,other\n" + rows))
    assert page.tags.count("tr") == 1 + overview.MOST_ROWS
    assert page.texts[:6] == ["dataset", "method", "auprc", "cells", "l1", "0.123"]
    assert page.texts[-1] == "and 10 more rows in benchmark.csv"
    assert overview.describe_table("dataset,method\n") == ""


def test_names_that_are_numbers_stay_as_they_are():
    page = Page(overview.describe_table("dataset,model,auprc\n00123,1e5,0.123456\n"))
    assert page.texts == ["dataset", "model", "auprc", "00123", "1e5", "0.123"]


@pytest.mark.parametrize(
    ("datasets", "expected"),
    [
        (1, ["d0/trajectories", "d0/network", "d0/strengths", "d0/pareto"]),
        (2, ["d0/trajectories", "d0/network", "d1/trajectories", "d1/network"]),
        (3, ["d0/trajectories", "d0/network", "d1/trajectories", "d2/trajectories"]),
        (9, ["d0/trajectories", "d1/trajectories", "d2/trajectories", "d3/trajectories"]),
    ],
)
def test_four_pictures_are_chosen_from_each_dataset_in_turn(tmp_path, datasets, expected):
    names = ("pareto", "strengths", "network", "stability", "trajectories")
    pictures = [tmp_path / f"d{number}" / f"{name}.png" for number in range(datasets) for name in names]
    chosen = overview.choose_pictures(pictures)
    assert [f"{path.parent.name}/{path.stem}" for path in chosen] == expected


def test_the_page_holds_its_pictures_and_loads_nothing(tmp_path):
    summary, table, picture = tmp_path / "summary.md", tmp_path / "benchmark.csv", tmp_path / "cells" / "network.png"
    picture.parent.mkdir()
    summary.write_text(SUMMARY)
    table.write_text("dataset,auprc\ncells,0.5\n")
    picture.write_bytes(b"\x89PNG picture")
    output = tmp_path / "overview.html"
    overview.write_overview(summary, output, benchmark=table, pictures=[picture])
    page = Page(output.read_text())
    assert page.tags.count("img") == 1
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    # On a phone lines are broken, and a wide table scrolls by itself.
    assert re.search(r"pre[^{]*{[^}]*white-space: pre-wrap", output.read_text())
    # The report centers what it opens on: the top of a long page would be out of reach.
    assert ".flex.items-center.overflow-auto { align-items: flex-start; }" in output.read_text()
    picture.unlink()
    with pytest.raises(UserError, match=r"network\.png cannot be read \(No such file or directory\); draw it again"):
        overview.write_overview(summary, output, pictures=[picture])
    summary.unlink()
    with pytest.raises(UserError, match=r"summary\.md cannot be read"):
        overview.write_overview(summary, output)


def test_captions_have_at_most_eighty_words(repository):
    folder = repository / "workflow" / "report"
    assert {f"{name}.rst" for name in FIGURES} <= {path.name for path in folder.glob("*.rst")}
    counts = {}
    for path in folder.glob("*.rst"):
        text = path.read_text(encoding="utf-8").partition("\n.. ")[0]
        # Of branches, which begin after the heading, one is shown.
        heading, *branches = re.split(r"{%.*?%}", re.sub(r"{{.*?}}", "name", text))
        counts[path.stem] = len(heading.split()) + max((len(branch.split()) for branch in branches), default=0)
    del counts["workflow"]  # not a caption, but the page itself
    assert max(counts.values()) <= 80, counts
