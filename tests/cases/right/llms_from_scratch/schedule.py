# A right `schedule` in the style of llms_from_scratch.
import math


def get_lr(global_step, peak_lr, warmup_steps, total_steps, min_lr, initial_lr=0.0):
    if global_step < warmup_steps:
        lr_increment = (peak_lr - initial_lr) / warmup_steps
        return initial_lr + global_step * lr_increment
    progress = min(1.0, (global_step - warmup_steps) / (total_steps - warmup_steps))
    return min_lr + (peak_lr - min_lr) * 0.5 * (1 + math.cos(math.pi * progress))
