"""Videos of a batch against sentences of the batch, several of which may be right: the loss of ActionCLIP.

Paper: ActionCLIP (Wang et al., 2021, arXiv:2109.08472), equations 2 to 4. Original code: sallymmx/ActionCLIP@31c34df,
train.py, utils/KLLoss.py.

"paper" spreads a row's target evenly over its right answers; "official" takes the softmax of ten times their marks,
which leaves the others a little. Equation 4 prints KL(p, q) of predictions p and targets q; the code computes
KL(q || p), which has a gradient for targets with zeros, and is what is done here.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

_SHARPNESS = 10.0


def matching_loss(logits: Tensor, labels: Tensor, *, variant: Literal["paper", "official"]) -> Tensor:
    """Average KL(target || softmax) over the rows, and over the columns, of a batch's similarities (eq. 4).

    Args:
        logits: (B, B), video i against the sentence of video j; or (B, C), against that of class j.
        labels: (B,) classes: i matches j where they are equal; or (B, C) marks, where i matches j.
        variant: how a row's target is spread.

    Returns:
        A scalar: the mean of both directions. Of marks, columns that no video matches have no target, and no part.
    """
    if labels.ndim == 1:
        match = (labels[:, None] == labels).to(logits.dtype)
        directions = ((logits, match), (logits.T, match))
    else:
        match, matched = labels.to(logits.dtype), labels.any(dim=0)
        directions = ((logits, match), (logits.T[matched], match.T[matched]))
    rows, columns = (
        F.kl_div(scores.log_softmax(dim=-1), matching_targets(marks, variant=variant), reduction="batchmean")
        for scores, marks in directions
    )
    return (rows + columns) / 2


def matching_targets(match: Tensor, *, variant: Literal["paper", "official"]) -> Tensor:
    """Spread every row of (n, m) marks, at least one a row, to chances of sum 1."""
    if variant == "official":
        return (_SHARPNESS * match).softmax(dim=-1)
    return match / match.sum(dim=-1, keepdim=True)
