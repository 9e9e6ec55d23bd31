"""docs/reliability-protections.md: every protection that it lists is still there, and was missed by a test."""

from __future__ import annotations

from tests.reliability.protections.page import PAGE, page, read_results
from tests.reliability.protections.removing import ROOT, edited, read_removals


def test_what_is_to_be_removed_is_still_in_its_file() -> None:
    for removal in read_removals():
        assert edited(removal, ROOT)


def test_the_page_is_what_its_results_give() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make protections`"


def test_each_protection_was_missed_by_a_test() -> None:
    results = read_results()
    missed = [removal.name for removal in read_removals() if results.get(removal.name, {}).get("failed")]
    assert [removal.name for removal in read_removals()] == missed
    assert results.keys() == set(missed)
