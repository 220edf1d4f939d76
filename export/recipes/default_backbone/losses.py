"""What the student is asked to copy: each teacher's direction, and who looks like whom."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def direction_loss(projected: Tensor, target: Tensor) -> Tensor:
    """Mean of 1 - cosine between rows; `target` is L2-normalised, shapes (n, d)."""
    return 1 - (F.normalize(projected) * target).sum(1).mean()


def relation_loss(embedding: Tensor, target: Tensor, temperature: float = 0.1) -> Tensor:
    """Cross-entropy, less its floor, between the rows' similarities as the student and as the teacher see them.

    It shapes the cosines of the embedding itself, which is what imprinting compares. Shapes (n, dim) and (n, d).
    """
    mask = torch.eye(len(embedding), dtype=torch.bool)
    unit = F.normalize(embedding)
    student = (unit @ unit.T / temperature).masked_fill(mask, -1e4).log_softmax(1)
    teacher = (target @ target.T / temperature).masked_fill(mask, -1e4).log_softmax(1)
    return F.kl_div(student, teacher, log_target=True, reduction="batchmean")
