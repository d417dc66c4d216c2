# A right `schedule` in the style of heads_loop.
import math


def get_lr(iteration, learning_rate, warmup_iters, decay_iters, min_lr):
    if iteration < warmup_iters:
        lr = learning_rate / warmup_iters * iteration
    elif iteration >= decay_iters:
        lr = min_lr
    else:
        how_far = (iteration - warmup_iters) / (decay_iters - warmup_iters)
        middle = (learning_rate + min_lr) / 2
        height = (learning_rate - min_lr) / 2
        lr = middle + height * math.cos(how_far * math.pi)
    return lr
