"""A learning rate that rises and falls.

Papers: linear warm-up, https://arxiv.org/abs/1706.03762, section 5.3; cosine decay, https://arxiv.org/abs/1608.03983.
"""

import math


def get_lr(iteration, learning_rate, warmup_iters, decay_iters, min_lr):
    """The learning rate of an iteration, counted from 0: a linear rise, then half a wave of the cosine down.

    The rise begins at 0 or one step above and takes equal steps to learning_rate, first reached at iteration
    warmup_iters (which may be 0). The fall reaches min_lr at iteration decay_iters (> warmup_iters), not
    before, and stays there.
    """
    if iteration < warmup_iters:
        return learning_rate * (iteration + 1) / (warmup_iters + 1)
    progress = min(1.0, (iteration - warmup_iters) / (decay_iters - warmup_iters))  # 0 at the peak, 1 at the end
    return min_lr + (learning_rate - min_lr) * (1 + math.cos(math.pi * progress)) / 2
