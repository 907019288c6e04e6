"""The wheel is the whole product: installed away from the checkout it estimates and serves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUNDLED = "diffpose/_bundled"

pytestmark = pytest.mark.wheel


def call(*command: object, cwd: Path) -> str:
    """What a command prints, away from the checkout's packages."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "DIFFPOSE"))}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=clean, capture_output=True, text=True,
        check=False, timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel, which borrows its dependencies from here."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    programs = folder / "bin"
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    # A path in a .pth file brings the packages there, but not the .pth files of editable installs.
    (Path(paths["purelib"]) / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"])
    call(
        sys.executable, "-m", "pip", "--python", programs / "python", "install", "--quiet",
        "--no-deps", "--no-index", "--force-reinstall", wheel, cwd=folder,
    )  # fmt: skip
    return programs


def test_the_wheel_has_every_file_of_the_package_the_app_and_the_assets(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "app", "assets", "diffpose"], cwd=ROOT, capture_output=True,
        text=True, check=True,
    ).stdout.split("\0")[:-1]  # fmt: skip
    wanted = {
        name if name.startswith("diffpose/") else f"{BUNDLED}/{name}"
        for name in tracked
        if (ROOT / name).exists()
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert wanted - names == set()
    assert {name.split("/")[0] for name in names} == {"diffpose"}
    assert not any("__pycache__" in name for name in names)


def test_the_installed_wheel_estimates_reviews_and_exports(installed: Path, tmp_path: Path) -> None:
    where = "import diffpose.shipped as s; print(s.ROOT, s.EXAMPLES / 'walk.mp4', sep='\\n')"
    root, clip = call(installed / "python", "-c", where, cwd=tmp_path).split("\n")[:2]
    program, project = installed / "diffpose", tmp_path / "walk.diffpose"

    call(
        program, "infer", clip, "-o", project, "--people", "1", "--range", "0:6", "--steps", "1",
        "--ensemble", "2", cwd=tmp_path,
    )  # fmt: skip
    queue = json.loads(call(program, "review", "queue", project, "--target-px", 0, cwd=tmp_path))
    call(program, "export", project, "--format", "csv", "-o", "walk.csv", cwd=tmp_path)

    assert Path(root).is_relative_to(installed.parent)
    assert queue["frames"] == 6
    assert (tmp_path / "walk.csv").stat().st_size > 1000


def test_the_installed_wheel_starts_the_app_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    build = (
        "import sys; from diffpose.shipped import ROOT; sys.path.insert(0, str(ROOT))\n"
        "from pathlib import Path; from app import layout, settings, workspace\n"
        "with workspace.Workspace(settings.Settings(work=Path('work'))) as made:\n"
        "    layout.build_app(made)\n"
        "    print(len(made.examples()), layout.__file__)\n"
    )

    version = call(installed / "python", "-m", "diffpose", "--version", cwd=tmp_path)
    usage = call(installed / "diffpose", "app", "--help", cwd=tmp_path)
    examples, path = call(installed / "python", "-c", build, cwd=tmp_path).split()

    assert version.startswith("diffpose 0.")
    assert "usage: diffpose app" in usage
    assert int(examples) >= 3
    assert Path(path).is_relative_to(installed.parent)
