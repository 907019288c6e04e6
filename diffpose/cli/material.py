"""``diffpose data synthesize`` and the importers of what it renders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypedDict

import typer

from diffpose.cli.console import needs
from diffpose.errors import SettingsError

_FOLDER = "Folder with avatars/, mocap/ and backgrounds/."


class DataSplit(StrEnum):
    """Splits of the synthetic material; they share no person, motion or photo."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class DataFormat(StrEnum):
    """What ``data synthesize`` writes; see docs/training.md."""

    SHARDS = "shards"
    POSETRACK = "posetrack"


def register(data: typer.Typer) -> None:
    """Add the commands to the group."""
    data.command()(synthesize)
    data.command("import-avatar")(import_avatar)
    data.command("import-motion")(import_motion)


def synthesize(
    material: Annotated[Path, typer.Argument(metavar="MATERIAL", help=_FOLDER)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to fill.")],
    split: Annotated[DataSplit, typer.Option(help="Which people, motions and photos.")] = (
        DataSplit.TRAIN
    ),
    data_format: Annotated[
        DataFormat, typer.Option("--format", help="Shards for `train pose`, or a PoseTrack folder.")
    ] = DataFormat.SHARDS,
    clips: Annotated[
        int, typer.Option(help="Shards: around one person each, 64 to a shard. PoseTrack: videos.")
    ] = 640,
    frames: Annotated[int, typer.Option(help="Frames of a PoseTrack video.")] = 41,
    scenes: Annotated[int, typer.Option(help="Instead: pictures for the person detector.")] = 0,
    spacing: Annotated[
        tuple[float, float],
        typer.Option(metavar="LEAST MOST", help="Shards: seconds between two frames."),
    ] = (1 / 60, 1 / 12),
    profile: Annotated[
        float, typer.Option(min=0, max=1, help="Shards: share turned to be seen from the side.")
    ] = 0.0,
    acrobatic: Annotated[
        float, typer.Option(min=0, max=1, help="Shards: share of the people turned any way up.")
    ] = 0.2,
    girth: Annotated[
        float, typer.Option(min=0, max=1, help="Shards: share made thinner or thicker.")
    ] = 0.0,
    tone: Annotated[
        float, typer.Option(min=0, max=1, help="Shards: share of lighter or darker skin.")
    ] = 0.0,
    without: Annotated[
        Path | None, typer.Option(help="List of background photos to leave out, one a line.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Other seeds give other pictures.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that render.")] = 1,
) -> None:
    """Render synthetic people with exact annotations; what is finished is kept."""
    with needs("Rendering", "moderngl>=5.12"):
        from diffpose.data.synthetic.posetrack_clips import write_posetrack_clips
        from diffpose.data.synthetic.shards import Material, write_scene_shards, write_shards
    from diffpose.data.synthetic.library import read_names
    from diffpose.data.synthetic.stage import DEFAULT_MIX

    avatars, mocap, backgrounds = (material / name for name in ("avatars", "mocap", "backgrounds"))
    for folder in (avatars, mocap, backgrounds):
        if not folder.is_dir():
            raise SettingsError(
                f"Expected a folder {folder.name} in {material}: see docs/training.md."
            )
    if scenes and data_format is DataFormat.POSETRACK:
        raise SettingsError("--scenes are for shards; leave out --format posetrack.")
    left_out = frozenset[str]() if without is None else read_names(without)
    source = Material(avatars, mocap, backgrounds, split.value, left_out)
    mix = replace(DEFAULT_MIX, profile=profile, acrobatic=acrobatic, girth=girth, tone=tone)
    what, how = "shards", _RenderOptions(seed=seed, workers=workers, progress=_say_progress)
    if scenes:
        paths = write_scene_shards(source, output, num_scenes=scenes, **how)
    elif data_format is DataFormat.POSETRACK:
        what = "videos"
        paths = write_posetrack_clips(source, output, num_clips=clips, num_frames=frames, **how)
    else:
        paths = write_shards(
            source,
            output,
            num_clips=clips,
            spacing_s=spacing,
            mix=mix,
            **how,
        )
    typer.echo(f"{len(paths)} {what}: {output}")


class _RenderOptions(TypedDict):
    """Arguments that everything rendered shares."""

    seed: int
    workers: int
    progress: Callable[[float, str], None]


def _say_progress(fraction: float, words: str) -> None:
    typer.echo(f"{fraction:4.0%}  {words}", err=True)


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
    """Convert rigged people for `data synthesize`; meshopt-compressed files too."""
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
    """Add recorded motion to a folder for `data synthesize`."""
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
