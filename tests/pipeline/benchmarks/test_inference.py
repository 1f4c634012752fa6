"""The inference bench on the toy CLIP: what it counts, against sizes."""

from typing import Any

import pytest

from vlp.pipeline.benchmarks.inference import UntrainedClip, bench_inference
from vlp.pipeline.encoders import choose_device
from vlp.pipeline.errors import DeviceUnavailable, UnknownModel
from vlp.pipeline.methods import METHODS
from vlp.pipeline.settings import resolve

TOY_PARAMETERS = sum(p.numel() for p in UntrainedClip("toy", choose_device("cpu")).clip.parameters())


def measured(method: str, *values: str, **options: Any) -> Any:
    settings = resolve(method, overrides=values)
    return bench_inference(settings, model="toy", num_videos=1, device="cpu", **{"num_classes": 3, **options})


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_counted_and_timed(method: str) -> None:
    result = measured(method)
    assert result.num_parameters >= TOY_PARAMETERS + result.num_parameters_trained
    assert result.gflops == pytest.approx(
        result.gflops_images + result.gflops_classes + result.gflops_per_clip
    )
    assert result.gflops_images > 0
    assert result.gflops_per_clip > 0
    assert min(result.videos_per_second, result.videos_per_second_from_cache) > 0


def test_images_cost_as_many_times_more_as_there_are_frames() -> None:
    four, eight = (measured("motion_prompts", f"recipe.num_frames={frames}") for frames in (4, 8))
    assert eight.gflops_images == pytest.approx(2 * four.gflops_images)
    assert (four.num_frames, eight.num_frames) == (4, 8)


def test_the_classes_of_prompts_that_follow_the_video_are_paid_for_with_every_clip() -> None:
    """The text tower over all classes is in what a clip adds; with prompts for all videos it is paid for once."""
    following, shared = (
        measured("motion_prompts", f"method.prompts={kind}", "method.communication=false", num_classes=50)
        for kind in ("motion", "static")
    )
    assert following.gflops_per_clip > 2 * shared.gflops_per_clip
    assert shared.gflops_classes > 2 * following.gflops_classes


def test_a_linear_classifier_costs_its_matrix() -> None:
    result = measured("linear_probe", num_classes=5)
    assert result.gflops_per_clip == pytest.approx(2 * 128 * 5 / 1e9)


def test_models_and_devices_that_are_not_there_are_refused() -> None:
    with pytest.raises(UnknownModel, match="ViT-B-17"):
        bench_inference(resolve("zero_shot"), model="ViT-B-17")
    with pytest.raises(DeviceUnavailable):
        bench_inference(resolve("zero_shot"), model="toy", device="cuda:99")
