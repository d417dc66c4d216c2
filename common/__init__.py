"""What the lessons share that is no lesson: text, evaluation, flags, progress, training, checkpoints, clean exits."""
