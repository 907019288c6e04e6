"""The front door on figures whose answers are known: squats, walks, pendulums, bad input."""

import json

import numpy as np
import pytest

from diffpose.errors import FormatError, SettingsError
from diffpose.kinematics import (
    ANGLES,
    JOINT_ANGLES,
    MeasureError,
    Measurements,
    MeasureSettings,
    Smoothing,
    measure,
)
from diffpose.kinematics.scale import Scale
from diffpose.poses import Origin
from diffpose.skeleton import COCO17, HALPE26, POSETRACK15
from tests.kinematics.people import figure, sequence_of, squats, walk

TIMES = np.arange(121) / 30
RAW = Smoothing(kind="none")


def test_the_figure_has_the_angles_it_was_built_with():
    asked = {"hip": 30.0, "knee": 50.0, "ankle": 10.0, "shoulder": 120.0, "elbow": 70.0}
    points = figure(TIMES, trunk=15.0, **{f"left_{k}": v for k, v in asked.items()})

    found = measure(sequence_of(points), TIMES, MeasureSettings(smoothing=RAW))

    for joint, degrees in asked.items():
        np.testing.assert_allclose(found.curve(f"left_{joint}").values, degrees, atol=1e-3)
        np.testing.assert_allclose(found.curve(f"right_{joint}").values, 0, atol=1e-3)


def test_squats_have_their_depth_number_and_duration():
    points = squats(TIMES, depth=100, period=2)

    found = measure(sequence_of(points), TIMES, MeasureSettings(tasks=("squat",)))

    assert found.quantity("squat.count").value == 2
    assert found.quantity("squat.largest").value == pytest.approx(100, abs=0.5)
    peaks = [e.time_s for e in found.events if e.kind == "repetition_peak"]
    np.testing.assert_allclose(peaks, [1, 3], atol=0.005)
    # From a tenth of the way up to a tenth before the end: 2 (1 - 2 arccos(0.8) / 2 pi).
    expected = 2 * (1 - np.arccos(0.8) / np.pi)
    assert found.quantity("squat.duration").value == pytest.approx(expected, abs=0.02)
    assert found.quantity("left_knee.range_of_motion").value == pytest.approx(100, abs=0.5)
    assert found.quantity("knee.asymmetry").value == pytest.approx(0, abs=1e-3)


def test_a_squat_that_the_clip_cuts_does_not_count():
    points = squats(TIMES[:100])  # 3.3 s: one whole squat, and one up to a third of the way back

    found = measure(sequence_of(points), TIMES[:100], MeasureSettings(tasks=("squat",)))

    assert found.quantity("squat.count").value == 1


def test_a_pendulum_has_the_speed_and_acceleration_of_its_sine():
    swing = 40 * np.sin(2 * np.pi * 0.5 * TIMES)

    found = measure(sequence_of(figure(TIMES, left_shoulder=swing)), TIMES)

    inner = slice(15, -15)
    speed = 40 * np.pi * np.cos(np.pi * TIMES)
    np.testing.assert_allclose(
        found.curve("left_shoulder.velocity").values[inner], speed[inner], atol=0.8
    )
    np.testing.assert_allclose(
        found.curve("left_shoulder.acceleration").values[inner],
        -40 * np.pi**2 * np.sin(np.pi * TIMES)[inner],
        atol=6,
    )


@pytest.mark.parametrize("fps", [25, 29.97, 60])
def test_steps_are_where_they_were_put_whatever_the_frame_rate(fps):
    times = np.arange(int(4 * fps)) / fps

    found = measure(sequence_of(walk(times)), times, MeasureSettings(tasks=("gait",)))

    when: dict[tuple[str, str], list[float]] = {(e.side, e.kind): [] for e in found.events}
    for event in found.events:
        when[event.side, event.kind].append(event.time_s)
    np.testing.assert_allclose(when["left", "heel_strike"], [1.1, 2.2, 3.3], atol=0.025)
    np.testing.assert_allclose(when["right", "heel_strike"], [0.55, 1.65, 2.75], atol=0.025)
    np.testing.assert_allclose(when["left", "toe_off"], [0.66, 1.76, 2.86], atol=0.025)
    assert found.quantity("cadence").value == pytest.approx(120 / 1.1, abs=0.5)
    assert found.quantity("left_step_time").value == pytest.approx(0.55, abs=0.01)
    assert found.quantity("left_stance_time").value == pytest.approx(0.66, abs=0.04)
    assert found.quantity("step_time_symmetry").value == pytest.approx(0, abs=1)


def test_steps_are_found_at_uneven_times():
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.02, 0.045, 120))

    found = measure(sequence_of(walk(times)), times, MeasureSettings(tasks=("gait",)))

    strikes = [e.time_s for e in found.events if (e.side, e.kind) == ("left", "heel_strike")]
    np.testing.assert_allclose(
        np.array(strikes) / 1.1, np.round(np.array(strikes) / 1.1), atol=0.03
    )
    assert len(strikes) >= 2


def test_walking_to_the_left_is_the_mirror_image():
    settings = MeasureSettings(tasks=("gait",))
    right = measure(sequence_of(walk(TIMES)), TIMES, settings)
    mirrored = (walk(TIMES) * [-1, 1])[:, HALPE26.mirror]

    left = measure(sequence_of(mirrored), TIMES, settings)

    assert (right.facing, left.facing) == ("right", "left")
    other = {"left": "right", "right": "left"}
    assert [(other[e.side], e.kind) for e in left.events] == [
        (e.side, e.kind) for e in right.events
    ]
    for name in JOINT_ANGLES:
        side, joint = name.split("_")
        np.testing.assert_allclose(
            left.curve(f"{other[side]}_{joint}").values, right.curve(name).values, atol=1e-3
        )


def test_exchanged_legs_give_no_steps_rather_than_wrong_ones():
    points = walk(TIMES)
    exchanged = points.copy()
    exchanged[60:] = points[60:, HALPE26.mirror]

    found = measure(sequence_of(exchanged), TIMES, MeasureSettings(tasks=("gait",)))

    assert found.events == ()
    assert not found.quantity("cadence").known
    assert "order of walking" in found.quantity("cadence").reason


@pytest.mark.parametrize(
    ("points", "skeleton", "facing", "words"),
    [
        (walk(TIMES), COCO17, "auto", "heels and toes, which skeleton coco17"),
        (walk(TIMES), HALPE26, "front", "need a side view"),
        (figure(TIMES), HALPE26, "auto", "no foot swings far enough"),
        (np.full((121, 26, 2), np.nan), HALPE26, "auto", "nowhere known"),
    ],
)
def test_a_clip_without_steps_says_why(points, skeleton, facing, words):
    settings = MeasureSettings(tasks=("gait",), facing=facing)

    found = measure(sequence_of(points, skeleton=skeleton), TIMES, settings)

    assert found.events == ()
    assert words in found.quantity("cadence").reason
    assert any(words in note for note in found.notes)


def test_walking_speed_needs_a_scale_and_carries_its_error():
    sequence = sequence_of(walk(TIMES, speed=60))
    scale = Scale(0.02, 0.05, "a known length")

    without = measure(sequence, TIMES, MeasureSettings(tasks=("gait",)))
    with_one = measure(sequence, TIMES, MeasureSettings(tasks=("gait",), scale=scale))

    assert "scale is not set" in without.quantity("walking_speed").reason
    speed = with_one.quantity("walking_speed")
    assert speed.value == pytest.approx(1.2, abs=0.01)
    assert speed.high - speed.low == pytest.approx(2 * 1.645 * 0.05 * 1.2, rel=0.05)


def test_curls_are_counted_for_each_arm():
    bend = 70 * (1 - np.cos(2 * np.pi * TIMES / 1.3))
    points = figure(TIMES, right_elbow=bend)

    found = measure(sequence_of(points), TIMES, MeasureSettings(tasks=("curl",)))

    assert found.quantity("right_curl.count").value == 3
    assert found.quantity("left_curl.count").value == 0
    assert "No whole repetition" in found.quantity("left_curl.duration").reason


def test_a_jump_has_the_height_of_its_flight_time():
    flight_s, metres_per_px = 0.5, 0.01
    since = TIMES - 2.0
    height_px = 9.80665 / 2 * np.clip(since * (flight_s - since), 0, None) / metres_per_px
    points = figure(TIMES, hip=(0.0, -height_px))

    found = measure(sequence_of(points), TIMES, MeasureSettings(tasks=("jump",)))

    assert found.quantity("jump_1.flight_time").value == pytest.approx(flight_s, abs=0.02)
    assert found.quantity("jump_1.height").value == pytest.approx(9.80665 * 0.25 / 8, abs=0.025)
    take_off, landing = found.events
    assert (take_off.kind, landing.kind) == ("take_off", "landing")
    assert take_off.time_s == pytest.approx(2.0, abs=0.015)


def test_standing_is_no_jump_and_says_so():
    found = measure(sequence_of(figure(TIMES)), TIMES, MeasureSettings(tasks=("jump",)))

    assert "never leave the ground" in found.quantity("jump_1.height").reason


def test_the_centre_of_mass_moves_as_the_body_does():
    points = figure(TIMES, hip=(30 * TIMES, -10 * TIMES))
    scale = Scale(0.01, 0.0, "a known length")

    found = measure(
        sequence_of(points), TIMES, MeasureSettings(tasks=("centre_of_mass",), scale=scale)
    )

    np.testing.assert_allclose(found.curve("centre_of_mass.x").values, 0.3 * TIMES, atol=1e-3)
    np.testing.assert_allclose(found.curve("centre_of_mass.y").values, 0.1 * TIMES, atol=1e-3)
    np.testing.assert_allclose(
        found.curve("centre_of_mass.x.velocity").values[10:-10], 0.3, atol=1e-3
    )
    assert found.curve("centre_of_mass.x").unit == "m"


@pytest.mark.parametrize("skeleton", [COCO17, POSETRACK15])
def test_angles_that_a_skeleton_lacks_say_which_keypoints_are_missing(skeleton):
    sequence = sequence_of(squats(TIMES), skeleton=skeleton)

    found = measure(sequence, TIMES, MeasureSettings(angles=tuple(ANGLES)))

    ankle = found.curve("left_ankle")
    assert not ankle.known
    assert "left heel" in ankle.reason
    assert skeleton.name in found.quantity("left_ankle.maximum").reason
    assert found.curve("left_knee").known


def test_gaps_are_filled_to_a_length_marked_and_said():
    points = squats(TIMES)
    points[50:53, HALPE26.index("left_knee")] = np.nan
    points[80:100, HALPE26.index("left_knee")] = np.nan

    found = measure(sequence_of(points), TIMES, MeasureSettings(smoothing=RAW))

    knee = found.curve("left_knee")
    np.testing.assert_array_equal(np.flatnonzero(knee.marked), [50, 51, 52])
    assert np.isnan(knee.values[80:100]).all()
    assert "20 frames lie in gaps longer than 0.2 s" in knee.reason
    assert any("interpolated over gaps" in note for note in found.notes)


def test_frames_left_out_of_a_sequence_are_gaps():
    kept = np.array([f for f in range(121) if f not in (30, 31)])
    sequence = sequence_of(squats(TIMES)[kept], frames=kept)

    knee = measure(sequence, TIMES[kept]).curve("left_knee")

    assert len(knee.values) == 121
    np.testing.assert_array_equal(np.flatnonzero(knee.marked), [30, 31])


def test_facing_set_by_hand_wins_and_a_doubtful_one_is_noted():
    turning = squats(TIMES)
    turning[70:] *= [-1, 1]

    by_hand = measure(sequence_of(turning), TIMES, MeasureSettings(facing="left"))
    by_itself = measure(sequence_of(turning), TIMES)

    assert by_hand.facing == "left"
    assert by_itself.facing == "right"
    assert any("the person turns" in note for note in by_itself.notes)


def test_doubtful_keypoints_can_be_left_out_but_never_those_placed_by_hand():
    origin = np.zeros((121, 26), np.uint8)
    knee = HALPE26.index("left_knee")
    origin[:, knee] = Origin.CORRECTED
    sequence = sequence_of(squats(TIMES), origin=origin)
    confidence = np.full((121, 26), 0.2)
    confidence[:, knee] = np.nan
    for name in ("left_hip", "left_ankle"):
        confidence[:, HALPE26.index(name)] = 0.9
    object.__setattr__(sequence, "confidence", confidence)

    found = measure(sequence, TIMES, MeasureSettings(least_confidence=0.5))

    assert found.curve("left_knee").known
    assert not found.curve("right_knee").known


def test_measurements_survive_json():
    settings = MeasureSettings(tasks=("gait", "squat", "centre_of_mass"))
    found = measure(sequence_of(walk(TIMES), sd=1.0), TIMES, settings)

    text = json.dumps(found.to_dict(), allow_nan=False)
    back = Measurements.from_dict(json.loads(text))

    assert back.to_dict() == found.to_dict()
    with pytest.raises(FormatError, match="file of measurements does not follow"):
        Measurements.from_dict({"version": 1})


def test_equal_seeds_give_equal_intervals():
    sequence = sequence_of(walk(TIMES), sd=1.0)

    assert measure(sequence, TIMES).to_dict() == measure(sequence, TIMES).to_dict()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"angles": ("left_toe",)}, "Expected an angle, got 'left_toe'"),
        ({"tasks": ("dance",)}, "got 'dance'"),
        ({"facing": "up"}, "got 'up'"),
        ({"num_draws": 3}, "40 to 5000 draws"),
        ({"longest_gap_s": -1.0}, "longest gap"),
    ],
)
def test_settings_out_of_range_are_refused(settings, words):
    with pytest.raises((SettingsError, MeasureError), match=words):
        MeasureSettings(**settings)


def test_times_that_do_not_fit_are_refused():
    sequence = sequence_of(squats(TIMES))

    with pytest.raises(MeasureError, match=r"take times_s\[sequence\.frames\]"):
        measure(sequence, TIMES[:-1])
    with pytest.raises(MeasureError, match="increasing times"):
        measure(sequence, np.zeros(121))


def test_a_clip_too_short_for_the_filter_gives_reasons_and_no_numbers():
    found = measure(sequence_of(squats(TIMES)[:6]), TIMES[:6], MeasureSettings(tasks=("gait",)))

    assert "too short for the butterworth filter" in found.curve("left_knee").reason
    assert not found.quantity("left_knee.maximum").known
    assert found.quantity("left_knee.maximum").text.startswith("not measured: ")


def test_an_unknown_name_lists_the_known_ones():
    found = measure(sequence_of(squats(TIMES)), TIMES)

    with pytest.raises(MeasureError, match="got 'x'; there are: left_ankle"):
        found.curve("x")


def test_a_number_is_there_or_a_reason_why_not_and_never_both():
    walked = measure(sequence_of(walk(TIMES)), TIMES, MeasureSettings(tasks=("gait",)))
    squatted = measure(sequence_of(squats(TIMES, depth=100, period=2)), TIMES,
                       MeasureSettings(tasks=("squat",)))  # fmt: skip
    for quantity in (*walked.quantities, *squatted.quantities):
        assert np.isfinite(quantity.value) == (not quantity.reason), quantity
