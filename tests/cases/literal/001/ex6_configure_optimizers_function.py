# Document 001, exercise 6, as a function of the model (the starter `optimizers`).
# "The first group consists of all parameters with at least 2 dimensions"; "does not use weight decay"
import torch


def configure_optimizers(model, weight_decay, learning_rate, betas):
    group1, group2 = [], []
    for parameter in model.parameters():
        if len(parameter.shape) >= 2:
            group1.append(parameter)
        else:
            group2.append(parameter)
    return torch.optim.AdamW(
        [
            dict(params=group1, weight_decay=weight_decay),
            dict(params=group2, weight_decay=0.0),
        ],
        lr=learning_rate,
        betas=betas,
    )
