"""What people read is plain English: words and phrases that do not belong in it are named here."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

AVOID = {
    r"told": "reported, shown, distinguished",
    r"beside": "next to, with, in addition to",
    r"anew": "again",
    r"in force": "active",
    r"sittings?": "session",
    r"on wish": "if wanted, optional",
    r"left out, because": "ignored",
    r"(has|have) (it|them) not": "does not have",
    r"the own": "its own, the shipped",
    r"a word on": "a report of",
    r"how far to trust": "reliability",
    r"(with|and) how sure": "uncertainty",
    r"(is|are) to (hold|come true)": "should hold",
    r"comes? true": "is calibrated",
    r"goes on|go on": "continue",
    r"g(ave|ives?) way": "be replaced",
    r"shall": "must, should",
    r"ought": "should",
    r"lest": "so that ... not",
    r"whence|thence|thereof|therein|hereby": "plain words",
    r"of one's own": "its own",
}
"""Pattern to what to write instead; letters count in either case."""

LABELS = (r">Take <", r">Leave <", r'label="(Heading|Who|Remarks)"', r'"How far to trust it"')
"""Former labels of the page."""


def read_prose(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers and texts for people: of Python strings with spaces and comments, else all."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), start=1)
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            for number, line in enumerate(node.value.splitlines()):
                yield node.lineno + number, line
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def find_words(text: str) -> list[str]:
    """What to write instead of the words in a text that do not belong there."""
    return [
        f"{found.group()!r}: {instead}"
        for pattern, instead in AVOID.items()
        for found in re.finditer(rf"(?<![\w`.-])({pattern})(?![\w`-])", text, re.IGNORECASE)
    ]


def test_the_linter_sees_words_and_leaves_names() -> None:
    assert find_words("Told the share; the file beside it.") == [
        "'Told': reported, shown, distinguished",
        "'beside': next to, with, in addition to",
    ]
    assert not find_words("`told` is a name, besides untold and beside_it.")


def test_what_people_read_is_plain_english() -> None:
    paths = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("assets/**/*.md")]
    for folder in ("app", "diffpose", "benchmarks", "assets"):
        for pattern in ("*.py", "*.html", "*.js", "*.jinja", "*.toml"):
            paths += (ROOT / folder).rglob(pattern)

    found = [
        f"{path.relative_to(ROOT)}:{number}: {word}"
        for path in sorted(paths)
        for number, line in read_prose(path)
        for word in find_words(line)
    ]

    assert len(paths) > 200
    assert not found, "\n".join(found)


def test_the_page_s_labels_are_plain() -> None:
    for path in [*(ROOT / "app").rglob("*.py"), *(ROOT / "app").rglob("*.html")]:
        text = path.read_text(encoding="utf-8")
        assert not [label for label in LABELS if re.search(label, text)], path
