"""Optimizers and their schedule: what a step of training does with the gradient.

To add an optimizer, add its name and its parameters to `configure_optimizers`.
"""

import math

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
    first = config.first_window or config.block_size
    lengths = (config.block_size // first).bit_length()
    if not lengths or first << (lengths - 1) != config.block_size:
        raise UserError(f"first_window: {first}, doubled again and again, is never {config.block_size}")
    return first << (step * lengths // config.max_steps)


def block_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The weight matrices of a model's `blocks`: what Muon trains."""
    return [parameter for parameter in model.get_submodule("blocks").parameters() if parameter.ndim == 2]


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
    Raises UserError for another optimizer's name, and where this PyTorch has no Muon (it came with 2.9).
    """
    if config.optimizer not in ("adamw", "muon"):
        raise UserError(f"optimizer: expected adamw or muon, got {config.optimizer!r}")
    muon: list[nn.Parameter] = []
    if config.optimizer == "muon":
        if not hasattr(torch.optim, "Muon"):
            raise UserError(f"optimizer muon needs PyTorch 2.9 or later; this is {torch.__version__}")
        muon = block_matrices(model) if matrices is None else matrices
    taken = set(map(id, muon))
    rest = [parameter for parameter in model.parameters() if id(parameter) not in taken]  # tied weights come once
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)]
    if muon:
        lr, decay = config.muon_learning_rate, config.weight_decay
        optimizers.append(torch.optim.Muon(muon, lr=lr, weight_decay=decay, momentum=0.95))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers
