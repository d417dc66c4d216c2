"""What the lessons share that is no lesson: text, evaluation, flags, progress, training, checkpoints, clean exits."""

import warnings

# Nothing here uses NumPy. PyTorch says on import where it is absent.
warnings.filterwarnings("ignore", message="Failed to initialize NumPy", category=UserWarning)
