"""The parts of a job have every item once, in order."""

from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from refusals import raises_naming

from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.jobs import Journal, Part


@given(st.integers(0, 200), st.integers(1, 40))
def test_all_parts_together_have_every_item_once_in_order_and_are_of_even_size(items: int, total: int) -> None:
    shares = [Part(number, total).share(range(items)) for number in range(1, total + 1)]
    assert [item for share in shares for item in share] == list(range(items))
    assert {len(share) for share in shares} <= {items // total, -(-items // total)}
    assert list(Part.whole.share(range(items))) == list(range(items))


@pytest.mark.parametrize("text", ["0/3", "4/3", "0/0", "3", "a/b", "1/2/3", "-1/3", "1.0/3", ""])
def test_parts_that_do_not_exist_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match=r"3/16|Give 1/"):
        Part.parse(text)


@pytest.mark.parametrize(("text", "range_"), [("4/3", "1/3 to 3/3"), ("1/0", "1/1 to 1/1")])
def test_the_parts_that_exist_are_named(text: str, range_: str) -> None:
    with raises_naming(InputError, range_):
        Part.parse(text)


def test_a_part_reads_as_it_is_written() -> None:
    assert str(Part.parse(" 3/16 ")) == "3/16"


def test_parts_that_are_not_done_are_told_and_another_number_of_parts_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "job")
    for number in (1, 4):
        journal.mark_part(Part(number, 4))
    journal.report_parts()
    assert [record.getMessage() for record in caplog.records] == [
        "of 4 parts these are not done: 2, 3; their work is done now"
    ]
    with raises_naming(OutputError, "divided into 3", "4 parts"):
        journal.check_part(Part(1, 3))
