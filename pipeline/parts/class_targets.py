"""What a softmax over classes is compared with, for videos of one class and for videos of several."""

from torch import Tensor


def class_targets(labels: Tensor) -> Tensor:
    """Spread a video's target evenly over the classes that it shows.

    Args:
        labels: (B,) classes, which stay as they are; or (B, C) marks, at least one a video.

    Returns:
        What `torch.nn.functional.cross_entropy` takes: (B,) classes, or (B, C) chances, each row of sum 1.

    Example:
        >>> import torch
        >>> class_targets(torch.tensor([[1.0, 0.0, 1.0]])).tolist()
        [[0.5, 0.0, 0.5]]
    """
    return labels if labels.ndim == 1 else labels / labels.sum(dim=-1, keepdim=True)
