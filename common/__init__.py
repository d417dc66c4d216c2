"""What the lessons share: text, evaluation, flags, progress, training, checkpoints, clean exits."""

import sys
import warnings

if sys.version_info < (3, 11):  # noqa: UP036  here nothing yet is too new to be read
    sys.exit("This needs Python 3.11 or later, and this is Python %d.%d." % sys.version_info[:2])  # noqa: UP031

# Nothing here uses NumPy. PyTorch says on import where it is absent.
warnings.filterwarnings("ignore", message="Failed to initialize NumPy", category=UserWarning)
