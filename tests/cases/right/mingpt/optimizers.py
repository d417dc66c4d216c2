# A right `optimizers` in the style of mingpt.
import torch


def configure_optimizers(model, weight_decay, learning_rate, betas):
    decay = set()
    no_decay = set()
    for pn, p in model.named_parameters():
        if p.dim() >= 2:
            decay.add(pn)
        else:
            no_decay.add(pn)
    param_dict = {pn: p for pn, p in model.named_parameters()}
    assert len(decay & no_decay) == 0
    assert len(param_dict.keys() - (decay | no_decay)) == 0
    optim_groups = [
        {"params": [param_dict[pn] for pn in sorted(list(decay))], "weight_decay": weight_decay},
        {"params": [param_dict[pn] for pn in sorted(list(no_decay))], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(optim_groups, lr=learning_rate, betas=betas)
