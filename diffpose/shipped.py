"""Where the files that ship with DiffPose are: the weights, the example clips, the app.

A checkout has ``app/`` and ``assets/`` at its top; a wheel has both in ``diffpose/_bundled``, so
that no package with a name as common as ``app`` is installed.
"""

from __future__ import annotations

from pathlib import Path


def find_root(package: Path) -> Path:
    """The folder with ``app/`` and ``assets/`` for the folder of the package ``diffpose``."""
    bundled = package / "_bundled"
    return bundled if bundled.is_dir() else package.parent


ROOT = find_root(Path(__file__).resolve().parent)
WEIGHTS = ROOT / "assets" / "weights"
EXAMPLES = ROOT / "assets" / "examples"
