# A right `schedule` in the style of torch_scheduler.
import torch


def get_lr(iteration, learning_rate, warmup_iters, decay_iters, min_lr):
    """PyTorch's own cosine and linear rise, asked step by step."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=learning_rate)
    if iteration < warmup_iters:
        return learning_rate * (iteration + 1) / (warmup_iters + 1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, decay_iters - warmup_iters, eta_min=min_lr)
    for _ in range(min(iteration, decay_iters) - warmup_iters):
        optimizer.step()
        scheduler.step()
    return scheduler.get_last_lr()[0]
