"""New videos get the features and scores that the run's store would give them; bad ones are told apart."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from vlp.datasplits.folder import load
from vlp.datasplits.manifest import Manifest
from vlp.pipeline.bank import FeatureBank
from vlp.pipeline.decoding.timeline import Timeline
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.errors import DeviceUnavailable
from vlp.pipeline.events import Event, StageSeconds, VideoFinished
from vlp.pipeline.extraction import run_extraction
from vlp.pipeline.feature_kind import FeatureKind
from vlp.pipeline.planning import Part, Retry, Settings, plan_extraction
from vlp.pipeline.predict import FeaturesDiffer, NewFeatures, new_features, predict
from vlp.pipeline.scoring import score_videos
from vlp.pipeline.settings import resolve
from vlp.pipeline.stopping import StopRequest
from vlp.pipeline.trained import TrainedRun, load_run
from vlp.pipeline.training_runs import config_of, plan_training, train_run
from vlp.stores.errors import RunDamaged
from vlp.stores.features import FeatureStore
from vlp.stores.runs import RunDirectory

BATCH_SIZE = 5
UNKNOWN = {"timeline": "fps:9", "views": ["left"], "preprocess": {"variant": "model"}}


def write_video(path: Path, *, num_frames: int, fps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264" if path.suffix == ".mp4" else "mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(num_frames):
            frame = np.kron(
                rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), dtype=np.uint8)
            )
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for number, (name, num_frames, fps) in enumerate(
        [("walk/a.mp4", 13, 10), ("walk/b.avi", 31, 25), ("run/a.mp4", 22, 30), ("run/c.avi", 9, 15)]
    ):
        write_video(root / name, num_frames=num_frames, fps=fps, seed=number)
    return root


@pytest.fixture(scope="module")
def manifest(videos: Path) -> Manifest:
    return load(videos)


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def store(
    manifest: Manifest, encoder: FrozenEncoder, tmp_path_factory: pytest.TempPathFactory
) -> FeatureStore:
    """The videos as `vlp extract --fps 10` would store them, in batches of an odd size."""
    plan = plan_extraction(
        manifest,
        encoder.description,
        Timeline.parse("fps:10"),
        cache=tmp_path_factory.mktemp("cache"),
        part=Part(),
        retry=Retry(),
    )
    settings = Settings(device="cpu", precision="fp32", batch_size=BATCH_SIZE, num_children=1)
    events = run_extraction(
        plan, encoder.spec, settings, seconds=StageSeconds(), stop=StopRequest(), encoder=encoder
    )
    assert [event.status for event in events if isinstance(event, VideoFinished)] == ["ok"] * 4
    return FeatureStore.open(plan.store)


@pytest.fixture
def run(store: FeatureStore, manifest: Manifest, encoder: FrozenEncoder, tmp_path: Path) -> RunDirectory:
    """A finished run of the method that learns nothing, with random test clips."""
    plan = plan_training(manifest, store)
    sampling = ["recipe.sampling=random-gap", "recipe.num_frames=4", "recipe.num_test_clips=3"]
    settings = resolve("zero_shot", overrides=sampling)
    made = RunDirectory.create(tmp_path / "runs" / "tiny", config_of(plan, settings, store, encoder))
    list(train_run(made, plan, settings, store, encoder))
    return made


@pytest.fixture
def trained(run: RunDirectory, encoder: FrozenEncoder) -> TrainedRun:
    return load_run(run, encoder)


@contextmanager
def extracted(
    paths: list[Path], run: RunDirectory, encoder: FrozenEncoder, events: list[Event] | None = None
) -> Iterator[NewFeatures]:
    told = events if events is not None else []
    with new_features(
        paths,
        FeatureKind.of_run(run),
        encoder,
        stop=StopRequest(),
        seconds=StageSeconds(),
        told=told.append,
    ) as new:
        yield new


def test_features_are_the_bits_that_the_store_holds(
    videos: Path, store: FeatureStore, run: RunDirectory, encoder: FrozenEncoder
) -> None:
    paths = [videos / "run/c.avi", videos / "walk/a.mp4", videos / "run/a.mp4"]  # other neighbours in a batch
    with extracted(paths, run, encoder) as new:
        assert new.store is not None
        assert new.store.batch_size == BATCH_SIZE
        for video, stored_id in zip(new.videos, ("run/c", "walk/a", "run/a"), strict=True):
            here, there = new.store.read(video.video_id), store.read(stored_id)
            assert np.array_equal(here.features.view(np.uint16), there.features.view(np.uint16))
            assert np.array_equal(here.pts_seconds, there.pts_seconds)
            assert np.array_equal(here.frame_index, there.frame_index)


def test_probabilities_are_those_of_scoring_the_store(
    videos: Path, store: FeatureStore, run: RunDirectory, trained: TrainedRun, encoder: FrozenEncoder
) -> None:
    recipe = replace(trained.settings.recipe, sampling="segments")  # clips that depend on no id
    trained = replace(trained, settings=replace(trained.settings, recipe=recipe))
    bank = FeatureBank(store, ["walk/b", "run/a"])
    expected = score_videos(trained.method, bank, np.arange(2), recipe, seed=0, device=encoder.device)
    with extracted([videos / "walk/b.avi", videos / "run/a.mp4"], run, encoder) as new:
        found = predict(new, trained, device=encoder.device, seed=0, num_top=5)
        for prediction, row in zip(found, expected, strict=True):
            assert dict(prediction.top) == dict(zip(trained.class_names, row.tolist(), strict=True))
            shares = [share for _, share in prediction.top]
            assert shares == sorted(shares, reverse=True)
            assert sum(shares) == pytest.approx(1)


def test_a_prediction_does_not_depend_on_the_other_videos(
    videos: Path, run: RunDirectory, trained: TrainedRun, encoder: FrozenEncoder
) -> None:
    with (
        extracted([videos / "run/a.mp4"], run, encoder) as one,
        extracted([videos / "walk/b.avi", videos / "walk/../run/a.mp4"], run, encoder) as two,
    ):
        (alone,) = predict(one, trained, device=encoder.device, seed=3, num_top=2)
        _, among = predict(two, trained, device=encoder.device, seed=3, num_top=2)
    assert alone.top == among.top


def test_logits_become_probabilities(
    videos: Path, run: RunDirectory, trained: TrainedRun, encoder: FrozenEncoder
) -> None:
    recipe = replace(trained.settings.recipe, aggregation="logits")
    trained = replace(trained, settings=replace(trained.settings, recipe=recipe))
    with extracted([videos / "run/a.mp4"], run, encoder) as new:
        (found,) = predict(new, trained, device=encoder.device, seed=0, num_top=9)
        assert sum(share for _, share in found.top) == pytest.approx(1)
        assert all(0 < share < 1 for _, share in found.top)


def test_only_the_top_is_given(videos: Path, run: RunDirectory, encoder: FrozenEncoder) -> None:
    trained = load_run(run, encoder, ["jump", "run", "swim", "walk"])
    with extracted([videos / "run/a.mp4"], run, encoder) as new:
        (few,) = predict(new, trained, device=encoder.device, seed=0, num_top=2)
        (all_of_them,) = predict(new, trained, device=encoder.device, seed=0, num_top=99)
        assert few.top == all_of_them.top[:2]
        assert {name for name, _ in all_of_them.top} == {"jump", "run", "swim", "walk"}


def test_hostile_files_are_entries_and_the_others_go_on(
    videos: Path, run: RunDirectory, trained: TrainedRun, encoder: FrozenEncoder, tmp_path: Path
) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    (tmp_path / "link.mp4").symlink_to(videos / "walk/a.mp4")
    cut = tmp_path / "cut.avi"
    whole = (videos / "walk/b.avi").read_bytes()
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    bad_name = Path(os.fsdecode(os.fsencode(tmp_path) + b"/w\xffird.mp4"))
    bad_name.write_bytes((videos / "walk/a.mp4").read_bytes())
    line = tmp_path / "a\nb.mp4"
    line.write_bytes(b"x")
    wanted = {
        tmp_path / "empty.mp4": ("failed", "empty"),
        tmp_path / "text.mp4": ("failed", "not-a-video"),
        tmp_path / "pipe.mp4": ("failed", "not-a-file"),
        tmp_path / "gone.mp4": ("failed", "missing"),
        tmp_path: ("failed", "not-a-file"),
        Path(os.devnull): ("failed", "not-a-file"),
        bad_name: ("failed", "name"),
        line: ("failed", "name"),
        tmp_path / "link.mp4": ("ok", None),
        cut: ("short", "truncated"),
        videos / "walk/a.mp4": ("ok", None),
    }
    events: list[Event] = []
    with extracted([*wanted, tmp_path / "loop.mp4"], run, encoder, events) as new:
        found = predict(new, trained, device=encoder.device, seed=0, num_top=1)
        by_path = {prediction.video.path: prediction for prediction in found}
        assert {path: (by_path[path].video.status, by_path[path].video.reason) for path in wanted} == wanted
        assert by_path[tmp_path / "loop.mp4"].video.status == "failed"
        assert all(bool(prediction.top) == prediction.video.has_features for prediction in found)
        assert by_path[tmp_path / "link.mp4"].top == by_path[videos / "walk/a.mp4"].top
        assert by_path[bad_name].to_json()["path"].endswith("/w\ufffdird.mp4")
    assert sum(isinstance(event, VideoFinished) for event in events) == len(wanted) + 1 - 3  # names, one link


def test_equal_basenames_do_not_collide(
    videos: Path, run: RunDirectory, trained: TrainedRun, encoder: FrozenEncoder, tmp_path: Path
) -> None:
    copy = tmp_path / "a.avi"  # differs from a.mp4 beside it in its suffix alone
    copy.write_bytes((videos / "run/c.avi").read_bytes())
    (tmp_path / "a.mp4").write_bytes((videos / "walk/a.mp4").read_bytes())
    with extracted([copy, tmp_path / "a.mp4", videos / "run/a.mp4"], run, encoder) as new:
        assert len({video.video_id for video in new.videos}) == 3
        assert [video.status for video in new.videos] == ["ok"] * 3
        assert new.store is not None
        lengths = [len(new.store.read(video.video_id).features) for video in new.videos]
        assert len(set(lengths)) == 3


def test_if_nothing_can_be_read_nothing_is_scored(
    run: RunDirectory, trained: TrainedRun, encoder: FrozenEncoder, tmp_path: Path
) -> None:
    with extracted([tmp_path / "gone.mp4", tmp_path / "a\nb.mp4"], run, encoder) as new:
        assert new.store is None
        found = predict(new, trained, device=encoder.device, seed=0, num_top=1)
        assert [prediction.top for prediction in found] == [(), ()]


def test_a_signal_leaves_the_rest_skipped(videos: Path, run: RunDirectory, encoder: FrozenEncoder) -> None:
    stop = StopRequest()
    stop.signal = signal.SIGTERM
    with new_features(
        [videos / "run/a.mp4"],
        FeatureKind.of_run(run),
        encoder,
        stop=stop,
        seconds=StageSeconds(),
        told=lambda _: None,
    ) as new:
        assert new.signal == signal.SIGTERM
        assert [(video.status, video.reason) for video in new.videos] == [("skipped", "interrupted")]


def test_nothing_is_left_behind(
    videos: Path,
    run: RunDirectory,
    encoder: FrozenEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    with extracted([videos / "run/a.mp4"], run, encoder) as new:
        assert new.store is not None
        assert new.store.path.is_relative_to(place)
    assert list(place.iterdir()) == []


def test_features_of_another_meaning_are_refused(
    videos: Path, run: RunDirectory, encoder: FrozenEncoder
) -> None:
    kind = FeatureKind.of_run(run)
    other = replace(kind, meaning={**kind.meaning, "extraction_version": 0})
    with (
        pytest.raises(FeaturesDiffer, match="extraction_version") as caught,
        new_features(
            [videos / "run/a.mp4"],
            other,
            encoder,
            stop=StopRequest(),
            seconds=StageSeconds(),
            told=lambda _: None,
        ),
    ):
        pass
    assert caught.value.run == run.path
    assert len(caught.value.differences) == 1


def test_the_kind_is_read_from_the_run_and_its_store(run: RunDirectory, store: FeatureStore) -> None:
    kind = FeatureKind.of_run(run)
    assert (kind.timeline.canonical, kind.batch_size, kind.precision) == ("fps:10", BATCH_SIZE, "fp32")
    assert kind.is_exact
    assert kind.meaning == store.meaning


def test_without_the_store_the_device_decides(
    run: RunDirectory, encoder: FrozenEncoder, tmp_path: Path
) -> None:
    config = run.config() | {"places": {"store": str(tmp_path / "gone")}}
    kind = FeatureKind.of_run(RunDirectory.create(tmp_path / "moved", config))
    assert (kind.batch_size, kind.precision, kind.is_exact) == (None, "auto", False)


@pytest.mark.parametrize(
    "features", [None, [], {}, {"timeline": 3}, {"timeline": "fps:0"}, {"timeline": "fps:9"}, UNKNOWN]
)
def test_a_run_must_say_what_its_features_mean(run: RunDirectory, tmp_path: Path, features: object) -> None:
    damaged = RunDirectory.create(tmp_path / "damaged", run.config() | {"features": features})
    with pytest.raises(RunDamaged, match="what features"):
        FeatureKind.of_run(damaged)


def test_a_precision_that_the_features_name_is_not_replaced(
    run: RunDirectory, encoder: FrozenEncoder
) -> None:
    kind = replace(FeatureKind.of_run(run), precision="fp16")  # which no CPU has
    assert kind.precision_on(encoder.device) in ("fp32", "bf16")
    forced = replace(kind, meaning={**kind.meaning, "precision": "fp16"})
    with pytest.raises(DeviceUnavailable):
        forced.precision_on(encoder.device)
