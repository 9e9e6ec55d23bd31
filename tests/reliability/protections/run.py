"""`make protections`: tries what happens without each protection, and writes docs/reliability-protections.md.

`python -m tests.reliability.protections.run WORD...` tries those with one of the words in them. Exits 1 if no test
missed a protection, whose test is to be mended then, or if one fails that misses nothing.
"""

from __future__ import annotations

import datetime
import json
import sys

from tests.reliability.protections.page import KEPT, PAGE, page, read_results
from tests.reliability.protections.removing import Removal, RemovalError, failing_tests, read_removals


def main() -> None:
    """Try the removals, keep what came of each, and write the page."""
    words, unnoticed = sys.argv[1:], 0
    for removal in read_removals():
        if words and not any(word in removal.name for word in words):
            continue
        try:
            failed = failing_tests(removal)
        except RemovalError as error:
            print(f"{removal.name}: {error}", flush=True)  # noqa: T201
            failed = []
        print(f"{removal.name}: {', '.join(failed) or 'NO TEST FAILED'}", flush=True)  # noqa: T201
        unnoticed += not failed
        _keep(removal.name, failed)
    PAGE.write_text(page(), encoding="utf-8")
    fail_anyway = failing_tests(_control())
    print(f"with all protections in their places: {', '.join(fail_anyway) or 'all of these tests pass'}")  # noqa: T201
    sys.exit(1 if unnoticed or fail_anyway else 0)


def _control() -> Removal:
    """Return the removal of nothing, with all tests that failed when something was missing."""
    files = {word for removal in read_removals() for word in removal.test.split() if word.startswith("tests/")}
    names = {name for result in read_results().values() for name in result["failed"] if name.isidentifier()}
    return Removal("", "", [], f"{' '.join(sorted(files))} -k '{' or '.join(sorted(names))}'")


def _keep(name: str, failed: list[str]) -> None:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    listed = {removal.name for removal in read_removals()}
    results = {old: result for old, result in read_results().items() if old in listed}
    results[name] = {"failed": failed, "tried": today}
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    KEPT.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
