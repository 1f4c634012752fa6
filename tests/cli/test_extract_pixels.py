"""`vlp extract --level pixels` on real files: what is stored, resumed, verified and repaired, as features are."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from vlp.stores.features import FeatureStore
from vlp.stores.pixels import PixelStore

Type = Callable[..., Any]
NAMES = ("walk/wide.mp4", "walk/tall.mp4", "run/odd.avi", "run/small.avi")


@pytest.fixture
def arguments(shapes: Path, tmp_path: Path) -> list[object]:
    place = ["--dataset", "folder", "--root", shapes, "--cache", tmp_path / "cache", "--fps", "native"]
    return ["extract", *place, "--level", "pixels"]


def stored(typed: Type, *arguments: object) -> PixelStore:
    done = typed(*arguments, "--json")
    assert (done.status, done.json["ok"] + done.json["skipped"]) == (0, len(NAMES)), done.stderr
    return PixelStore.open(Path(done.json["store"]))


def bits(store: PixelStore) -> dict[str, tuple[bytes, ...]]:
    read = {video_id: store.read_frames(video_id) for video_id in store.videos()}
    return {
        video_id: (video.data.tobytes(), video.sizes.tobytes(), video.pts_seconds.tobytes())
        for video_id, video in read.items()
    }


def resized_by_pil(path: Path) -> np.ndarray:
    """The frames of a file with a short side of 256, by other means."""
    with av.open(str(path)) as container:
        images = [frame.to_image() for frame in container.decode(video=0)]
    wide, tall = (256 * side // min(images[0].size) for side in images[0].size)
    resized = [image.resize((wide, tall), Image.Resampling.BICUBIC) for image in images]
    return np.stack([np.asarray(image) for image in resized])


@pytest.mark.parametrize(("codec", "most", "mean"), [("lossless", 3, 0.2), ("jpeg", 40, 1.5)])
def test_stored_frames_are_the_files_own_with_a_short_side_of_256(
    typed: Type, arguments: list[object], shapes: Path, codec: str, most: int, mean: float
) -> None:
    store = stored(typed, *arguments, "--codec", codec)
    for name in NAMES:
        read, expected = store.read_frames(name.rpartition(".")[0]), resized_by_pil(shapes / name)
        difference = np.abs(read.decode().astype(int) - expected)  # equal shapes, or no difference is taken
        assert difference.max() <= most
        assert difference.mean() <= mean
        assert np.array_equal(read.decode([6, 1]), read.decode()[[6, 1]])


def test_rows_are_those_of_a_store_of_features(
    typed: Type, arguments: list[object], tiny_model: str, tmp_path: Path
) -> None:
    pixels = stored(typed, *arguments)
    made = typed(*arguments[:-2], "--model", tiny_model, "--device", "cpu", "--json")
    features = FeatureStore.open(Path(made.json["store"]))
    for video_id in features.videos():
        frames, rows = pixels.read_frames(video_id), features.read(video_id)
        assert np.array_equal(frames.frame_index, rows.frame_index)
        assert np.array_equal(frames.pts_seconds, rows.pts_seconds)


def test_the_codec_is_part_of_the_meaning_and_the_encoder_is_not(
    typed: Type, arguments: list[object]
) -> None:
    jpeg = stored(typed, *arguments)
    lossless = stored(typed, *arguments, "--codec", "lossless")
    assert jpeg.fingerprint != lossless.fingerprint
    assert "weights" not in jpeg.meaning
    assert jpeg.meaning["codec"] == {"format": "JPEG", "quality": 95, "subsampling": "4:4:4"}
    assert (jpeg.meaning["level"], jpeg.meaning["timeline"]) == ("pixels", "native")
    assert jpeg.path.parent.name == "pixels__jpeg"


def test_parts_limits_and_batches_give_the_same_bits(
    typed: Type, arguments: list[object], tmp_path: Path
) -> None:
    whole = bits(stored(typed, *arguments))
    other = [*arguments, "--cache", tmp_path / "other", "--batch-size", 3, "--children", 1]
    assert typed(*other, "--limit", 1, "--json").json["ok"] == 1
    assert typed(*other, "--part", "1/2").status == 0
    assert bits(stored(typed, *other)) == whole


@pytest.mark.full  # as with features, whose killed runs are always tested
def test_a_killed_run_is_gone_on_with_to_the_same_bits(
    typed: Type, arguments: list[object], shapes: Path, tmp_path: Path
) -> None:
    many = tmp_path / "many"
    for number in range(10):
        for name in NAMES:
            target = many / Path(name).with_stem(f"{Path(name).stem}-{number}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(shapes / name)
    asked = [*arguments, "--root", many]
    expected = bits(PixelStore.open(Path(typed(*asked, "--json").json["store"])))
    again = [*asked, "--cache", tmp_path / "again"]
    command = [sys.executable, "-m", "vlp.cli", *map(str, again)]
    for waited in (0.2, 0.6):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not list((tmp_path / "again").glob("*/*/*.vlp/zarr.json")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(waited)
        process.kill()
        process.communicate()
    assert typed(*again).status == 0
    found = PixelStore.open(Path(typed(*again, "--json").json["store"]))
    assert bits(found) == expected
    assert typed("store", "verify", found.path).status == 0


def test_damage_is_found_and_mended(
    typed: Type, arguments: list[object], shapes: Path, tmp_path: Path
) -> None:
    store = stored(typed, *arguments, "--codec", "lossless")
    before = bits(store)
    read = store.read_frames("walk/tall")
    [shard] = store.path.glob("segments/*/pixels/c/0")
    data = bytearray(shard.read_bytes())
    data[data.index(read.data.tobytes()) + 99] ^= 1
    shard.write_bytes(data)
    assert typed("store", "verify", store.path).status == 1
    place = ["--cache", tmp_path / "cache", "--root", shapes]
    repaired = typed("store", "repair", store.path, *place, "--json")
    assert (repaired.status, repaired.json["found"]["video_ids"]) == (0, ["walk/tall"])
    assert bits(PixelStore.open(store.path)) == before


@pytest.mark.parametrize("codec", ["jpeg", "lossless"])
def test_a_dry_run_promises_no_less_than_is_written(
    typed: Type, arguments: list[object], shapes: Path, codec: str
) -> None:
    planned = typed(*arguments, "--codec", codec, "--dry-run", "--json").json
    done = stored(typed, *arguments, "--codec", codec)
    written = sum(done.read_frames(video_id).data.nbytes for video_id in done.videos())
    assert planned["num_frames"] == 7 * len(NAMES)
    assert planned["fingerprint"] == done.fingerprint
    assert written <= planned["num_bytes"]


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--level", "sound"], "'sound' is none of embedding, pixels"),
        (["--level", "embedding", "--codec", "jpeg"], "only a store of pixels has a codec"),
        (["--codec", "gif"], "no codec 'gif'. Known: jpeg, lossless."),
        (["--model", "ViT-B-16"], "without an encoder"),
        (["--pretrained", "openai"], "without an encoder"),
        (["--views", "3"], "uncropped"),
        (["--preprocess", "short256-center224"], "uncropped"),
        (["--precision", "bf16"], "without an encoder"),
    ],
)
def test_what_pixels_have_not_is_refused(
    typed: Type, arguments: list[object], tmp_path: Path, extra: list[str], said: str
) -> None:
    result = typed(*arguments, *extra)
    assert result.status in (1, 2)
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert not (tmp_path / "cache").exists()


def test_a_store_of_pixels_is_no_store_of_features(
    typed: Type, arguments: list[object], shapes: Path, tiny_model: str, tmp_path: Path
) -> None:
    pixels = stored(typed, *arguments)
    place = ["--dataset", "folder", "--root", shapes, "--model", tiny_model, "--cache", tmp_path / "cache"]
    train = ["train", *place, "--from-cache", "--method", "zero_shot", "--runs", tmp_path, "--device", "cpu"]
    missing = typed(*train)
    assert missing.status == 4
    assert "no embeddings of folder" in missing.stderr
    forced = typed(*train, "--store", pixels.path, "--allow-mismatch")
    assert forced.status == 4
    assert "Traceback" not in forced.stderr
    listed = typed("store", "ls", "--cache", tmp_path / "cache", "--json").json["stores"]
    assert [(row["model"], row["pretrained"], row["frames"]) for row in listed] == [("pixels", "jpeg", 28)]


def test_the_bench_of_pixels_compares_the_codecs(typed: Type, shapes: Path, tiny_model: str) -> None:
    place = ["--dataset", "folder", "--root", shapes, "--model", tiny_model, "--device", "cpu"]
    measured = typed("bench", "pixels", *place, "--num-videos", 2, "--num-frames", 3, "--json").json
    assert (measured["num_videos"], measured["num_frames"]) == (2, 6)
    jpeg, lossless = measured["codecs"]["jpeg"], measured["codecs"]["lossless"]
    assert lossless["bytes_per_frame"] > jpeg["bytes_per_frame"] > 0
    assert min(jpeg["min_cosine"], lossless["min_cosine"]) > 0.9
    assert "lossless" in typed("bench", "pixels", *place, "--num-videos", 1, "--num-frames", 1).stdout
