"""The report of a run, from pytest-benchmark's JSON: text for a terminal, Markdown, and one HTML page.

At the end are the parts that other reports share: aligned columns, Markdown tables, templates, units.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from fmnist_bench.backends import BACKENDS, OURS
from fmnist_edge.errors import UsageError

ONE, PNG, PHOTO, MANY = "one image", "one PNG to its label", "one photo to its label", "10,000 images"
FOLDER, COLD, IMPORT, CONVERSION = "a folder of 2,000 PNG files", "cold start", "import", "conversion"
"""The groups of the suite."""
_GOALS: Final = (
    ("one image: times faster than model(x)", (ONE, "keras-call"), (ONE, OURS), 100.0),
    ("one image: times faster than model.predict", (ONE, "keras-predict"), (ONE, OURS), 1000.0),
    ("one image: times faster than LiteRT int8", (ONE, "litert-int8"), (ONE, OURS), 1.0),
    ("one image: speed relative to session.run", (ONE, "onnxruntime-int8"), (ONE, OURS), 0.77),
    ("one PNG: times faster than LiteRT int8", (PNG, "litert-int8"), (PNG, OURS), 1.0),
    ("10,000 images: times faster than LiteRT int8", (MANY, "litert-int8"), (MANY, OURS), 2.0),
    ("10,000 images: times faster than model.predict", (MANY, "keras-predict"), (MANY, OURS), 10.0),
    ("cold start: times faster than Keras", (COLD, "keras-predict"), (COLD, OURS), 20.0),
    ("folder: speed relative to Pillow alone", (FOLDER, "pillow"), (FOLDER, OURS), 0.8),
)
"""Title, the rows of numerator and denominator, and the lowest ratio that meets the goal."""


@dataclass(frozen=True)
class Table:
    """A titled table. The first column names its rows."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Page:
    """The content of a report, in any form."""

    title: str
    subtitle: str
    tables: Sequence[Table]
    about: Sequence[tuple[str, str]] = ()
    warning: str = ""


class Results:
    """A run: pytest-benchmark's JSON, with what `fmnist_bench` adds under the key "fmnist_edge"."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content, self.about = content, content["fmnist_edge"]
        self.rows = {(one["group"], one["param"] or OURS): one for one in content["benchmarks"]}

    def median(self, group: str, key: str = OURS) -> float | None:
        """Return the seconds of a row, or None if it was not measured."""
        return self.rows[group, key]["stats"]["median"] if (group, key) in self.rows else None

    def extra(self, group: str, key: str, name: str) -> Any:
        """Return an entry of a row's extra_info, or None."""
        return self.rows.get((group, key), {}).get("extra_info", {}).get(name)

    def keys(self, group: str) -> list[str]:
        """Name the rows of a group in the order of the suite."""
        return [key for found, key in self.rows if found == group]

    def goals(self) -> list[tuple[str, float, float]]:
        """Return title, measured ratio and wanted ratio of every goal whose rows were measured."""
        found = [(title, self.median(*over), self.median(*under), goal) for title, over, under, goal in _GOALS]
        return [(title, over / under, goal) for title, over, under, goal in found if over and under]

    def where(self) -> str:
        """Return machine, date and commit, with a + for uncommitted changes."""
        machine, commit = self.about["machine"], self.content["commit_info"]
        sets = ", ".join(machine["instruction_sets"]) or machine["system"]
        measured = f"commit {str(commit['id'])[:12]}{'+' if commit.get('dirty') else ''}" if commit.get("time") else ""
        parts = [f"{machine['cpu']}, {machine['cores']} cores ({sets})", self.content["datetime"][:10], measured]
        return ", ".join(part for part in parts if part)

    def warning(self) -> str:
        """Return a sentence if the machine was busy before the run."""
        load, cores = self.about["load"][0] or 0.0, self.about["machine"]["cores"]
        busy = f"The machine was busy (load {load} on {cores} cores): ratios are more reliable than times."
        return busy if load > cores / 2 else ""


def read_results(path: Path) -> Results:
    """Read a bench.json. Raises UsageError if it cannot be read or is something else."""
    try:
        return Results(json.loads(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} was not written by `fmnist-edge bench -o DIR`; measure it again") from error


def page(results: Results, against: Results | None = None) -> Page:
    """Return the report of a run, with its ratios to another one."""
    tables = [backends_table(results), _parity(results), _goals(results), _everything(results, against)]
    about, model, load = results.about, results.about["model"], results.about["load"]
    run = [
        ("model", f"{model['name']}, {size(model['bytes'])}, SHA-256 {model['sha256'][:16]}"),
        ("machine", f"{results.where()}, {about['machine']['system']}; load {load[0]} to {load[1]}"),
        ("versions", ", ".join(f"{name}\u00a0{version}" for name, version in about["versions"].items())),
        ("how", "backends of a group take turns, round by round; medians; one thread; GC off, warm-up on"),
        ("not measured", "energy, accelerators, cold starts from an empty file cache"),
    ]
    shown = [table for table in tables if table.rows]
    return Page("fmnist-edge: what it costs", results.where(), shown, run, results.warning())


def backends_table(results: Results, keys: Sequence[str] = tuple(BACKENDS)) -> Table:
    """Return the table of backends, or of some of them."""
    rows = [
        [
            _title(key),
            percent(results.extra(MANY, key, "accuracy")),
            *(duration(results.median(group, key)) for group in (ONE, PNG, MANY, COLD)),
            size(results.extra(COLD, key, "peak_bytes")),
        ]
        for key in keys
        if any(results.median(group, key) for group in (ONE, PNG, MANY, COLD))
    ]
    note = (
        "Medians, one thread, the same weights and test images for all. One image and 10,000: the model alone. PNG: "
        "from the file's bytes to its label. Cold start and memory: a whole process that prints the label."
    )
    note += "".join(f" {title} was not measured: {why}." for title, why in results.about["missing"].items())
    return Table("Backends", ("", "accuracy", "one image", "one PNG", "10,000", "cold start", "memory"), rows, note)


def _parity(results: Results) -> Table:
    keys = [key for key in results.keys(MANY) if results.extra(MANY, key, "agreement") is not None]
    distinct: dict[tuple[str, str], str] = {}  # session.run answers as the Classifier does, and Keras in one way
    for key in keys:
        distinct.setdefault((BACKENDS[key].file, BACKENDS[key].needs), key)
    rows = [
        [
            _title(key),
            size(results.extra(MANY, key, "bytes")),
            *(percent(results.extra(MANY, key, name)) for name in ("accuracy", "agreement")),
            f"{results.extra(MANY, key, 'max_difference'):.4f}",
        ]
        for key in distinct.values()
    ]
    columns = ("", "model", "accuracy", "same label", "largest difference")
    return Table(
        "Parity with the original", columns, rows, "On the 10,000 test images. Largest difference: of a probability."
    )


def _goals(results: Results) -> Table:
    rows = [
        [title, digits(ratio), f"≥ {goal:g}", "yes" if ratio >= goal else "no"]
        for title, ratio, goal in results.goals()
    ]
    return Table("Goals", ("", "measured", "wanted", "met"), rows, "Ratios of medians within this run.")


def _everything(results: Results, against: Results | None) -> Table:
    """Return every row; with `against`, also the ratio to that run's median."""
    rows = []
    for (group, key), row in results.rows.items():
        stats, extra = row["stats"], row["extra_info"]
        images = extra.get("images") or (1 if group in (ONE, PNG, PHOTO) else math.nan)
        times = [
            duration(stats["median"]),
            f"{100 * stats['iqr'] / stats['median']:.0f}\u00a0%",
            f"{stats['rounds']:,}",
        ]
        then = against.median(group, key) if against else None
        ratio = [digits(stats["median"] / then) if then else "-"] if against else []
        name = f"{group}: {key if group == IMPORT else _title(key)}"
        rows.append([name, *times, rate(images / stats["median"]), size(extra.get("peak_bytes")), *ratio])
    columns = ("", "median", "spread", "rounds", "images/s", "memory", *(["ratio"] if against else []))
    note = "Spread: the interquartile range of the rounds, as a share of the median."
    if against:
        note += f" Ratio: to the run of {against.where()}; between separate runs, only large ratios mean anything."
    return Table("All rows", columns, rows, note)


def _title(key: str) -> str:
    return BACKENDS[key].title if key in BACKENDS else {"pillow": "Pillow alone"}.get(key, key)


def text(shown: Page) -> str:
    """Return the tables as a terminal shows them, in at most 100 columns."""
    tables = ["\n  ".join([table.title, *aligned([table.columns, *table.rows])]) for table in shown.tables]
    return "\n\n".join(part for part in (shown.subtitle, shown.warning, *tables) if part).replace("\u00a0", " ") + "\n"


def markdown(shown: Page) -> str:
    """Return the Markdown summary. Needs the extra [bench]."""
    return from_template("bench.md.jinja", page=shown, markdown_table=markdown_table)


def html(shown: Page) -> str:
    """Return one page that needs no other file and has no script. Needs the extra [bench]."""
    return from_template("bench.html.jinja", page=shown, is_ours=is_ours)


def markdown_table(table: Table) -> str:
    """Return a table as Markdown, this project's own rows bold."""
    return markdown_rows(table.columns, [[f"**{row[0]}**" if is_ours(row) else row[0], *row[1:]] for row in table.rows])


def is_ours(row: Sequence[str]) -> bool:
    """Tell whether a row is this project's among those of other backends."""
    return row[0].startswith("fmnist-edge ")


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """Return rows as lines with their columns aligned, the columns in `left` to the left; styled cells are allowed."""
    widths = [max(len(click.unstyle(row[at])) for row in rows) for at in range(len(rows[0]))]
    return ["  ".join(_padded(cell, widths[at], at in left) for at, cell in enumerate(row)).rstrip() for row in rows]


def _padded(cell: str, width: int, left: bool) -> str:
    space = " " * (width - len(click.unstyle(cell)))
    return cell + space if left else space + cell


def markdown_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown, numbers to the right."""
    from tabulate import tabulate

    align = ["left", *["right"] * (len(columns) - 1)]
    return str(tabulate(rows, columns, tablefmt="pipe", colalign=align, disable_numparse=True))


def duration(seconds: float | None) -> str:
    """Return seconds as `4.15 µs`, `12.3 ms` or `1.20 s`, with a no-break space; a dash for None."""
    return _scaled(seconds, ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")))


def size(count: float | None) -> str:
    """Return bytes as `108 kB` or `61.2 MB`; a dash for None."""
    return _scaled(count, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")))


def _scaled(value: float | None, units: Sequence[tuple[float, str]]) -> str:
    if value is None:
        return "-"
    scale, unit = next((pair for pair in units if value >= pair[0]), units[-1])
    return f"{digits(value / scale)}\u00a0{unit}"


def rate(per_second: float) -> str:
    """Return a throughput as `37,000`; a dash for NaN."""
    return "-" if math.isnan(per_second) else f"{round(per_second, 2 - int(math.log10(per_second))):,.0f}"


def percent(share: float | None, decimals: int = 2) -> str:
    """Return a share, 0..1, as `89.56 %`; a dash for None."""
    return "-" if share is None else f"{100 * share:.{decimals}f}\u00a0%"


def digits(value: float) -> str:
    """Return a number with three significant digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def from_template(template: str, **values: object) -> str:
    """Return one of this package's jinja templates filled in; HTML is escaped. Needs jinja2."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=template.endswith(".html.jinja"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values, percent=percent).rstrip() + "\n"
