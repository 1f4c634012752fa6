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
        logits: (B, B), video i against the sentence of video j.
        labels: (B,) classes: i matches j where they are equal.
        variant: how a row's target is spread.

    Returns:
        A scalar: the mean of both directions.
    """
    target = matching_targets(labels, variant=variant).to(logits.dtype)
    rows, columns = (
        F.kl_div(scores.log_softmax(dim=-1), target, reduction="batchmean") for scores in (logits, logits.T)
    )
    return (rows + columns) / 2


def matching_targets(labels: Tensor, *, variant: Literal["paper", "official"]) -> Tensor:
    """Give (B, B) targets, of which every row sums to 1; they are the same for rows and columns."""
    match = (labels[:, None] == labels).float()
    if variant == "official":
        return (_SHARPNESS * match).softmax(dim=-1)
    return match / match.sum(dim=-1, keepdim=True)
