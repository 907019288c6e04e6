"""The sessions that are compared: where the second one comes from, and what the players show."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app import views
from app.measure.handlers import Choices, chosen_poses
from app.session import Clip, Session
from app.workspace import Workspace
from diffpose.errors import InputError, ProjectError
from diffpose.formats.atomic import atomic_write
from diffpose.formats.native import read_native
from diffpose.kinematics import Measurements, measure
from diffpose.names import parse_video_id, resolve_within
from diffpose.poses import PoseSequence, VideoInfo
from diffpose.review.session import ReviewSession
from diffpose.review.store import Store
from diffpose.video.decode import Video
from diffpose.video.proxy import write_frames

FILE = "file"
"""The choice of an uploaded file as the second session."""

_SIDE, _QUALITY = 960, 85  # of the players' pictures


@dataclass(frozen=True)
class Player:
    """What one of the two players shows.

    Attributes:
        name: For people.
        info: Of the video.
        num_frames: Of the video as far as it is used.
        sequence: The poses over it.
        folder: Where its pictures are; None if the video is not here.
    """

    name: str
    info: VideoInfo
    num_frames: int
    sequence: PoseSequence
    folder: Path | None


@dataclass(frozen=True)
class Second:
    """The second session: its numbers at their own times, and its player.

    Attributes:
        measured: Its measurements.
        player: None where only numbers are known.
    """

    measured: Measurements
    player: Player | None


def second_choices(workspace: Workspace, session: Session) -> list[tuple[str, str]]:
    """Words and keys of what the chosen person can be compared with."""
    choices = [
        (f"{views.person_name(s.track_id)} of this clip", f"person:{s.track_id}")
        for s in session.sequences()
        if s.track_id != session.person and len(s)
    ]
    opened = session.desk.project if session.desk is not None else ""
    shelf = workspace.shelf(session.owner)
    for info in shelf.projects():
        if info.problem or info.path.stem == opened:
            continue
        try:
            with Store(info.path, read_only=True) as store:
                ids = store.track_ids()
        except ProjectError:  # it has gone since it was listed
            continue
        for track_id in ids:
            who = "" if len(ids) == 1 else f", {views.person_name(track_id).lower()}"
            choices.append((f"Project {info.name}{who}", f"project:{info.path.stem}:{track_id}"))
    return [*choices, ("A file: DiffPose JSON", FILE)]


def first_player(workspace: Workspace, session: Session) -> Player:
    """The chosen person of the clip that is open."""
    clip, sequence = chosen_poses(workspace, session)
    return _of_clip(clip, sequence, clip.name)


def find_second(
    workspace: Workspace, session: Session, key: str, upload: Path | None, choices: Choices
) -> Second:
    """Measure the second session and make its pictures ready.

    Args:
        workspace: The app's state.
        session: The first one.
        key: Of `second_choices`.
        upload: The file, if that is the choice.
        choices: What to measure: the same as in the first.

    Raises:
        InputError: It is not there, or has no poses.
    """
    kind, _, rest = (key or "").partition(":")
    if kind == "person":
        player = _other_person(workspace, session, rest)
    elif kind == "project":
        player = _of_project(workspace, session, rest)
    elif kind == FILE:
        if upload is None:
            raise InputError("There is no second session yet; upload its DiffPose JSON.")
        read = read_measurements(upload)
        if read is not None:
            return Second(read, None)
        player = _of_file(session, upload)
    else:
        raise InputError("There is no second session yet; choose one of the list.")
    times = player.info.times_s[player.sequence.frames]
    return Second(measure(player.sequence, times, choices.settings(player.sequence)), player)


def read_measurements(path: Path) -> Measurements | None:
    """Saved measurements, if the file holds such."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or "quantities" not in content:
        return None
    return Measurements.from_dict(content)


def players_view(session: Session, players: Sequence[Player | None], offset_s: float) -> views.Json:
    """What the component of the two players shows; poses are fetched by address.

    Args:
        session: Whose folder the files go to; those of an earlier comparison go.
        players: The first session's and the second's.
        offset_s: Added to the second's times.
    """
    folder = _folder(session)
    for old in folder.glob("*.json"):
        old.unlink()
    key = secrets.token_urlsafe(8)
    sides = [_side(player, folder / f"{key}-{i}.json") for i, player in enumerate(players)]
    return {"key": key, "offset": offset_s, "sides": sides}


def _side(player: Player | None, path: Path) -> views.Json | None:
    if player is None:
        return None
    poses = player.sequence
    rows = [
        views.pose_rows(*pose)
        for pose in zip(poses.keypoints, poses.confidence, poses.covariance, strict=True)
    ]
    content = {
        "times": np.round(player.info.times_s[: player.num_frames], 5).tolist(),
        "skeleton": views.skeleton_view(poses.skeleton),
        "frames_of": poses.frames.tolist(),
        "poses": rows,
    }
    atomic_write(path, json.dumps(content, separators=(",", ":"), allow_nan=False))
    return {
        "name": player.name,
        "count": player.num_frames,
        "width": player.info.width,
        "height": player.info.height,
        "url": f"{player.folder}/" if player.folder else "",
        "data": str(path),
    }


def _of_clip(clip: Clip, sequence: PoseSequence, name: str) -> Player:
    who = f"{name}, {views.person_name(sequence.track_id).lower()}"
    return Player(who, clip.info, clip.num_frames, sequence, clip.frames_folder)


def _other_person(workspace: Workspace, session: Session, track: str) -> Player:
    clip = session.clip
    for sequence in session.sequences():
        if clip is not None and str(sequence.track_id) == track and len(sequence):
            return _of_clip(clip, sequence, clip.name)
    raise InputError("This person is not in this clip any more; choose another second session.")


def _of_project(workspace: Workspace, session: Session, rest: str) -> Player:
    stem, _, track = rest.rpartition(":")
    shelf = workspace.shelf(session.owner)
    with Store(shelf.path(stem), read_only=True) as store:
        if track not in map(str, store.track_ids()):
            raise InputError("This person is not in the project any more; choose another.")
        sequence = ReviewSession(store).reviewed(int(track)).poses
        name = f"{store.name}, {views.person_name(int(track)).lower()}"
        info = store.video_of(int(track))
    clip = session.clip
    if clip is not None and clip.info.video_id == info.video_id:
        return Player(name, info, clip.num_frames, sequence, clip.frames_folder)
    try:
        with Store(shelf.path(stem)) as store, shelf.open_video(store, info) as video:
            return _with_pictures(workspace, session, name, video, sequence)
    except ProjectError:
        return _without_pictures(name, info, sequence)


def _of_file(session: Session, path: Path) -> Player:
    read = read_native(path)
    sequence = next((s for s in read.sequences if len(s)), None)
    if sequence is None:
        raise InputError(f"{path.name} holds no poses; export a session that has some as JSON.")
    name, clip = f"{path.name}, {views.person_name(sequence.track_id).lower()}", session.clip
    if clip is not None and clip.info.video_id == read.info.video_id:
        return Player(name, clip.info, clip.num_frames, sequence, clip.frames_folder)
    return _without_pictures(name, read.info, sequence)


def _without_pictures(name: str, info: VideoInfo, sequence: PoseSequence) -> Player:
    return Player(name, info, info.num_frames, sequence, None)


def _with_pictures(
    workspace: Workspace, session: Session, name: str, video: Video, sequence: PoseSequence
) -> Player:
    """With the pictures of a video whose content was compared; those of others go."""
    info = video.info
    count = min(info.num_frames, workspace.settings.max_frames)
    frames = _folder(session) / "frames"
    folder = resolve_within(frames, parse_video_id(info.video_id)[:16])
    if frames.is_dir():
        for other in set(frames.iterdir()) - {folder}:
            shutil.rmtree(other, ignore_errors=True)
    write_frames(video, folder, stop=count, max_side=_SIDE, quality=_QUALITY)
    return Player(name, info, count, sequence, folder)


def _folder(session: Session) -> Path:
    folder = session.folder / "compared"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
