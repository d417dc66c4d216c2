"""How a model is trained from task 7 on: every field that the loop in common/train.py uses, and the presets."""

from dataclasses import dataclass
from typing import Any, ClassVar

from common.run import UserError


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The base of the Configs of tasks 7 to 9, which add the model's sizes. The defaults are the documented run's.

    One step is one update of the weights; the printed log calls it an epoch, as the course does.
    """

    batch_size: int = 64  # windows a step
    block_size: int = 256  # characters a window, and the longest T of the model
    learning_rate: float = 3e-4  # AdamW's, at its peak
    max_steps: int = 5000
    eval_interval: int = 500  # steps between two lines of the log; 0: no such lines
    eval_batches: int = 200  # random batches a loss is the mean of
    whole_split: bool = False  # True: losses over the whole validation text instead of random batches
    eval_every: int = 1  # of that text, during the run, every block or every n-th; at the end, all of it
    accumulate: int = 1  # batches a step, their gradients averaged
    optimizer: str = "adamw"  # or "muon": for the blocks' matrices, and AdamW for the rest
    muon_learning_rate: float = 0.02  # Muon's, at its peak
    weight_decay: float = 0.01  # of matrices; biases and norms have none
    grad_clip: float = 0.0  # the largest norm of the gradient; 0: any
    warmup: float = 0.0  # the share of the steps in which the learning rate rises
    cooldown: float = 0.0  # the share of the steps, at the end, in which it falls to zero
    first_window: int = 0  # characters a training window has at first, doubled up to block_size; 0: block_size
    init_std: float = 0.0  # of normal initial weights; 0: PyTorch's own
    laptop: ClassVar[dict[str, Any]] = {}  # what a task changes in the preset laptop

    def __post_init__(self) -> None:
        """Raise UserError for sizes that do not make a model."""
        check_sizes(self)


def check_sizes(config: Any) -> None:
    """Raise UserError for the sizes of a Config of any task that make no model."""
    sizes = {name: getattr(config, name, 1) for name in ("batch_size", "block_size", "n_embd", "n_head", "n_layer")}
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise UserError(f"{name}: expected a whole number from 1, got {size}")
    if sizes["n_embd"] % sizes["n_head"]:
        raise UserError(f"n_embd {sizes['n_embd']} does not divide among n_head {sizes['n_head']}")


# Found on parts of the training text (docs/training.md), never on the validation text. Without dropout: a model this
# small reads the text a few times only, and does not learn it by heart.
LAPTOP = {
    "batch_size": 12,
    "n_embd": 192,
    "n_head": 3,
    "n_layer": 4,
    "dropout": 0.0,
    "init_std": 0.03,
    "optimizer": "muon",
    "learning_rate": 5e-3,
    "weight_decay": 0.1,
    "grad_clip": 0.3,
    "warmup": 1 / 30,
    "cooldown": 0.9,
    "max_steps": 2200,
    "eval_interval": 550,
    "whole_split": True,
    "eval_every": 5,
}

# Name → what it changes in a Config. `long` made the weights that task 8 writes with.
PRESETS: dict[str, dict] = {
    "documented": {},
    "laptop": LAPTOP,
    "long": LAPTOP | {"batch_size": 16, "dropout": 0.1, "max_steps": 6000, "eval_interval": 1000},
}


def preset_changes(config_class: Any, name: str, presets: dict[str, dict] = PRESETS) -> dict[str, Any]:
    """What a preset changes in a task's Config."""
    return presets[name] | (config_class.laptop if name == "laptop" else {})
