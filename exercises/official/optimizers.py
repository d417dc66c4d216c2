"""An optimizer with weight decay where it belongs.

Paper: Decoupled Weight Decay Regularization (AdamW), https://arxiv.org/abs/1711.05101.
"""

import torch


def configure_optimizers(model, weight_decay, learning_rate, betas):
    """torch.optim.AdamW over all parameters of a model, each once, also one that two layers share.

    Parameters of two or more axes (matrices, embeddings) decay by weight_decay; the others (biases, norms)
    do not decay. As a method of GPT it is as good: the model is its self.
    """
    parameters = list(model.parameters())  # a shared one comes once
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas)
