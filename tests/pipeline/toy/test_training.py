import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from vlp.pipeline.toy import objective, train_clip
from vlp.pipeline.toy.stills import make_batch
from vlp.pipeline.toy.train_clip import Run, Settings, learning_rate, start, train, train_step
from vlp.pipeline.toy.world import SHAPES

TINY: dict[str, Any] = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 48, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
SETTINGS = Settings(steps=6, batch_size=8, warmup_steps=2, seed=3)


def everything(run: Run) -> dict[str, torch.Tensor]:
    moments = run.optimiser.state_dict()["state"]
    found = {f"{index}.{name}": state for index, states in moments.items() for name, state in states.items()}
    return found | run.clip_model.state_dict() | run.heads.state_dict()


def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(SETTINGS, tmp_path / "whole", model_config=TINY)

    def stopping_step(run: Run, settings: Settings) -> dict[str, float]:
        if run.step == 5:
            raise KeyboardInterrupt
        return train_step(run, settings)

    with monkeypatch.context() as patch:
        patch.setattr(train_clip, "train_step", stopping_step)
        with pytest.raises(KeyboardInterrupt):
            train(SETTINGS, tmp_path / "cut", save_every=2, model_config=TINY)
    resumed = train(SETTINGS, tmp_path / "cut", model_config=TINY)
    assert whole.step == resumed.step == 6
    expected, found = everything(whole), everything(resumed)
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def test_a_finished_training_takes_no_further_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(SETTINGS, tmp_path, model_config=TINY)
    monkeypatch.delattr(train_clip, "train_step")
    assert train(SETTINGS, tmp_path, model_config=TINY).step == 6


def test_batches_depend_on_seed_and_step_alone() -> None:
    first, again, later = make_batch(1, 4, size=4), make_batch(1, 4, size=4), make_batch(1, 5, size=4)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.tokens, again.tokens)
    assert not torch.equal(first.images, later.images)


def test_the_learning_rate_warms_up_in_a_line_and_falls_to_nothing() -> None:
    settings = Settings(steps=1000, warmup_steps=10, peak_lr=2.0)
    assert learning_rate(settings, 0) == pytest.approx(0.2)
    assert learning_rate(settings, 500) == pytest.approx(1.0)
    assert learning_rate(settings, 1000) == pytest.approx(0, abs=1e-9)


def test_the_shortened_towers_equal_open_clip() -> None:
    clip_model = start(SETTINGS, TINY).clip_model.eval()
    batch = make_batch(0, 5, size=16)
    padded = F.pad(batch.tokens, (0, 77 - batch.tokens.shape[1]))
    with torch.inference_mode():
        images, texts = clip_model.encode_image(batch.images), clip_model.encode_text(padded)
        torch.testing.assert_close(objective.encode_images(clip_model, batch.images), images)
        torch.testing.assert_close(objective.encode_short_text(clip_model, batch.tokens[:, :77]), texts)


def test_captions_true_of_another_image_are_no_negatives() -> None:
    images, texts = torch.eye(3), F.normalize(torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 1, 1]]), dim=1)
    true = torch.eye(3, dtype=torch.bool)
    true[0, 1] = True
    logits = (4 * images @ texts.T).double()
    rows = [
        math.log(sum(math.exp(logits[i, j]) for j in range(3) if i == j or not true[i, j])) for i in range(3)
    ]
    columns = [
        math.log(sum(math.exp(logits[i, j]) for i in range(3) if i == j or not true[i, j])) for j in range(3)
    ]
    expected = sum(rows[k] + columns[k] - 2 * logits[k, k].item() for k in range(3)) / 6
    found = objective.caption_loss(images, texts, torch.tensor(4.0), true)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_turns_that_look_alike_cost_the_same() -> None:
    torch.manual_seed(0)
    heads, embeddings = objective.Heads(8), torch.randn(len(SHAPES), 8)
    shapes = torch.arange(len(SHAPES))
    pose = torch.cat((torch.zeros(len(SHAPES), 3), torch.rand(len(SHAPES), 1)), dim=1)
    turned = pose.clone()
    turned[:, 3] += 2 * math.pi / objective.TURNS_ALIKE.clamp(min=1)
    losses = [objective.pose_loss(heads, embeddings, each, shapes).item() for each in (pose, turned)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_attributes_without_a_word_cost_nothing() -> None:
    heads, embeddings = objective.Heads(8), torch.randn(4, 8)
    attributes = torch.tensor([[0, 0, 0, 0, 0], [1, 1, -1, 1, 1], [2, 2, 1, -1, 2], [3, 3, 2, 0, 3]])
    losses = objective.attribute_losses(heads, embeddings, attributes)
    for column, kept in ((2, [0, 2, 3]), (3, [0, 1, 3])):
        expected = F.cross_entropy(heads.attributes[column](embeddings[kept]), attributes[kept, column])
        assert losses[column].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_exported_model_is_half_precision_and_names_its_architecture(tmp_path: Path) -> None:
    run = start(SETTINGS, TINY)
    train_clip.export(run.clip_model, tmp_path, model_config=TINY)
    weights = load_file(tmp_path / "open_clip_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert set(weights) == set(run.clip_model.state_dict())
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    assert config["model_cfg"] == TINY
    assert config["preprocess_cfg"]["size"] == 48


def test_the_command_trains_and_exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_clip, "train", lambda settings, _: start(settings))
    threads = torch.get_num_threads()
    monkeypatch.setattr(
        "sys.argv", ["train_clip", "--out", str(tmp_path), "--steps", "1", "--threads", str(threads)]
    )
    train_clip.main()
    assert (tmp_path / "open_clip_model.safetensors").is_file()
