"""Commands that bring published avatars and motion into the folders that `synthesize` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffpose.errors import SettingsError


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("import-avatar")(import_avatar)
    app.command("import-motion")(import_motion)


def import_avatar(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="People as .glb or .gltf.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of avatars.")],
    name: Annotated[
        str, typer.Option(help="GROUP_SEX_NUMBER_OUTFIT, of one file; else the file's own name.")
    ] = "",
    triangles: Annotated[int, typer.Option(help="Of the body; more are merged.")] = 8000,
) -> None:
    """Convert rigged people for `synthesize`; meshopt-compressed files too."""
    from diffpose.data.synthetic.avatar_import import import_avatar as convert

    _check_single(name, files)
    for file in files:
        typer.echo(convert(file, output, name=name, triangles=triangles))


def import_motion(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="BVH recordings.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Motion folder to add to.")],
    label: Annotated[str, typer.Option(help="What the actor does, in words: walk, dance ...")],
    name: Annotated[str, typer.Option(help="Of one clip; else the file's own name.")] = "",
    source: Annotated[str, typer.Option(help="Where the files are from, for the index.")] = "",
    licence: Annotated[str, typer.Option(help="Their licence, for the index.")] = "",
    t_pose_frame: Annotated[
        int | None,
        typer.Option(
            help="Frame in which the actor stands in a T-pose, left out with those before it; "
            "else the skeleton itself must be in one. CMU conversions: 0."
        ),
    ] = None,
) -> None:
    """Add recorded motion to a folder for `synthesize`."""
    from diffpose.data.synthetic.motion_import import import_motion as convert

    _check_single(name, files)
    for file in files:
        clip = convert(
            file, output, label=label, name=name, source=source, licence=licence,
            t_pose_frame=t_pose_frame,
        )  # fmt: skip
        typer.echo(clip)


def _check_single(name: str, files: list[Path]) -> None:
    if name and len(files) > 1:
        raise SettingsError(f"--name is for one file, got {len(files)}; leave it out.")
