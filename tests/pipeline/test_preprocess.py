"""Batched uint8 preprocessing against the model's own PIL transform."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vlp.pipeline.encoder_spec import Preprocess
from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.preprocess import normalise, resize_and_crop

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
