"""`vlp extract --views` and `--preprocess` on real files: which squares of a frame become which features."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch.nn.functional import normalize

from vlp.datasplits.templates import template_set
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.stores.features import FeatureStore

Type = Callable[..., Any]
SIZE, SHORT_SIDE = 32, 37  # of the tiny encoder: 32 * 256 / 224 is 36.6
NAMES = ("walk/wide.mp4", "walk/tall.mp4", "run/odd.avi", "run/small.avi")
NUM_VIEWS = {"1": 1, "2": 2, "3": 3, "4": 4, "flip": 2}


@pytest.fixture
def arguments(shapes: Path, tiny_model: str, tmp_path: Path) -> list[object]:
    place = ["--dataset", "folder", "--root", shapes, "--cache", tmp_path / "cache", "--fps", "native"]
    return ["extract", *place, "--model", tiny_model, "--device", "cpu"]


@pytest.fixture(scope="module")
def encoder(tiny_model: str) -> FrozenEncoder:
    return load_encoder(EncoderSpec(tiny_model, ""), device="cpu", precision="fp32")


def stored(typed: Type, *arguments: object) -> FeatureStore:
    done = typed(*arguments, "--json")
    assert (done.status, done.json["ok"] + done.json["skipped"]) == (0, len(NAMES)), done.stderr
    return FeatureStore.open(Path(done.json["store"]))


def bits(store: FeatureStore) -> dict[str, bytes]:
    return {video_id: store.read(video_id).features.tobytes() for video_id in store.videos()}


def frames_of(path: Path) -> list[Image.Image]:
    with av.open(str(path)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


def squares_of(image: Image.Image, views: str, short_side: int) -> list[Image.Image]:
    """The views of one frame by their definition, with PIL alone."""
    wide, tall = (short_side * side // min(image.size) for side in image.size)
    resized = image.resize((wide, tall), Image.Resampling.BICUBIC)
    right, bottom = wide - SIZE, tall - SIZE
    middle = (round(right / 2), round(bottom / 2))
    ends = [(0, middle[1]), (right, middle[1])] if wide >= tall else [(middle[0], 0), (middle[0], bottom)]
    corners = {
        "1": [middle],
        "2": [(0, 0), (right, bottom)],
        "3": [ends[0], middle, ends[1]],
        "4": [(0, 0), (right, 0), (0, bottom), (right, bottom)],
        "flip": [middle, middle],
    }[views]
    squares = [resized.crop((left, top, left + SIZE, top + SIZE)) for left, top in corners]
    return [squares[0], ImageOps.mirror(squares[1])] if views == "flip" else squares


def encoded(encoder: FrozenEncoder, squares: Sequence[Image.Image]) -> torch.Tensor:
    """Features of squares; mean and deviation of the tiny encoder are 0.5."""
    images = torch.stack([torch.from_numpy(np.array(square)).permute(2, 0, 1) for square in squares])
    with torch.inference_mode():
        found: torch.Tensor = encoder.clip.visual((images / 255 - 0.5) / 0.5)
    return found


def probabilities(encoder: FrozenEncoder, features: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Of the classes of a video, by hand: of each view the softmax for its mean frame, then their mean."""
    [template] = template_set("single")
    texts = encoder.encode_text([template.replace("{}", name) for name in names])
    means = torch.tensor(features).float().mean(dim=0)
    cosines = normalize(means, dim=-1) @ normalize(texts, dim=-1).T
    of_each_view = (encoder.clip.logit_scale.exp().detach() * cosines).double().softmax(dim=-1)
    return dict(zip(names, of_each_view.mean(dim=0).tolist(), strict=True))


@pytest.mark.parametrize(
    ("views", "preprocess", "short_side"),
    [
        ("1", "model", SIZE),
        ("1", "short256-center224", SHORT_SIDE),
        ("2", "model", SHORT_SIDE),
        ("3", "short256-center224", SHORT_SIDE),
        ("4", "model", SHORT_SIDE),
        ("flip", "model", SIZE),
        ("flip", "short256-center224", SHORT_SIDE),
    ],
)
def test_view_k_is_what_the_encoder_says_of_that_square(
    typed: Type,
    arguments: list[object],
    shapes: Path,
    encoder: FrozenEncoder,
    views: str,
    preprocess: str,
    short_side: int,
) -> None:
    store = stored(typed, *arguments, "--views", views, "--preprocess", preprocess)
    assert store.num_views == NUM_VIEWS[views]
    for name in NAMES:
        frames = frames_of(shapes / name)
        features = torch.tensor(store.read(name.rpartition(".")[0]).features).float()
        assert features.shape == (len(frames), NUM_VIEWS[views], 16)
        for frame, row in zip(frames, normalize(features, dim=-1), strict=True):
            cosines = row @ normalize(encoded(encoder, squares_of(frame, views, short_side)), dim=-1).T
            assert cosines.diagonal().min() >= 0.9999
            if name != "run/small.avi":  # whose squares are alike
                assert cosines.argmax(dim=1).tolist() == list(range(NUM_VIEWS[views]))


def test_each_view_has_the_bits_that_it_has_alone(typed: Type, arguments: list[object]) -> None:
    """Views share batches, and frames are split over them: 16 is no multiple of 3."""
    one = stored(typed, *arguments)
    flip = stored(typed, *arguments, "--views", "flip")
    centre = stored(typed, *arguments, "--preprocess", "short256-center224")
    three = stored(typed, *arguments, "--views", "3")
    two, four = (stored(typed, *arguments, "--views", views) for views in ("2", "4"))
    for video_id in one.videos():
        pairs = [((one, 0), (flip, 0)), ((centre, 0), (three, 1))]
        pairs += [((two, 0), (four, 0)), ((two, 1), (four, 3))]
        for (left, here), (right, there) in pairs:
            ours, theirs = left.read(video_id).features[:, here], right.read(video_id).features[:, there]
            assert ours.tobytes() == theirs.tobytes()


def test_the_fingerprint_of_the_default_says_what_it_always_said(
    typed: Type, arguments: list[object]
) -> None:
    meaning = stored(typed, *arguments).meaning
    assert meaning["views"] == ["centre"]
    assert meaning["preprocess"] == {
        "variant": "model",
        "image_size": 32,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
        "fill_color": 0,
    }


def test_what_was_begun_goes_on_to_the_same_bits(
    typed: Type, arguments: list[object], tmp_path: Path
) -> None:
    whole = bits(stored(typed, *arguments, "--views", "3"))
    part = [*arguments, "--views", "3", "--cache", tmp_path / "other"]
    assert typed(*part, "--limit", 1, "--json").json["ok"] == 1
    assert typed(*part, "--part", "0/2").status == 0
    assert bits(stored(typed, *part)) == whole


def test_a_dry_run_counts_every_view(typed: Type, arguments: list[object]) -> None:
    one = typed(*arguments, "--dry-run", "--json").json
    three = typed(*arguments, "--views", "3", "--dry-run", "--json").json
    assert (one["num_views"], three["num_views"]) == (1, 3)
    assert one["num_frames"] == three["num_frames"] == 7 * len(NAMES)
    assert three["num_bytes"] - one["num_bytes"] == 2 * 16 * 2 * one["num_frames"]
    assert "28 frames to store, each in 3 views" in typed(*arguments, "--views", "3", "--dry-run").stdout
    done = typed(*arguments, "--views", "3", "--json").json
    assert (done["num_rows"], done["fingerprint"]) == (three["num_frames"], three["fingerprint"])


def test_repair_extracts_the_same_views_again(
    typed: Type, arguments: list[object], shapes: Path, tmp_path: Path
) -> None:
    store = stored(typed, *arguments, "--views", "4")
    before, entry = bits(store), store.videos()["walk/tall"]
    with (store.path / "segments" / entry.segment / "features/c/0/0/0").open("r+b") as file:
        file.seek(entry.start * 4 * 16 * 2 + 5)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    place = ["--cache", tmp_path / "cache", "--root", shapes]
    repaired = typed("store", "repair", store.path, *place, "--json")
    assert (repaired.status, repaired.json["found"]["video_ids"]) == (0, ["walk/tall"])
    assert bits(FeatureStore.open(store.path)) == before


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--views", "5"], "no views '5'. Known: 1, 2, 3, 4, flip."),
        (["--preprocess", "short256"], "no preprocessing 'short256'. Known: model, short256-center224."),
    ],
)
def test_what_cannot_be_cut_is_refused_before_anything_is_loaded(
    typed: Type, arguments: list[object], tmp_path: Path, extra: list[str], said: str
) -> None:
    result = typed(*arguments, *extra)
    assert result.status == 1
    assert said in " ".join(result.stderr.split())
    assert not (tmp_path / "cache").exists()


def test_where_several_stores_fit_they_are_listed_with_their_views(
    typed: Type, arguments: list[object], shapes: Path, tiny_model: str, tmp_path: Path
) -> None:
    place = ["--dataset", "folder", "--root", shapes, "--model", tiny_model, "--cache", tmp_path / "cache"]
    three = stored(typed, *arguments, "--views", "3")
    alone = typed("eval", "zero-shot", *place, "--device", "cpu", "--json")
    assert (alone.status, alone.json["num_views"]) == (0, 3)
    one = stored(typed, *arguments)
    refused = typed("eval", "zero-shot", *place, "--device", "cpu")
    assert refused.status == 4
    said = "".join(refused.stderr.split())
    assert f'{three.path}(preprocess.short_side:37;preprocess.variant:"short256-center224";' in said
    assert 'views:["centre"]' in said
    assert 'views:["long-side-start","centre","long-side-end"]' in said
    chosen = typed("eval", "zero-shot", *place, "--device", "cpu", "--store", one.path, "--json")
    assert (chosen.status, chosen.json["num_views"]) == (0, 1)
    listed = typed("store", "ls", "--cache", tmp_path / "cache", "--json").json["stores"]
    assert {row["path"]: row["num_views"] for row in listed} == {str(three.path): 3, str(one.path): 1}


@pytest.mark.parametrize("views", ["3", "flip"])
def test_a_new_video_has_the_mean_of_the_probabilities_of_the_same_views(
    typed: Type,
    arguments: list[object],
    shapes: Path,
    tiny_model: str,
    tmp_path: Path,
    encoder: FrozenEncoder,
    views: str,
) -> None:
    store = stored(typed, *arguments, "--views", views)
    place = ["--dataset", "folder", "--root", shapes, "--model", tiny_model, "--cache", tmp_path / "cache"]
    trained = typed(
        "train", *place, "--from-cache", "--method", "zero_shot", "--runs", tmp_path, "--name", "run"
    )
    assert trained.status == 0, trained.stderr
    (tmp_path / "moved.avi").write_bytes((shapes / "run/odd.avi").read_bytes())
    done = typed("predict", tmp_path / "moved.avi", "--run", tmp_path / "run", "--device", "cpu", "--json")
    assert done.status == 0, done.stderr
    [entry] = done.json["videos"]
    found = {row["class"]: row["probability"] for row in entry["top"]}
    features = store.read("run/odd").features
    assert found == pytest.approx(probabilities(encoder, features, ["run", "walk"]), abs=1e-6)
    one_view = probabilities(encoder, features[:, :1], ["run", "walk"])
    assert found != pytest.approx(one_view, abs=1e-5)
