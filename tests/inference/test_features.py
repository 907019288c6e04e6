"""The cache never holds more than its bound, and saves the backbone."""

from hypothesis import given
from hypothesis import strategies as st

from diffpose.inference.features import FeatureCache, window_features
from diffpose.inference.pipeline import iter_poses, sample_window, window_at
from diffpose.inference.windows import ChunkConfig
from diffpose.poses import SamplingConfig, Track
from tests.fakes import FakeEstimator, FakeVideo
from tests.inference.test_pipeline import track_of


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 12)), max_size=40))
def test_the_cache_keeps_the_latest_values_within_its_bound(entries: list[tuple[str, int]]) -> None:
    cache = FeatureCache(max_bytes=20)

    for key, size in entries:
        cache.put(key, (key, size), num_bytes=size)
        assert cache.get(key) == (key, size)
        assert cache.num_bytes <= 20

    kept = {key: cache.get(key) for key, _ in entries}
    assert cache.num_bytes == sum(value[1] for value in kept.values() if value is not None)
    assert len(cache) == sum(value is not None for value in kept.values())


def test_the_least_recently_used_goes_first() -> None:
    cache = FeatureCache(max_bytes=2)
    cache.put("a", 1, num_bytes=1)
    cache.put("b", 2, num_bytes=1)
    cache.get("a")

    cache.put("c", 3, num_bytes=1)
    cache.put("huge", 4, num_bytes=3)

    assert [cache.get(key) for key in ("a", "b", "c", "huge")] == [1, None, 3, None]
    cache.clear()
    assert (len(cache), cache.num_bytes) == (0, 0)


def still() -> Track:
    return track_of(lambda f: [(60.0, 70.0)])


def test_the_next_frame_encodes_one_frame_more() -> None:
    video, estimator, cache = FakeVideo(), FakeEstimator(), FeatureCache()
    for frame, encoded in ((4, 5), (5, 6), (4, 6), (7, 8)):
        window = window_at(video, still(), estimator, frame=frame)
        assert window is not None

        features = window_features(window, video=video, estimator=estimator, cache=cache)

        assert len(features) == 1
        assert estimator.num_encoded == encoded


def test_other_weights_and_other_crops_are_encoded_anew() -> None:
    video, estimator, cache = FakeVideo(), FakeEstimator(), FeatureCache()
    other = FakeEstimator()
    other.weights_hash = "other"
    window = window_at(video, track_of(), estimator, frame=9)
    wider = window_at(video, track_of(), estimator, frame=9, config=ChunkConfig(length=1))
    assert window is not None
    assert wider is not None

    for a_window, network, expected in (
        (window, estimator, 5),
        (window, other, 5),
        (wider, estimator, 10),
    ):
        window_features(a_window, video=video, estimator=network, cache=cache)
        assert network.num_encoded == expected


def test_after_a_run_with_a_cache_only_the_decoder_runs() -> None:
    video, estimator, cache = FakeVideo(), FakeEstimator(), FeatureCache()
    list(iter_poses(video, [track_of()], estimator, SamplingConfig(1, 2), cache=cache))
    encoded = estimator.num_encoded

    for frame in (0, 9, 17, 39):
        window = window_at(video, track_of(), estimator, frame=frame)
        assert window is not None
        sample_window(video, window, estimator, SamplingConfig(3, 4), cache=cache)

    assert estimator.num_encoded == encoded
