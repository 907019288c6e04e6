"""Every way to an export, of the app and of the command line, writes the same bytes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app import exporting, handlers
from app.finding import find_poses
from app.payloads import parse_sampling
from app.session import Session
from diffpose.cli import app
from diffpose.cli.exchange import FORMATS
from diffpose.formats.exporting import EXPORT_FORMATS
from diffpose.review.events import Move
from tests.app.figures import Served, finish

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def session(figures: Served) -> Session:
    """Both people of the example have poses."""
    session = figures.workspace.open_session("page", owner="me")
    finish(handlers.open_example(figures.workspace, session, "Two people"))
    for person in (0, 1):
        session.choose(person)
        finish(find_poses(figures.workspace, session, parse_sampling(2, 3)))
        assert session.status.kind == "done", session.status
    return session


def by_the_app(session: Session, name: str) -> dict[str, bytes]:
    finish(exporting.export(session, name))
    assert session.download is not None, session.status
    path = Path(session.download["path"])
    if path.suffix != ".zip":
        return {path.name: path.read_bytes()}
    with zipfile.ZipFile(path) as packed:
        return {file: packed.read(file) for file in packed.namelist()}


def by_the_command_line(folder: Path, *arguments: object) -> dict[str, bytes]:
    folder.mkdir()
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_way_to_an_export_writes_the_same_bytes(
    figures: Served, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffpose.cli.load_estimator", lambda *_, **__: figures.estimator)
    monkeypatch.setattr("diffpose.cli.load_detector", lambda device: figures.detector)
    video = figures.workspace.examples()["Two people"]
    project = session.require_desk().store.path
    poses = tmp_path / "poses.json"
    poses.write_bytes(by_the_app(session, "json")["Two_people.poses.json"])

    for name, chosen in EXPORT_FORMATS.items():
        wanted = by_the_app(session, name)
        file = f"Two_people.poses{chosen.suffix}"
        where, out = ["--format", name], tmp_path / name
        out.mkdir()
        ways: dict[str, list[Any]] = {
            "project": ["export", project, *where],
            "file": ["export", poses, *where, "--video", video],
            "run": ["infer", video, *where, "--steps", 2, "--ensemble", 3],
        }
        for way, arguments in ways.items():
            target = out / way / file
            found = by_the_command_line(target.parent, *arguments, "-o", target)
            assert sorted(found) == sorted(wanted), (name, way)
            for part, content in wanted.items():
                assert found[part] == content, (name, way, part)


def test_a_corrected_project_is_exported_alike(session: Session, tmp_path: Path) -> None:
    desk = session.require_desk()
    desk.review.apply(Move(track_id=0, frame=4, keypoint=9, xy=(50.0, 60.0)))

    for name in ("json", "sleap", "coco-annotations"):
        file = f"Two_people.poses{EXPORT_FORMATS[name].suffix}"
        target = tmp_path / name / file
        found = by_the_command_line(
            target.parent, "export", desk.store.path, "--format", name, "-o", target
        )
        assert found == by_the_app(session, name)


def test_help_and_documentation_list_the_table() -> None:
    assert FORMATS.split(", ") == list(EXPORT_FORMATS)
    formats, commands = (DOCS / "formats.md").read_text(), (DOCS / "cli.md").read_text()
    for name, chosen in EXPORT_FORMATS.items():
        assert f"| `{name}` | {chosen.title} |" in formats
        assert f"`{name}`" in commands
