"""New rows: pages in a row that bring nothing new."""

from __future__ import annotations

import pytest

from tap_drift.exceptions import EndlessPaginationError
from tap_drift.sync.new_rows import NewRowsCheck


def add_pages(check: NewRowsCheck, pages: int) -> None:
    for _ in range(pages):
        check.add_page(["a", "b"])


def test_page_without_a_new_row_is_an_error_at_once() -> None:
    check = NewRowsCheck("/accounts", max_pages=1)
    check.add_page(["a", "b"])
    check.add_page(["b", "c"])
    with pytest.raises(EndlessPaginationError, match="on /accounts: a page had a link"):
        check.add_page(["c", "a"])


def test_several_pages_without_a_new_row_are_an_error() -> None:
    check = NewRowsCheck("/x", max_pages=3)
    add_pages(check, 3)
    with pytest.raises(EndlessPaginationError, match="3 pages in a row had a link"):
        add_pages(check, 1)


def test_empty_pages_count_as_pages_without_a_new_row() -> None:
    check = NewRowsCheck("/x", max_pages=2)
    check.add_page([])
    with pytest.raises(EndlessPaginationError):
        check.add_page([])


def test_new_row_starts_the_count_again() -> None:
    check = NewRowsCheck("/x", max_pages=3)
    for number in range(10):
        add_pages(check, 2)
        check.add_page([number])


def test_progress_starts_the_count_again_whatever_the_ids() -> None:
    check = NewRowsCheck("/x", max_pages=2)
    for _ in range(10):
        check.add_page(["a"])
        check.add_page(["a"], has_progressed=True)


def test_ids_of_pages_with_progress_are_not_looked_at() -> None:
    """The set of ids is needed only for pages that do not go back in time."""
    ids = iter(["a"])
    NewRowsCheck("/x", max_pages=2).add_page(ids, has_progressed=True)
    assert list(ids) == ["a"]
