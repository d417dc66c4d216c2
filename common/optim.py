"""Optimizers and their schedule: what a step of training does with the gradient.

To add an optimizer, add its name and its parameters to `configure_optimizers`.
"""

import math
from collections import defaultdict

from common import precision
from common.config import TrainingConfig
from common.run import UserError

import torch
from torch import nn


def get_lr(step: int, config: TrainingConfig) -> float:
    """The share of the peak learning rate at a step: a linear rise, a plateau, a linear fall."""
    warmup, cooldown = round(config.warmup * config.max_steps), round(config.cooldown * config.max_steps)
    rise = (step + 1) / (warmup + 1)
    fall = (config.max_steps - step) / (cooldown + 1)
    return min(1.0, rise, fall)


def get_window(step: int, config: TrainingConfig) -> int:
    """The length of a training window at a step: `first_window`, doubled at equal intervals up to block_size.

    Source: sequence length warm-up, https://arxiv.org/abs/2108.06084.
    Raises UserError where doubling does not lead to block_size.
    """
    first = min(config.first_window or config.block_size, config.block_size)
    lengths = (config.block_size // first).bit_length()
    if not lengths or first << (lengths - 1) != config.block_size:
        raise UserError(f"first_window: {first}, doubled again and again, is never {config.block_size}")
    return first << (step * lengths // config.max_steps)


class Muon(torch.optim.Optimizer):
    """SGD with momentum, its update made orthogonal: all directions of a matrix learn at one speed.

    Each parameter has two dimensions. Unlike `torch.optim.Muon`, the products are of the device's fast type, and
    matrices of one shape go through them in one batch.
    Sources: https://kellerjordan.github.io/posts/muon/, https://arxiv.org/abs/2502.16982
    """

    def __init__(self, params, lr: float, weight_decay: float = 0.1, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            same_shape = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    same_shape[p.shape].append(p)
            for (rows, columns), matrices in same_shape.items():
                updates = []
                for p in matrices:
                    if not self.state[p]:
                        self.state[p]["momentum_buffer"] = torch.zeros_like(p)
                    buffer = self.state[p]["momentum_buffer"].lerp_(p.grad, 1 - group["momentum"])
                    updates.append(p.grad.lerp(buffer, group["momentum"]))
                rate = group["lr"] * max(1, rows / columns) ** 0.5
                for p, update in zip(matrices, orthogonalize(torch.stack(updates)), strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)


def orthogonalize(matrices: torch.Tensor) -> torch.Tensor:
    """The orthogonal matrices next to some (N, rows, columns), roughly: singular values come out near 1.

    Five Newton–Schulz steps, in the type of `precision.product_dtype`.
    """
    x = matrices.to(precision.product_dtype(matrices.device))
    if tall := x.shape[1] > x.shape[2]:
        x = x.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=-4.775, alpha=2.0315), x, beta=3.4445)
    return x.mT if tall else x


def branch_ends(model: nn.Module) -> list[nn.Linear]:
    """The layers that add to the stream: the last linear layer of each branch of each of a model's `blocks`."""
    branches = [branch for block in model.get_submodule("blocks").children() for branch in block.children()]
    linear = [[layer for layer in branch.modules() if isinstance(layer, nn.Linear)] for branch in branches]
    return [layers[-1] for layers in linear if layers]


def initialize(model: nn.Module, std: float) -> None:
    """Normal weights of standard deviation `std`, smaller where a branch ends, and zero biases, as in GPT-2.

    The outputs of all branches add up, so each starts 1/√(number of branches) as large.
    """
    ends = branch_ends(model)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std / math.sqrt(len(ends)) if module in ends else std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def configure_optimizers(
    model: nn.Module, config: TrainingConfig, matrices: list[nn.Parameter] | None = None
) -> list[torch.optim.Optimizer]:
    """AdamW, with weight decay on matrices only; with "muon", Muon for `matrices`, by default the blocks'.

    Each group keeps its peak learning rate as `peak`.
    Sources: AdamW, https://arxiv.org/abs/1711.05101; Muon, https://arxiv.org/abs/2502.16982.
    Raises UserError for another optimizer's name.
    """
    if config.optimizer not in ("adamw", "muon"):
        raise UserError(f"optimizer: expected adamw or muon, got {config.optimizer!r}")
    if matrices is None and config.optimizer == "muon":
        matrices = [p for p in model.get_submodule("blocks").parameters() if p.ndim == 2]
    muon = matrices if matrices and config.optimizer == "muon" else []
    taken = set(map(id, muon))
    rest = [parameter for parameter in model.parameters() if id(parameter) not in taken]  # tied weights come once
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)]
    if muon:
        optimizers.append(Muon(muon, lr=config.muon_learning_rate, weight_decay=config.weight_decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers
