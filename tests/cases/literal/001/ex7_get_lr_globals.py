# Document 001, exercise 7: "the learning rate schedule implemented in `get_lr`", over globals, of one argument.
import math


learning_rate = 1e-3
warmup_iters = 100
lr_decay_iters = 2000
min_lr = 1e-4


def get_lr(it):
    # 1) linear warmup
    if it < warmup_iters:
        return learning_rate * (it + 1) / (warmup_iters + 1)
    # 2) after the decay
    if it > lr_decay_iters:
        return min_lr
    # 3) cosine between
    decay_ratio = (it - warmup_iters) / (lr_decay_iters - warmup_iters)
    coeff = 0.5 * (1.0 + math.cos(math.pi * decay_ratio))
    return min_lr + coeff * (learning_rate - min_lr)
