"""What every script needs besides its model: text, evaluation, flags, progress, clean exits."""

import warnings

# Nothing here uses NumPy; PyTorch warns on import when it is absent.
warnings.filterwarnings("ignore", message="Failed to initialize NumPy", category=UserWarning)
