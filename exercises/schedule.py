"""A learning rate that rises and falls: yours to write.

Large steps at the start spoil what Adam has not measured yet, large ones at the end never settle.
What shape has the learning rate between?

Check it: python -m check schedule FILE; hints: python -m check schedule --hint 2
"""

import math


def get_lr(iteration, learning_rate, warmup_iters, decay_iters, min_lr):
    """The learning rate of an iteration, counted from 0: a linear rise, then half a wave of the cosine down.

    The rise begins at 0 or one step above and takes equal steps to learning_rate, first reached at iteration
    warmup_iters (which may be 0). The fall reaches min_lr at iteration decay_iters (> warmup_iters), not
    before, and stays there.
    """
    raise NotImplementedError("write get_lr")
