"""The app's settings: flags and environment variables to frozen settings."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.door.hosts import parse_origin
from diffpose import shipped
from diffpose.errors import SettingsError

MAX_STEPS = 16
"""Largest K the page offers."""

MAX_HYPOTHESES = 32
"""Largest E the page offers."""

SPACE_KEEP_DAYS = 1.0
"""How long a Hugging Face Space, which anybody may use, keeps what nobody uses."""


QUOTA_MB = 4096.0
"""Default quota of a visitor's files on a server."""


@dataclass(frozen=True)
class Settings:
    """Everything that differs between a laptop, a server and a test.

    Attributes:
        host: Address to listen on; None for Gradio's default (this machine, for itself).
        port: Port to listen on; None for Gradio's default (7860 or the next free one).
        device: Torch device of the models.
        weights: Weights of the pose model; None for those in `assets/weights`.
        examples: Folder of the example clips.
        work: Folder for the sessions' files; None for a temporary one. Emptied at the end.
        projects: Folder of the review projects; None for one that goes when the app stops.
        shared_projects: Whether everybody sees all projects, as on one's own machine; otherwise
            each browser, or each name that is logged in, sees its own.
        allow_origin: Addresses, such as ``https://poses.example.org``, under which a proxy offers
            this server, or of sites that may show it in a frame and call it.
        space: Whether it runs as a Hugging Face Space, which anybody may use.
        quota_mb: Files and projects of one visitor at most; None for any amount.
        keep_days: Projects and uploaded videos unused for so long are deleted; None keeps them.
        auth: File of ``name:hash`` lines (`app.logins`); None lets everybody in.
        max_frames: Longer videos are cut here.
        max_upload_mb: Larger uploads are refused.
        frame_side: Longer side of the pictures sent to the browser, pixels.
        session_ttl_s: A session untouched for so long is removed, with its files.
        feature_cache_mb: Memory for features, which make the sliders quick.
    """

    host: str | None = None
    port: int | None = None
    device: str = "cpu"
    weights: Path | None = None
    examples: Path = shipped.EXAMPLES
    work: Path | None = None
    projects: Path | None = None
    shared_projects: bool = False
    allow_origin: tuple[str, ...] = ()
    space: bool = False
    quota_mb: float | None = None
    keep_days: float | None = None
    auth: Path | None = None
    max_frames: int = 1800
    max_upload_mb: int = 300
    frame_side: int = 1280
    session_ttl_s: float = 3600.0
    feature_cache_mb: int = 1024

    def __post_init__(self) -> None:
        for name in ("max_frames", "max_upload_mb", "frame_side", "feature_cache_mb"):
            if getattr(self, name) < 1:
                raise SettingsError(f"Expected {name} of at least 1, got {getattr(self, name)}.")
        if self.keep_days is not None and not self.keep_days > 0:
            raise SettingsError(f"Expected keep_days above 0, got {self.keep_days}.")
        if self.quota_mb is not None and not self.quota_mb > 0:
            raise SettingsError(f"Expected quota_mb above 0, got {self.quota_mb}.")

    @property
    def is_at_home(self) -> bool:
        """Whether the app serves only the user of this machine.

        An address alone does not tell: behind a proxy a server of many listens on this machine
        only. Logins, and an address that a proxy offers, say that there are others.
        """
        local = self.host in (None, "localhost", "127.0.0.1", "::1")
        return local and self.auth is None and not self.space and not self.allow_origin


def read_settings(
    arguments: Sequence[str],
    environment: Mapping[str, str] = os.environ,
    *,
    program: str = "app.py",
) -> Settings:
    """Settings from the command line; what is not there comes from ``DIFFPOSE_*`` variables."""
    parser = argparse.ArgumentParser(prog=program, description="Start the DiffPose app.")
    host = environment.get("DIFFPOSE_HOST") or environment.get("GRADIO_SERVER_NAME")
    parser.add_argument("--host", default=host)
    parser.add_argument("--port", type=int, default=_integer(environment, "DIFFPOSE_PORT"))
    parser.add_argument("--device", default=environment.get("DIFFPOSE_DEVICE", "cpu"))
    parser.add_argument("--weights", type=Path, default=_path(environment, "DIFFPOSE_WEIGHTS"))
    parser.add_argument("--work", type=Path, default=_path(environment, "DIFFPOSE_WORK"))
    parser.add_argument(
        "--projects",
        type=Path,
        default=_path(environment, "DIFFPOSE_PROJECTS") or Path.home() / "DiffPose projects",
    )
    parser.add_argument("--auth", type=Path, default=_path(environment, "DIFFPOSE_AUTH"))
    parser.add_argument("--shared-projects", action=argparse.BooleanOptionalAction)
    parser.add_argument(
        "--keep-days", type=float, default=_number(environment, "DIFFPOSE_KEEP_DAYS")
    )
    parser.add_argument(
        "--max-frames", type=int, default=_integer(environment, "DIFFPOSE_MAX_FRAMES") or 1800
    )
    parser.add_argument(
        "--max-upload-mb", type=int, default=_integer(environment, "DIFFPOSE_MAX_UPLOAD_MB") or 300
    )
    parser.add_argument(
        "--allow-origin", action="append", default=[], metavar="https://NAME",
        help="an address under which a proxy offers this server, or a site that may embed it",
    )  # fmt: skip
    parser.add_argument(
        "--quota-mb", type=float, default=_number(environment, "DIFFPOSE_QUOTA_MB"),
        help="files and projects of one visitor at most; inf for any amount",
    )  # fmt: skip
    values = vars(parser.parse_args(arguments))
    given = [*values["allow_origin"], *environment.get("DIFFPOSE_ALLOW_ORIGIN", "").split(",")]
    values["allow_origin"] = tuple(parse_origin(text) for text in given if text.strip())
    shared, values["space"] = values.pop("shared_projects"), bool(environment.get("SPACE_ID"))
    if values["space"] and environment.get("SPACE_HOST"):
        values["allow_origin"] += (parse_origin(f"https://{environment['SPACE_HOST']}"),)
    if values["keep_days"] is None and values["space"] and not values.get("auth"):
        values["keep_days"] = SPACE_KEEP_DAYS
    at_home = Settings(**{**values, "keep_days": None, "quota_mb": None}).is_at_home
    if values["quota_mb"] is None and not at_home:
        values["quota_mb"] = QUOTA_MB
    for name in ("keep_days", "quota_mb"):
        if values[name] == math.inf:
            values[name] = None
    return Settings(**values, shared_projects=at_home if shared is None else shared)


def _number(environment: Mapping[str, str], name: str) -> float | None:
    text = environment.get(name)
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"Expected a number in {name}, got {text!r}.") from None


def _integer(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"Expected a whole number in {name}, got {text!r}.") from None


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    return Path(environment[name]) if environment.get(name) else None
