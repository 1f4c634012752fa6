"""The figures of the codecs, where they are known beforehand."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from vlp.pipeline.benchmarks.pixels import bench_pixels
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.open_clip_port import open_clip


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> FrozenEncoder:
    """Random weights, and an input of 224: exactly a crop of what is stored."""
    folder = tmp_path_factory.mktemp("clip")
    model = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 224, "layers": 1, "width": 32, "head_width": 16, "patch_size": 32},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": model, "preprocess_cfg": preprocess})
    )
    torch.manual_seed(0)
    tensors = {name: tensor.contiguous() for name, tensor in open_clip.CLIP(**model).state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    return load_encoder(EncoderSpec(f"local-dir:{folder}", ""), device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "a.avi"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for _ in range(6):
            coarse = Image.fromarray(rng.integers(0, 256, (15, 20, 3), dtype=np.uint8))
            frame = np.asarray(coarse.resize((160, 120), Image.Resampling.BILINEAR))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_without_loss_features_are_the_same_and_with_jpeg_nearly(video: Path, encoder: FrozenEncoder) -> None:
    figures = bench_pixels([video], encoder, num_frames=3)
    assert (figures.num_videos, figures.num_frames) == (1, 3)
    jpeg, lossless = figures.codecs["jpeg"], figures.codecs["lossless"]
    assert lossless.min_cosine == pytest.approx(1, abs=1e-6)
    assert 0.999 < jpeg.min_cosine <= jpeg.mean_cosine < 1
    raw_bytes = 256 * 341 * 3
    for codec in (jpeg, lossless):
        assert codec.bytes_per_frame * codec.raw_over_stored == pytest.approx(raw_bytes)
        assert min(codec.encode_frames_per_second, codec.decode_frames_per_second) > 0
    assert jpeg.raw_over_stored > lossless.raw_over_stored > 1


def test_without_a_video_that_can_be_decoded_there_are_no_figures(
    tmp_path: Path, encoder: FrozenEncoder
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(PipelineError, match="none of the videos can be decoded"):
        bench_pixels([tmp_path / "text.mp4"], encoder, num_frames=3)
