"""Pictures of scenes with OpenGL, off screen, and who covers what in them.

Needs OpenGL 3.3 through EGL: a graphics driver or Mesa's software renderer. Edges are smoothed by
rendering larger and shrinking: in software that is twice as fast as multisampling, and the same
pass can carry the number of whoever is seen in the alpha channel.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import cv2
import moderngl
import numpy as np
from numpy.typing import NDArray

from diffpose.data.synthetic.body import Avatar, posed_vertices
from diffpose.data.synthetic.camera import FAR_M, NEAR_M, Camera, project
from diffpose.data.synthetic.scene import Actor, Backdrop, Prop, Scene
from diffpose.data.synthetic.shaders import (
    BACKDROP_FRAGMENT,
    BACKDROP_VERTEX,
    COLOUR_FRAGMENT,
    MAX_JOINTS,
    SKIN_VERTEX,
)
from diffpose.errors import DiffPoseError
from diffpose.geometry import Size

PROP_ID = 200
"""Number of the first prop in id maps; people count from 1, the backdrop is 0."""

_CACHED_MESHES = 256
_HAIR_CUT = 0.4
_VERTEX_STRIDE = 8
_LAYOUT = "3f 3f 2f 4f 4f 1f"
_INPUTS = ("position", "normal", "uv", "joints", "weights", "cloth")


@dataclass(frozen=True, eq=False)
class Rendered:
    """Pictures of a scene and, for each, what is seen at every pixel.

    Attributes:
        frames: RGB uint8 (N, H, W, 3).
        ids: uint8 (N, H, W): 0 backdrop, 1.. people in order, `PROP_ID`.. props.
        depth: f32 (N, H, W) metres along the viewing direction, infinite at the backdrop.
    """

    frames: NDArray[np.uint8]
    ids: NDArray[np.uint8]
    depth: NDArray[np.float32]


@dataclass
class _Mesh:
    array: Any
    texture: Any
    buffers: tuple[Any, ...]
    cut: float = -1.0

    def release(self) -> None:
        for item in (self.array, self.texture, *self.buffers):
            item.release()


class Renderer:
    """An OpenGL context with frame buffers of one picture size.

    Args:
        size: Height and width of the pictures.
        supersampling: How much larger than wanted pictures are rendered.

    Raises:
        DiffPoseError: This machine offers no OpenGL through EGL.
    """

    def __init__(self, size: Size, *, supersampling: float = 1.5) -> None:
        try:
            self._context = _headless_context()
        except Exception as error:  # moderngl raises bare exceptions
            raise DiffPoseError(
                f"Rendering needs OpenGL through EGL, which cannot be opened here ({error}); "
                "install a graphics driver or Mesa (Debian: libegl1 libgl1-mesa-dri)."
            ) from error
        self.size = size
        context = self._context
        self._program: Any = context.program(SKIN_VERTEX, COLOUR_FRAGMENT)
        self._behind: Any = context.program(BACKDROP_VERTEX, BACKDROP_FRAGMENT)
        corners = np.array([-1, -1, 1, -1, -1, 1, 1, 1], dtype=np.float32)
        self._quad = context.vertex_array(
            self._behind, [(context.buffer(corners.tobytes()), "2f", "corner")]
        )
        self._large = (round(size[0] * supersampling), round(size[1] * supersampling))
        wh = (self._large[1], self._large[0])
        self._target = context.framebuffer(
            [context.renderbuffer(wh, 4)], context.depth_renderbuffer(wh)
        )
        self._meshes: OrderedDict[str, list[_Mesh]] = OrderedDict()

    def __enter__(self) -> Renderer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the context and everything on it."""
        self._meshes.clear()
        self._context.release()

    def render(self, scene: Scene) -> Rendered:
        """All pictures of a scene with their id and depth maps."""
        props = [self._prop_mesh(prop) for prop in scene.props]
        backdrop = self._context.texture(
            scene.backdrop.picture.shape[1::-1], 3, scene.backdrop.picture.tobytes(), alignment=1
        )
        backdrop.repeat_x = backdrop.repeat_y = False
        try:
            pictures = [self._picture(scene, row, props, backdrop) for row in _times(scene)]
        finally:
            backdrop.release()
            for mesh in props:
                mesh.release()
        frames, ids, depth = zip(*pictures, strict=True)
        return Rendered(np.stack(frames), np.stack(ids), np.stack(depth))

    def visible_fractions(
        self, scene: Scene, rendered: Rendered, *, frame: int = 0
    ) -> NDArray[np.float32]:
        """How much of every person (P,) is inside a picture and uncovered, 0..1.

        The share inside is that of the mesh's vertices; the uncovered share is one of pixels.
        """
        fractions = np.zeros(len(scene.actors), dtype=np.float32)
        t = int(scene.truth_times[frame])
        for index, actor in enumerate(scene.actors):
            alone = self._pixels_alone(scene, actor, t)
            seen = np.count_nonzero(rendered.ids[frame] == index + 1)
            fractions[index] = seen / max(alone, 1) * _share_inside(scene, actor, t)
        return fractions

    def _pixels_alone(self, scene: Scene, actor: Actor, t: int) -> int:
        """Pixels that somebody would cover if nothing stood in front."""
        self._target.use()
        self._context.clear()
        self._context.enable(moderngl.DEPTH_TEST)
        self._set_view(scene, t)
        self._draw_actor(actor, t, number=1)
        return int(np.count_nonzero(self._read_colour()[..., 3][self._centres()]))

    def _picture(
        self, scene: Scene, times: NDArray[np.int64], props: list[_Mesh], backdrop: Any
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
        """The mean of all sub-frames, and the ids and depth of the middle one."""
        colours = []
        for t in times:
            self._draw(scene, int(t), props, backdrop)
            colour = self._read_colour()
            if t == times[len(times) // 2]:
                ids = colour[..., 3][self._centres()]
                depth = self._read_depth()[self._centres()]
            colours.append(cv2.resize(colour, self.size[::-1], interpolation=cv2.INTER_AREA))
        picture = _mean_light(colours) if len(colours) > 1 else colours[0][..., :3]
        return picture.astype(np.uint8), ids, np.where(ids > 0, depth, np.inf).astype(np.float32)

    def _draw(self, scene: Scene, t: int, props: list[_Mesh], backdrop: Any) -> None:
        self._target.use()
        self._context.clear()
        self._context.disable(moderngl.DEPTH_TEST)
        self._draw_backdrop(scene.backdrop, backdrop, t)
        self._context.enable(moderngl.DEPTH_TEST)
        self._set_view(scene, t)
        for number, actor in enumerate(scene.actors, start=1):
            self._draw_actor(actor, t, number=number)
        for number, mesh in enumerate(props, start=PROP_ID):
            self._set_subject(np.eye(4)[None], np.eye(3), number)
            self._draw_mesh(mesh)

    def _read_colour(self) -> NDArray[np.uint8]:
        content = self._target.read(components=4)
        return np.frombuffer(content, np.uint8).reshape(*self._large, 4)[::-1]

    def _read_depth(self) -> NDArray[np.float32]:
        """Metres along the viewing direction, from the depth buffer's 0 (near) to 1 (far)."""
        content = self._target.read(components=1, attachment=-1, dtype="f4")
        stored = np.frombuffer(content, np.float32).reshape(self._large)[::-1]
        return NEAR_M * FAR_M / (FAR_M - stored * (FAR_M - NEAR_M))

    def _centres(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the large picture that hold the centres of the wanted pixels."""
        rows, columns = (
            ((np.arange(length) + 0.5) * large / length).astype(np.int64)
            for length, large in zip(self.size, self._large, strict=True)
        )
        return rows[:, None], columns[None, :]

    def _draw_backdrop(self, backdrop: Backdrop, texture: Any, t: int) -> None:
        height, width = self.size
        full = np.array([width, height]) + 2 * backdrop.margin
        start = (backdrop.margin - backdrop.shift[t]) / full
        self._behind["start"].value = tuple(start)
        self._behind["extent"].value = (width / full[0], height / full[1])
        texture.use(0)
        self._quad.render(moderngl.TRIANGLE_STRIP)

    def _set_view(self, scene: Scene, t: int) -> None:
        matrix = np.ascontiguousarray(scene.camera.matrices[t].T, dtype=np.float32)
        self._program["view_projection"].write(matrix.tobytes())
        self._program["eye"].value = tuple(scene.camera.eyes[t])
        for name in ("direction", "sun", "sky", "ground"):
            self._program[name].value = tuple(getattr(scene.light, name))
        self._program["gloss"].value = scene.light.gloss

    def _set_subject(
        self, transforms: NDArray[np.float64], dye: NDArray[np.float64], number: int
    ) -> None:
        if len(transforms) > MAX_JOINTS:
            raise DiffPoseError(f"Expected at most {MAX_JOINTS} joints, got {len(transforms)}.")
        bones = np.zeros((MAX_JOINTS, 3, 4), dtype=np.float32)
        bones[: len(transforms)] = transforms[:, :3]
        self._program["bones"].write(bones.tobytes())
        self._program["dye"].write(np.ascontiguousarray(dye.T, dtype=np.float32).tobytes())
        self._program["number"].value = number / 255.0

    def _draw_actor(self, actor: Actor, t: int, *, number: int) -> None:
        self._set_subject(actor.skin[t], actor.dye, number)
        for mesh in self._avatar_meshes(actor.avatar):
            self._draw_mesh(mesh)

    def _draw_mesh(self, mesh: _Mesh) -> None:
        self._program["cut"].value = mesh.cut
        mesh.texture.use(0)
        mesh.array.render()

    def _avatar_meshes(self, avatar: Avatar) -> list[_Mesh]:
        if avatar.name not in self._meshes:
            parts = [self._skinned_mesh(avatar, avatar.faces, avatar.texture)]
            if len(avatar.hair_faces) and avatar.hair_texture:
                hair = self._skinned_mesh(avatar, avatar.hair_faces, avatar.hair_texture)
                hair.cut = _HAIR_CUT
                parts.append(hair)
            self._meshes[avatar.name] = parts
            if len(self._meshes) > _CACHED_MESHES:
                for mesh in self._meshes.popitem(last=False)[1]:
                    mesh.release()
        self._meshes.move_to_end(avatar.name)
        return self._meshes[avatar.name]

    def _skinned_mesh(self, avatar: Avatar, faces: NDArray[np.uint32], texture: bytes) -> _Mesh:
        used, local = np.unique(faces, return_inverse=True)
        columns = (
            avatar.vertices, avatar.normals, avatar.uv, avatar.skin_joints, avatar.skin_weights,
            avatar.cloth[:, None],
        )  # fmt: skip
        rows = np.concatenate([column[used] for column in columns], axis=1).astype(np.float32)
        picture = cv2.imdecode(np.frombuffer(texture, np.uint8), cv2.IMREAD_UNCHANGED)
        if picture is None:
            raise DiffPoseError(
                f"The texture of avatar {avatar.name} is unreadable; convert again."
            )
        code = cv2.COLOR_BGRA2RGBA if picture.shape[2] == 4 else cv2.COLOR_BGR2RGBA
        return self._mesh(rows, local, cv2.cvtColor(picture, code).astype(np.uint8, copy=False))

    def _prop_mesh(self, prop: Prop) -> _Mesh:
        # One bone that stands still, and a normal of zero: lit by the sky only.
        rows = np.zeros((len(prop.vertices), 17), dtype=np.float32)
        rows[:, 0:3], rows[:, 6:8], rows[:, 12] = prop.vertices, prop.uv, 1.0
        return self._mesh(rows, prop.faces, cv2.cvtColor(prop.picture, cv2.COLOR_RGB2RGBA))

    def _mesh(self, rows: NDArray[np.float32], faces: NDArray[Any], picture: NDArray[Any]) -> _Mesh:
        context = self._context
        vertices = context.buffer(np.ascontiguousarray(rows).tobytes())
        indices = context.buffer(np.ascontiguousarray(faces, dtype=np.uint32).tobytes())
        texture = context.texture(picture.shape[1::-1], 4, picture.tobytes())
        texture.build_mipmaps()
        texture.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
        array = context.vertex_array(self._program, [(vertices, _LAYOUT, *_INPUTS)], indices)
        return _Mesh(array, texture, (vertices, indices))


def _headless_context() -> Any:
    settings: dict[str, Any] = {"standalone": True, "backend": "egl"}
    return moderngl.create_context(**settings)


def _share_inside(scene: Scene, actor: Actor, t: int) -> float:
    camera = Camera(scene.camera.matrices[t][None], scene.camera.eyes[t][None], scene.camera.size)
    vertices = posed_vertices(actor.avatar, actor.skin[t][None], stride=_VERTEX_STRIDE)
    points = project(camera, vertices)[0]
    limits = np.array([scene.camera.size[1], scene.camera.size[0]]) - 0.5
    inside = (points[:, :2] >= -0.5).all(axis=1) & (points[:, :2] <= limits).all(axis=1)
    return float((inside & (points[:, 2] > NEAR_M)).mean())


def _times(scene: Scene) -> NDArray[np.int64]:
    """Times of the sub-frames of every picture, (N, S)."""
    return np.arange(len(scene.camera.eyes)).reshape(scene.num_frames, scene.subframes)


def _mean_light(pictures: list[Any]) -> NDArray[np.uint8]:
    # Light adds up before the display curve; a square is close enough to that curve.
    squares = [picture[..., :3].astype(np.float32) ** 2 for picture in pictures]
    return np.sqrt(np.mean(squares, axis=0)).round().astype(np.uint8)
