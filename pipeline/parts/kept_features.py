"""Text features that depend on learnt vectors alone: computed once in evaluation, and anew when the vectors change."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class KeptFeatures:
    """The last features computed from a parameter."""

    def __init__(self) -> None:
        self._kept: tuple[Tensor, int, Tensor] | None = None

    def of(self, vectors: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        """Give the features, kept ones where nothing has changed and no gradient is wanted.

        Args:
            vectors: the parameter that they depend on. What stands in for one, as under `torch.func.functional_call`,
                has no version to tell a change by: features are computed each time.
            compute: computes them.
        """
        stands_in = not isinstance(vectors, nn.Parameter) or vectors.is_inference()
        if torch.is_grad_enabled() or stands_in:
            return compute()
        if self._kept is None or self._kept[0] is not vectors or self._kept[1] != vectors._version:
            self._kept = (vectors, vectors._version, compute())
        return self._kept[2]
