# A right `optimizers` in the style of heads_loop.
import torch


def configure_optimizers(model, weight_decay, learning_rate, betas):
    seen = []
    groups = []
    for p in model.parameters():
        if any(p is q for q in seen):
            continue
        seen.append(p)
        if len(p.size()) >= 2:
            groups.append({"params": [p], "weight_decay": weight_decay})
        else:
            groups.append({"params": [p], "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas)
