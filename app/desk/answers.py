"""What the page asks of a project, answered; nothing here raises, because nobody would see it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from app.desk import adapting, unsaved, views
from app.desk.shelf import words_for
from app.failures import words_of
from app.payloads import mapping, parse_index, parse_number, parse_text
from app.session import Session
from app.views import Json, model_view
from app.workspace import Workspace
from diffpose.errors import DiffPoseError, InputError

CHANGES = ("act", "undo", "redo", "accept", "take", "look")


def review(workspace: Workspace, payload: Any) -> Json:
    """One request of the canvas about the open project."""
    return _guarded(workspace, payload, _review)


def projects(workspace: Workspace, payload: Any) -> Json:
    """One request of the list of projects; the answer holds the list as it then is."""
    return _guarded(workspace, payload, _projects)


def _guarded(
    workspace: Workspace, payload: Any, answer: Callable[[Workspace, Session, Any], Json]
) -> Json:
    folders = []
    try:
        session = workspace.session(parse_text(payload, "session"))
        folders = [workspace.shelf(session.owner).folder]
        return answer(workspace, session, mapping(payload))
    except DiffPoseError as error:
        return {"ok": False, "words": words_for(error, folders)}
    except Exception as error:
        return {"ok": False, "words": words_of(error)}


def _review(workspace: Workspace, session: Session, fields: Mapping[str, Any]) -> Json:
    desk, what, started = session.require_desk(), parse_text(fields, "do"), time.perf_counter()
    adapting.keep_up(workspace, session)
    if what in CHANGES:
        words = session.clip.adapted_words if session.clip else ""
        busy = session.status.running
        return {**desk.change(what, fields, busy=busy), "model": model_view(words)}
    if what == "suggest":
        answer: Json = {
            "suggestion": desk.suggest(parse_index(fields, "track"), parse_index(fields, "frame"))
        }
    elif what == "alternatives":
        answer = {
            "alternatives": desk.alternatives(
                parse_index(fields, "track"), parse_index(fields, "frame")
            )
        }
    elif what == "queue":
        answer = desk.queue(parse_number(fields, "target", least=0.5, most=500))
    else:
        raise InputError("The page asked for something unknown; reload it.")
    return {"ok": True, **answer, "ms": round(1000 * (time.perf_counter() - started), 1)}


def _projects(workspace: Workspace, session: Session, fields: Mapping[str, Any]) -> Json:
    shelf, what = workspace.shelf(session.owner), parse_text(fields, "do")
    keep_days = workspace.settings.keep_days
    reply: Json = {"ok": True} if keep_days is None else {"ok": True, "keep_days": keep_days}
    if what == "rename":
        shelf.rename(parse_text(fields, "project"), parse_text(fields, "name"))
        if session.desk is not None:
            session.desk.name = session.desk.store.name
    elif what == "copy":
        workspace.check_room(session)
        reply["copied"] = shelf.copy(parse_text(fields, "project"), parse_text(fields, "name"))
    elif what == "download":
        file = shelf.export(parse_text(fields, "project"), session.folder / "project")
        return {"ok": True, "path": str(file), "name": file.name}
    elif what == "delete":
        project = parse_text(fields, "project")
        if session.desk is not None and session.desk.project == project:
            session.close_desk()
        reply["deleted"] = shelf.delete(project)
        if session.desk is None and session.clip is not None:
            session.open_desk(unsaved.begin(workspace, session, session.clip))
    elif what == "restore":
        reply["restored"] = shelf.restore(parse_text(fields, "project"))
    elif what != "list":
        raise InputError("The page asked for something unknown; reload it.")
    return {**reply, "projects": [views.project_view(info) for info in shelf.projects()]}
