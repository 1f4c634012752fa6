"""Features that are kept, and when they are not."""

import torch
from torch import Tensor, nn

from vlp.pipeline.parts.kept_features import KeptFeatures


class Counted:
    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors
        self.times = 0

    def __call__(self) -> Tensor:
        self.times += 1
        return 2 * self.vectors


def test_without_gradients_features_are_computed_once_until_the_vectors_change() -> None:
    vectors, kept = nn.Parameter(torch.ones(3)), KeptFeatures()
    compute = Counted(vectors)
    with torch.no_grad():
        assert torch.equal(kept.of(vectors, compute), kept.of(vectors, compute))
        assert compute.times == 1
        vectors.add_(1)
        assert kept.of(vectors, compute).tolist() == [4, 4, 4]
    assert compute.times == 2


def test_with_gradients_features_are_computed_each_time() -> None:
    vectors, kept = nn.Parameter(torch.ones(3)), KeptFeatures()
    compute = Counted(vectors)
    for times in (1, 2):
        assert kept.of(vectors, compute).requires_grad
        assert compute.times == times


def test_what_stands_in_for_a_parameter_is_never_kept() -> None:
    vectors, kept = torch.ones(3), KeptFeatures()
    compute = Counted(vectors)
    with torch.no_grad():
        kept.of(vectors, compute)
        kept.of(vectors, compute)
    assert compute.times == 2


def test_another_parameter_has_features_of_its_own() -> None:
    kept = KeptFeatures()
    with torch.no_grad():
        for value in (1.0, 3.0):
            vectors = nn.Parameter(torch.full((2,), value))
            assert kept.of(vectors, Counted(vectors)).tolist() == [2 * value, 2 * value]
