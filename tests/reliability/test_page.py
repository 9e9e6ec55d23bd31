"""docs/reliability.md says what the records say."""

from __future__ import annotations

from tests.reliability.page import PAGE, page
from tests.reliability.records import read_records


def test_the_page_is_what_its_records_give() -> None:
    assert PAGE.read_text() == page(), "run `make reliability`"


def test_no_record_lost_anything() -> None:
    assert [record["what"] for record in read_records() if record["lost"]] == []
