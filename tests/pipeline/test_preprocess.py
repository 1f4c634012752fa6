"""Batched uint8 preprocessing against the model's own PIL transform."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from vlp.pipeline.encoder_spec import Preprocess
from vlp.pipeline.framing import MODEL, SHORT_SIDE, VIEWS, Framing
from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.preprocess import cut_views, normalise, resize_and_crop

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def preprocess_of(size: int, resize_mode: str, interpolation: str = "bicubic") -> Preprocess:
    return Preprocess(size, MEAN, STD, interpolation, resize_mode)


def by_pil(frame: np.ndarray, preprocess: Preprocess) -> torch.Tensor:
    """What open_clip itself does to one frame."""
    config = open_clip.transform.PreprocessCfg(
        size=preprocess.image_size,
        mean=preprocess.mean,
        std=preprocess.std,
        interpolation=preprocess.interpolation,
        resize_mode=preprocess.resize_mode,
        fill_color=preprocess.fill_color,
    )
    transformed: torch.Tensor = open_clip.transform.image_transform_v2(config, is_train=False)(
        Image.fromarray(frame)
    )
    return transformed


def smooth_frame(height: int, width: int, seed: int) -> np.ndarray:
    """A picture with edges and gradients, as video frames have; white noise would test only the kernel's tail."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (max(height // 8, 2), max(width // 8, 2), 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))


@given(
    height=st.integers(20, 300),
    width=st.integers(20, 300),
    size=st.sampled_from([32, 48, 224]),
    mode=st.sampled_from(["shortest", "squash", "longest"]),
    interpolation=st.sampled_from(["bicubic", "bilinear"]),
)
def test_every_pixel_is_within_three_grey_levels_of_pil(
    height: int, width: int, size: int, mode: str, interpolation: str
) -> None:
    preprocess = preprocess_of(size, mode, interpolation)
    frame = smooth_frame(height, width, seed=height * 1000 + width)
    ours = resize_and_crop(torch.from_numpy(frame.copy())[None], preprocess)[0]
    expected = by_pil(frame, preprocess)
    levels = expected * torch.tensor(STD).view(3, 1, 1) * 255 + torch.tensor(MEAN).view(3, 1, 1) * 255
    assert ours.shape == expected.shape
    assert (ours.float() - levels).abs().max() <= 3.01


def test_features_point_the_same_way_as_after_pil(tiny_clip: torch.nn.Module) -> None:
    preprocess = preprocess_of(32, "shortest")
    frames = np.stack([smooth_frame(240, 320, seed) for seed in range(16)])
    with torch.inference_mode():
        ours = tiny_clip.visual(
            normalise(resize_and_crop(torch.from_numpy(frames), preprocess), preprocess, torch.float32)
        )
        expected = tiny_clip.visual(torch.stack([by_pil(frame, preprocess) for frame in frames]))
    assert torch.nn.functional.cosine_similarity(ours, expected).min() >= 0.9999


def test_a_frame_of_the_right_size_is_left_alone() -> None:
    frames = torch.from_numpy(np.stack([smooth_frame(48, 48, seed) for seed in range(3)]))
    assert torch.equal(resize_and_crop(frames, preprocess_of(48, "shortest")), frames.permute(0, 3, 1, 2))


def test_normalising_is_what_the_definition_says() -> None:
    images = torch.randint(
        0, 256, (2, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    expected = (images.numpy() / 255 - np.array(MEAN).reshape(3, 1, 1)) / np.array(STD).reshape(3, 1, 1)
    np.testing.assert_allclose(
        normalise(images, preprocess_of(4, "shortest"), torch.float32), expected, atol=1e-6
    )


@pytest.mark.parametrize("count", [1, 5])
def test_frames_do_not_depend_on_what_shares_their_batch(count: int) -> None:
    frames = torch.from_numpy(np.stack([smooth_frame(90, 120, seed) for seed in range(count + 1)]))
    preprocess = preprocess_of(32, "shortest")
    together = resize_and_crop(frames, preprocess)
    alone = resize_and_crop(frames[:1], preprocess)
    assert torch.equal(together[:1], alone)


def views_by_pil(frame: np.ndarray, views: str, short_side: int, size: int) -> list[Image.Image]:
    """Views by their definition: the frame as PIL resizes it, and squares of it."""
    image = Image.fromarray(frame)
    short = min(image.size)
    wide, tall = (short_side * side // short for side in image.size)
    resized = image.resize((wide, tall), Image.Resampling.BICUBIC)
    right, bottom = wide - size, tall - size
    middle = round(right / 2), round(bottom / 2)
    lying = wide >= tall
    corners = {
        "centre": middle,
        "top-left": (0, 0),
        "top-right": (right, 0),
        "bottom-left": (0, bottom),
        "bottom-right": (right, bottom),
        "long-side-start": (0, middle[1]) if lying else (middle[0], 0),
        "long-side-end": (right, middle[1]) if lying else (middle[0], bottom),
    }
    squares = []
    for view in VIEWS[views]:
        left, top = corners[view.removesuffix("-mirrored")]
        square = resized.crop((left, top, left + size, top + size))
        squares.append(ImageOps.mirror(square) if view.endswith("-mirrored") else square)
    return squares


@given(
    height=st.integers(20, 400),
    width=st.integers(20, 400),
    size=st.sampled_from([32, 48, 224]),
    views=st.sampled_from(sorted(VIEWS)),
)
def test_every_view_is_within_three_grey_levels_of_the_same_crop_by_pil(
    height: int, width: int, size: int, views: str
) -> None:
    """Odd sizes, portrait and landscape, and frames that are smaller than the view."""
    frame = smooth_frame(height, width, seed=height * 1000 + width)
    framing = Framing.parse(views, SHORT_SIDE)
    preprocess = preprocess_of(size, "squash", "bilinear")  # which this variant overrules
    [cut] = cut_views(torch.from_numpy(frame.copy())[None], preprocess, framing)
    expected = views_by_pil(frame, views, round(size * 256 / 224), size)
    assert cut.shape == (len(expected), 3, size, size)
    for ours, theirs in zip(cut, expected, strict=True):
        difference = ours.permute(1, 2, 0).numpy().astype(int) - np.asarray(theirs).astype(int)
        assert np.abs(difference).max() <= 3


@given(
    height=st.integers(20, 300),
    width=st.integers(20, 300),
    mode=st.sampled_from(["shortest", "squash", "longest"]),
    variant=st.sampled_from([MODEL, SHORT_SIDE]),
)
def test_a_mirror_image_is_the_other_view_to_the_bit(
    height: int, width: int, mode: str, variant: str
) -> None:
    frames = torch.from_numpy(smooth_frame(height, width, seed=height * 1000 + width).copy())[None]
    preprocess = preprocess_of(48, mode)
    both = cut_views(frames, preprocess, Framing.parse("flip", variant))
    alone = cut_views(frames, preprocess, Framing.parse("1", variant))
    assert torch.equal(both[:, 0], alone[:, 0])
    assert torch.equal(both[:, 1], alone[:, 0].flip(-1))


@given(height=st.integers(20, 300), width=st.integers(20, 300))
def test_one_view_is_the_models_own_transform(height: int, width: int) -> None:
    frames = torch.from_numpy(smooth_frame(height, width, seed=height * 1000 + width).copy())[None]
    preprocess = preprocess_of(48, "shortest")
    cut = cut_views(frames, preprocess, Framing.parse("1", MODEL))
    assert torch.equal(cut, resize_and_crop(frames, preprocess)[:, None])
