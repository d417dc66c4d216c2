"""An optimizer with weight decay where it belongs: yours to write.

Decay pulls a weight to zero at each step. For which parameters would zero be a harmless place, and
for which would it switch something off?

Check it: python -m check optimizers FILE; hints: python -m check optimizers --hint 2
"""

import torch


def configure_optimizers(model, weight_decay, learning_rate, betas):
    """torch.optim.AdamW over all parameters of a model, each once, also one that two layers share.

    Parameters of two or more axes (matrices, embeddings) decay by weight_decay; the others (biases, norms)
    do not decay. As a method of GPT it is as good: the model is its self.
    """
    raise NotImplementedError("write configure_optimizers")
