"""Write docs/api.md from the docstrings of the public names; with --check, say whether it is up to date."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import fmnist_edge
from fmnist_edge import classifier, decoding, errors, explain, images, self_test

PAGE = Path(__file__).with_name("api.md")
HEAD = """# The Python interface

<!-- Written by docs/make_api.py from the docstrings: change them there. -->

```python
from fmnist_edge import Classifier, ImageError

classifier = Classifier()  # the embedded models; Classifier("my.onnx") for another
prediction = classifier.classify("shirt.png")  # a path, bytes, a file, a PIL image or an array
prediction.label, prediction.confidence, prediction.unsure, prediction.probabilities
classifier.predict(images)  # uint8 [n, 28, 28] -> float32 [n, 10], the fast path
```

`fmnist_edge.LABELS` are the names of the ten classes in the order of their numbers, `fmnist_edge.__version__` is the
version of the package.
"""
METHODS = ("classify", "predict", "begin", "prediction")
ERRORS = ("FmnistEdgeError", "ImageError", "ModelError", "DataError", "UsageError")


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    page = "\n".join([HEAD, *_classifier(), *_prediction(), *_errors(), *_more()])
    if "--check" in arguments:
        return 0 if PAGE.read_text() == page else 1
    PAGE.write_text(page)
    return 0


def _classifier() -> list[str]:
    of = fmnist_edge.Classifier
    lines = ["## Classifier\n", _text(of), _signature("Classifier", of.__init__), _text(of.__init__)]
    for name in METHODS:
        lines += [
            f"### classifier.{name}\n",
            _signature(f"classifier.{name}", getattr(of, name)),
            _text(getattr(of, name)),
        ]
    return lines


def _prediction() -> list[str]:
    """Return a row for each field and property: the docstring of a field is the string behind it."""
    [tree] = ast.parse(dedent(inspect.getsource(classifier.Prediction))).body
    assert isinstance(tree, ast.ClassDef)
    rows = []
    for node, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(following, ast.Expr):
            assert isinstance(following.value, ast.Constant)
            rows.append((ast.unparse(node.target), ast.unparse(node.annotation), str(following.value.value)))
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            call = f"{node.name}({', '.join(one.arg for one in node.args.args[1:])})"
            name = call if node.name == "top" else node.name
            assert node.returns is not None
            rows.append((name, ast.unparse(node.returns), ast.get_docstring(node) or ""))
    table = [
        f"| `{name}` | `{kind.replace('|', chr(92) + '|')}` | {' '.join(text.split())} |" for name, kind, text in rows
    ]
    return ["## Prediction\n", _text(classifier.Prediction), "| name | type | |", "|---|---|---|", *table, ""]


def _errors() -> list[str]:
    lines = [
        "## Errors\n",
        "Each has `exit_code`, the exit code of the command line.\n",
        "| error | derives from | exit code | |",
        "|---|---|---|---|",
    ]
    for name in ERRORS:
        of = getattr(errors, name)
        text = " ".join((inspect.getdoc(of) or "").split())
        lines.append(f"| `{name}` | `{of.__base__.__name__}` | {of.exit_code} | {text} |")
    return [*lines, ""]


def _more() -> list[str]:
    lines = ["## More\n"]
    for of in (decoding.decode, images.load_image, explain.explanation, explain.overlay, self_test.run_self_test):
        name = f"{of.__module__}.{of.__name__}"
        lines += [f"### {name}\n", _signature(name, of), _text(of)]
    return lines


def _signature(name: str, of: Callable[..., object]) -> str:
    """Return a call as Python code, one argument a line where it is long."""
    [node] = ast.parse(dedent(inspect.getsource(of))).body
    assert isinstance(node, ast.FunctionDef)
    arguments = [one.replace("=", " = ") for one in ast.unparse(node.args).split(", ") if one != "self"]
    returned = f" -> {ast.unparse(node.returns)}" if node.returns and ast.unparse(node.returns) != "None" else ""
    line = f"{name}({', '.join(arguments)}){returned}"
    if len(line) > 100:
        line = f"{name}(\n" + "".join(f"    {one},\n" for one in arguments) + f"){returned}"
    return f"```python\n{line}\n```\n"


def _text(of: object) -> str:
    return (inspect.getdoc(of) or "") + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
