# A right `schedule` in the style of hugging_face.
import math


def _lr_lambda(current_step, *, num_warmup_steps, num_training_steps, min_lr_rate):
    if current_step < num_warmup_steps:
        return float(current_step) / float(max(1, num_warmup_steps))
    progress = float(current_step - num_warmup_steps) / float(max(1, num_training_steps - num_warmup_steps))
    factor = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    return factor * (1 - min_lr_rate) + min_lr_rate


def get_lr(iteration, learning_rate, num_warmup_steps, num_training_steps, min_lr):
    return learning_rate * _lr_lambda(
        iteration,
        num_warmup_steps=num_warmup_steps,
        num_training_steps=num_training_steps,
        min_lr_rate=min_lr / learning_rate,
    )
