"""What the studies share: models with their optimizers, training by the clock, the models of checkpoints."""

import importlib
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from common import track
from common.checkpoint import load, put_weights
from common.config import PRESETS, TrainingConfig, preset_changes
from common.data import Tokens
from common.evaluate import Score
from common.optim import configure_optimizers, initialize
from common.precision import low_precision
from common.run import UserError
from common.safetensors import load_safetensors
from common.train import update

import torch
from torch import nn

PARTS = 1000  # of the time: a schedule by the clock, because nobody knows the number of steps before
# The registry: a checkpoint's model_name → the module that defines its Config and GPT.
MODELS = {name: name for name in (*(f"task0{n}" for n in range(1, 8)), "task09_rope", "record.speedrun")}


def preset(module: Any, name: str = "laptop", **changes: Any) -> Any:
    """The Config of a lesson or study, by the name of its preset, with fields changed."""
    presets = getattr(module, "PRESETS", PRESETS)
    return replace(module.Config(), **preset_changes(module.Config, name, presets) | changes)


@dataclass
class Run:
    """A model in training."""

    model: Any
    config: Any
    optimizers: list[torch.optim.Optimizer]
    precision: AbstractContextManager

    def step(self, corpus: Tokens, step: int) -> torch.Tensor:
        """One update; the loss of its last batch, nats per token."""
        return update(self.model, corpus, self.config, self.optimizers, step, self.precision)


def build(
    model_class: Any,
    config: Any,
    vocab_size: int,
    seed: int,
    matrices: list[str] | None = None,
    bfloat16: bool = True,
    tied: bool = False,
) -> Run:
    """A seeded model in training mode, with its optimizers.

    `matrices`: names of the submodules whose matrices Muon trains (default: the blocks). `bfloat16`: for matrix
    products, where the processor has instructions for them. `tied`: the output layer shares the token embedding.
    """
    torch.manual_seed(seed)
    model = model_class(config, vocab_size)
    if tied:
        model.lm_head.weight = model.token_embedding.weight
    if config.init_std:
        initialize(model, config.init_std)
    chosen = None
    if matrices is not None:
        chosen = [p for name in matrices for p in model.get_submodule(name).parameters() if p.ndim == 2]
    precision = low_precision(torch.device("cpu")) if bfloat16 else torch.autocast("cpu", enabled=False)
    return Run(model.train(), config, configure_optimizers(model, config, chosen), precision)


@dataclass(frozen=True)
class Moment:
    """How far a training run is."""

    part: int  # 1, 2, …
    seconds: float  # of training
    steps: int
    loss: float  # of the last batch, nats per token


def curve(moment: Moment, run: Run, score: Score) -> dict[str, float]:
    """What --track notes of a moment in training."""
    tokens = moment.steps * run.config.batch_size * run.config.block_size
    return track.curve(moment.loss, score, run.optimizers[0].param_groups[0]["lr"], tokens / moment.seconds)


def by_the_clock(config: TrainingConfig, cooldown: float = 0.7) -> Any:
    """A config whose schedule counts parts of the time: 4% of rise, `cooldown` (a share) of fall."""
    return replace(config, max_steps=PARTS, warmup=0.04, cooldown=cooldown)


def train_for(seconds: float, parts: int, run: Run, corpus: Tokens) -> Iterator[Moment]:
    """Train for that many seconds with a config of `by_the_clock`, pausing after each of that many equal parts.

    What the caller does in a pause, an evaluation say, is not counted.
    """
    trained, steps = 0.0, 0
    for part in range(1, parts + 1):
        while trained < seconds * part / parts:
            start = time.perf_counter()
            loss = run.step(corpus, int(trained / seconds * PARTS))
            trained += time.perf_counter() - start
            steps += 1
        yield Moment(part, trained, steps, loss.item())


def step_seconds(run: Run, corpus: Tokens, steps: Iterable[int]) -> list[float]:
    """Train for these steps; the seconds of each."""
    times = []
    for step in steps:
        start = time.perf_counter()
        run.step(corpus, step)
        times.append(time.perf_counter() - start)
    return times


def parameters(model: nn.Module) -> int:
    """How many a model has, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def load_any(path: Path) -> tuple[nn.Module, Any, str, dict]:
    """The model of a checkpoint in evaluation mode, its Config, its vocabulary, and all that the file holds.

    A file of tools.export (.safetensors) is read, too. The checkpoint names its model, and MODELS says which module
    defines it. Raises UserError for another name.
    """
    state = load_safetensors(path) if path.suffix == ".safetensors" else load(path)
    name = state.get("model_name", "no script")
    if name not in MODELS:
        raise UserError(f"{path}: holds a model of {name}; expected one of {', '.join(MODELS)}")
    module = importlib.import_module(MODELS[name])
    known = {field.name for field in fields(module.Config)}
    config = module.Config(**{key: value for key, value in state["config"].items() if key in known})
    model = module.GPT(config, len(state["vocabulary"]))
    put_weights(path, model, state)
    return model.eval(), config, state["vocabulary"], state
