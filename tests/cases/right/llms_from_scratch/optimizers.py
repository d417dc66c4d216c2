# A right `optimizers` in the style of llms_from_scratch.
import torch


def configure_optimizers(model, weight_decay, learning_rate, betas):
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.dim() >= 2], lr=learning_rate, betas=betas, weight_decay=weight_decay
    )
    optimizer.add_param_group({"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0})
    return optimizer
