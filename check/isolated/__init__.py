"""What the process has in which a learner's code runs, apart from PyTorch and common."""
