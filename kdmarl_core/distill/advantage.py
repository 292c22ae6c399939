"""Distilled advantage (of the student's own actions under the expert's frozen critic) and the imitability filter."""

from __future__ import annotations

import torch
from torch import Tensor


def advantage_loss(log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, clip: float = 0.2) -> Tensor:
    """Clipped surrogate (Schulman et al., arXiv 1707.06347, equation 7) on the student's own actions.

    Args:
        log_prob: (...) of the students' actions under their current policies.
        old_log_prob: (...) when they were taken.
        advantage: (...) from the expert's critic, normalised.
        clip: of the probability ratio.

    Returns:
        A scalar.
    """
    ratio = (log_prob - old_log_prob).exp()
    return -torch.min(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()


def imitability(divergence: Tensor, sharpness: float) -> Tensor:
    """Weight of the expert's advice at each state: e^(−sharpness · divergence).

    After ADVISOR (Weihs et al., arXiv 2007.12173, equation 2): ``divergence`` is how far a head that only imitates
    is from the expert there. Advice that not even that head can follow is not visible in the student's own sensors.

    Args:
        divergence: (...) KL(expert ‖ imitating head) [nat].
        sharpness: 0 trusts all advice.
    """
    return torch.exp(-sharpness * divergence.detach().clamp(min=0))
