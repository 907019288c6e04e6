"""Names in tables that spreadsheets open: text that begins like a formula is written as text.

A spreadsheet runs a cell that begins with ``=``, ``+``, ``-`` or ``@``, also after a tab or a
carriage return; a name from a stranger's file could send its neighbours' values elsewhere. Such a
name is written with an apostrophe before it, which spreadsheets take for "this is text", and
`plain_name` takes the apostrophe away again. Numbers are never touched.
"""

from __future__ import annotations

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def safe_name(name: str) -> str:
    """The name as it is written into a cell.

    >>> safe_name("=1+1"), safe_name("left_knee")
    ("'=1+1", 'left_knee')
    """
    return f"'{name}" if name.lstrip("' ").startswith(_STARTS) else name


def plain_name(cell: str) -> str:
    """The name that `safe_name` made this cell of; any other text as it is."""
    return cell[1:] if cell.startswith("'") and safe_name(cell[1:]) == cell else cell
