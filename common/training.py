"""The training loop from task 7 on, with what practice adds to it: schedule, groups, clipping, precision, resume."""

import math
from argparse import Namespace
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from common import checkpoint, exits, parallel
from common.data import Corpus
from common.evaluate import estimate_loss, score_split
from common.exits import UserError
from common.progress import hint, log_losses, training_epochs


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained. The defaults are the documented run's."""

    epochs: int = 5000
    accumulate: int = 1  # batches an epoch, their gradients averaged before the one update
    optimizer: str = "adamw"  # or "muon": for the blocks' matrices, the rest stays with AdamW
    learning_rate: float = 3e-4  # AdamW's, at its peak
    matrix_learning_rate: float = 0.02  # Muon's, at its peak
    weight_decay: float = 0.01
    grad_clip: float = 0.0  # largest norm of the gradient; 0: any
    warmup: int = 0  # epochs of linear rise
    cooldown: int = 0  # last epochs, of linear fall to zero
    first_window: int = 0  # characters a training window has at first; 0: block_size from the start
    init_std: float = 0.0  # of normal weights (residual outputs: / √(2·n_layer)); 0: PyTorch's defaults
    eval_interval: int = 500
    eval_batches: int = 200
    whole_split: bool = False  # True: logs the loss over the whole validation text, not random batches
    time: str = "minutes on a GPU, most of a day on two cores"  # what to expect, said on a terminal


def get_lr(epoch: int, config: Recipe) -> float:
    """The fraction of the peak learning rate at an epoch: linear rise, plateau, linear fall (a trapezoid)."""
    rise = (epoch + 1) / (config.warmup + 1)
    fall = (config.epochs - epoch) / (config.cooldown + 1)
    return min(1.0, rise, fall)


def get_window(epoch: int, config: Recipe, block_size: int) -> int:
    """The length of a training window at an epoch: `first_window`, doubled at equal intervals up to block_size.

    Paper: sequence length warm-up, arXiv 2108.06084. Raises UserError where doubling does not lead there.
    """
    first = config.first_window or block_size
    lengths = (block_size // first).bit_length()
    if not lengths or first << (lengths - 1) != block_size:
        raise UserError(f"first_window: {first}, doubled again and again, is never {block_size}")
    return first << (epoch * lengths // config.epochs)


def initialize(model: nn.Module, config: Recipe) -> None:
    """Normal weights of standard deviation `init_std`, smaller where a branch ends, and zero biases (GPT-2).

    The outputs of the 2·n_layer branches add up, so each starts 1/√(2·n_layer) as large.
    """
    if not config.init_std:
        return
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2:
            ends_branch = name.endswith(("projection.weight", "layers.2.weight"))
            nn.init.normal_(parameter, std=config.init_std / (math.sqrt(2 * config.n_layer) if ends_branch else 1))
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def configure_optimizers(model: nn.Module, config: Recipe) -> list[torch.optim.Optimizer]:
    """AdamW, with weight decay on matrices only (not biases and norms); with "muon", Muon for the blocks' matrices.

    Papers: AdamW, arXiv 1711.05101; Muon, arXiv 2502.16982. Raises ValueError for another optimizer's name.
    """
    if config.optimizer not in ("adamw", "muon"):
        raise ValueError(f"optimizer: expected adamw or muon, got {config.optimizer!r}")
    named = list(model.named_parameters())  # tied weights come once
    muon = [p for name, p in named if config.optimizer == "muon" and name.startswith("blocks.") and p.ndim == 2]
    rest = [p for _, p in named if not any(p is other for other in muon)]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizers = [torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)]
    if muon:
        lr, decay = config.matrix_learning_rate, config.weight_decay
        optimizers.append(torch.optim.Muon(muon, lr=lr, weight_decay=decay, momentum=0.95))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def low_precision(device: torch.device) -> torch.autocast:
    """bfloat16 for matrix products where the processor has instructions for it, and float32 where not."""
    abilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    fast = device.type == "cuda" or any(abilities.get(name) for name in ("amx_bf16", "avx512_bf16"))
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


def train(
    model: nn.Module, corpus: Corpus, config: Recipe, options: Namespace, judged: nn.Module | None = None
) -> None:
    """Train in place and print the log; save and resume as `options` (`save`, `save_every`, `resume`) say.

    Losses are in nats per character. Where the log evaluates the whole validation text, a last line adds
    the documented protocol's random batches, which cost more than an epoch. A run that is stopped and
    resumed prints the same later lines. The losses are those of `judged`, the model itself by default.
    Raises UserError for a checkpoint that does not fit.
    """
    if not options.resume:
        initialize(model, config)
    optimizers = configure_optimizers(model, config)
    first = restore(options.resume, model, optimizers, corpus, config) if options.resume else 0
    trained = parallel.wrap(model, options.device)
    judged = judged or model
    precision = low_precision(options.device)
    model.train()
    exits.finish_first(bool(options.save))
    if options.save and parallel.size() > 1 and not options.resume:
        save(options.save, model, optimizers, corpus, config, 0)  # a restart finds this run's file, no older one

    for epoch in training_epochs(config.epochs, first):
        if epoch % config.eval_interval == 0 or epoch == config.epochs - 1:
            with precision:
                log_losses(epoch, *evaluate(judged, corpus, config))
        update(trained, corpus, config, optimizers, epoch, precision)
        stop = any(parallel.total(exits.asked_to_stop()))  # all of them or none
        if options.save and ((epoch + 1) % options.save_every == 0 or stop):
            save(options.save, model, optimizers, corpus, config, epoch + 1)
        if stop:
            exits.leave(
                exits.EXIT_INTERRUPTED, f"Interrupted after epoch {epoch} of {config.epochs}, saved to {options.save}."
            )
    exits.finish_first(False)
    if options.save:
        save(options.save, model, optimizers, corpus, config, config.epochs)
    if config.whole_split:
        with precision:
            whole = score_split(judged, corpus, "val")
            drawn = estimate_loss(judged, corpus, "val", config.eval_batches, config.batch_size)
        print(
            f"Final val loss: {whole.nats:.4f} on the whole split ({whole.bits:.4f} bits, perplexity "
            f"{whole.perplexity:.3f}, accuracy {whole.accuracy:.4f}) | {drawn:.4f} over random batches",
            flush=True,
        )
    parallel.finish()


def update(model: nn.Module, corpus: Corpus, config: Recipe, optimizers: list, epoch: int, precision) -> torch.Tensor:
    """One epoch: the gradient of a batch (or of several, accumulated), a step of each optimizer; the last loss."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * get_lr(epoch, config)
    window = get_window(epoch, config, corpus.block_size)
    for _ in range(config.accumulate):
        batch = map(parallel.share, corpus.batch("train", config.batch_size))
        tokens, targets = (part.reshape(-1, window) for part in batch)  # (B, T) each
        with parallel.own_noise(), precision:
            logits = model(tokens)  # (B, T, V)
            loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        (loss / config.accumulate).backward()
    if config.grad_clip:
        nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return loss.detach()


def evaluate(model: nn.Module, corpus: Corpus, config: Recipe) -> tuple[float, float]:
    """Train and validation loss: of random batches, or of the whole validation text and as much training text."""
    if config.whole_split:
        return score_split(model, corpus, "train").nats, score_split(model, corpus, "val").nats
    sizes = config.eval_batches, config.batch_size
    return estimate_loss(model, corpus, "train", *sizes), estimate_loss(model, corpus, "val", *sizes)


def save(path: Path, model, optimizers, corpus: Corpus, config: Recipe, epoch: int) -> None:
    """Write all that a run needs to go on from `epoch` as if it had never stopped."""
    if parallel.rank():
        return
    random = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state()
    state = {
        "epoch": epoch,
        "config": asdict(config),
        "vocabulary": corpus.vocabulary,
        "characters": len(corpus.splits["train"]),
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "random": random,
    }
    checkpoint.save(path, state)


def restore(path: Path, model, optimizers, corpus: Corpus, config: Recipe) -> int:
    """Put back what `save` wrote; the epoch to go on with. Raises UserError where it is another run's."""
    state = checkpoint.load(path)
    if state.get("vocabulary") != corpus.vocabulary:
        raise UserError(f"{path}: saved with another text, of other symbols")
    characters = len(corpus.splits["train"])
    if state.get("characters", characters) != characters:
        raise UserError(f"{path}: learnt from {state['characters']} characters, but this run has {characters}")
    defaults = {field.name: field.default for field in fields(config)}
    for name, value in asdict(config).items():
        saved = state["config"].get(name, defaults[name])  # a field may be younger than the file
        if name not in ("epochs", "time") and saved != value:
            raise UserError(f"{path}: saved with {name} {saved}, but this run has {value}")
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    torch.set_rng_state(state["random"]["cpu"].cpu())
    if "cuda" in state["random"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["random"]["cuda"].cpu())
    hint(f"resumed {path} at epoch {state['epoch']}")
    return state["epoch"]
