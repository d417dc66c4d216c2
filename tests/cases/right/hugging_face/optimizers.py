# A right `optimizers` in the style of hugging_face.
import torch


def get_parameter_names(model, wanted):
    return [name for name, p in model.named_parameters() if wanted(p)]


def configure_optimizers(model, weight_decay, learning_rate, betas):
    decay_parameters = get_parameter_names(model, lambda p: p.ndim > 1)
    optimizer_grouped_parameters = [
        {
            "params": [p for n, p in model.named_parameters() if n in decay_parameters and p.requires_grad],
            "weight_decay": weight_decay,
        },
        {
            "params": [p for n, p in model.named_parameters() if n not in decay_parameters and p.requires_grad],
            "weight_decay": 0.0,
        },
    ]
    optimizer_kwargs = {"betas": betas, "eps": 1e-8, "lr": learning_rate}
    return torch.optim.AdamW(optimizer_grouped_parameters, **optimizer_kwargs)
