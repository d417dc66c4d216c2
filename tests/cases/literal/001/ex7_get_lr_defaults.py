# Document 001, exercise 7: "the learning rate schedule implemented in `get_lr`", the globals as defaults.
import math


LEARNING_RATE, WARMUP_ITERS, LR_DECAY_ITERS, MIN_LR = 1e-3, 100, 2000, 1e-4


def get_lr(it, learning_rate=LEARNING_RATE, warmup_iters=WARMUP_ITERS, lr_decay_iters=LR_DECAY_ITERS, min_lr=MIN_LR):
    if it < warmup_iters:
        return learning_rate * (it + 1) / (warmup_iters + 1)
    progress = min(1.0, (it - warmup_iters) / (lr_decay_iters - warmup_iters))
    return min_lr + (learning_rate - min_lr) * math.cos(0.5 * math.pi * progress) ** 2
