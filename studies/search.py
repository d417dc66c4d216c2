"""Which model and recipe learn most in a given time on this machine? python -m studies.search

Each trial trains task 7's GPT for the same number of seconds (evaluations not counted), with a schedule that ends when
they do, and is ranked by its loss on a tuning split: the last tenth of the *training* text, which the trial does not
train on. The validation text is never used. Trials that fall behind are stopped early (Optuna,
https://arxiv.org/abs/1907.10902: TPE sampler, median pruner).

The trials are saved in an SQLite file. The same command continues after a stop, and several terminals (or machines,
with another --storage URL) that run it share the work. `--report` writes docs/logs/search.txt and
docs/images/search.png from the trials so far. `--track` also logs each trial during its run, in runs/.
"""

import math
import warnings
from pathlib import Path
from typing import Any

import task07
from common import track
from common.data import Corpus, Tokens
from common.evaluate import score_split
from common.extras import optional
from common.machine import describe
from common.options import DEFAULT_TEXT
from common.parser import Parser
from common.run import UserError, progress, run
from studies import setup
from studies.report import DOCS, add_number, add_threads, add_track, pyplot

import torch

NAME = "laptop"
REPORTS = 2  # evaluations of a trial, evenly spread; after each but the last it may be stopped
LOGGED = 10  # points between one evaluation and the next at which a trial's training is tracked

# The first trials, chosen by hand; the sampler starts from what they show.
FIRST: list[dict[str, Any]] = [
    {},
    {"batch_size": 32},
    {"batch_size": 8},
    {"optimizer": "adamw"},
    {"head_size": 64},
    {"n_embd": 384, "n_layer": 4},
    {"n_embd": 256, "n_layer": 4},
    {"dropout": 0.1},
    {"block_size": 128},
]
MIDDLE: dict[str, Any] = {"n_embd": 256, "n_layer": 6, "head_size": 128, "batch_size": 16, "block_size": 256}
MIDDLE |= {"optimizer": "muon", "learning_rate": 2e-3, "muon_learning_rate": 0.02, "weight_decay": 0.1}
MIDDLE |= {"dropout": 0.0, "cooldown": 0.7, "tie_weights": False}


def suggest(trial) -> dict:
    """The search space."""
    return {
        "n_embd": trial.suggest_categorical("n_embd", [256, 384]),
        "n_layer": trial.suggest_int("n_layer", 3, 8),
        "head_size": trial.suggest_categorical("head_size", [32, 64, 128]),
        "batch_size": trial.suggest_categorical("batch_size", [8, 16, 32, 64]),
        "optimizer": trial.suggest_categorical("optimizer", ["adamw", "muon"]),
        "learning_rate": trial.suggest_float("learning_rate", 5e-4, 8e-3, log=True),
        "muon_learning_rate": trial.suggest_float("muon_learning_rate", 0.005, 0.05, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 0.01, 0.5, log=True),
        "dropout": trial.suggest_categorical("dropout", [0.0, 0.05, 0.1]),
        "cooldown": trial.suggest_float("cooldown", 0.3, 1.0),  # as a fraction of the time
        "tie_weights": trial.suggest_categorical("tie_weights", [False, True]),
        "block_size": trial.suggest_categorical("block_size", [128, 256]),
    }


def build(chosen: dict, vocab_size: int) -> setup.Run:
    """A run of what `suggest` gives."""
    apart = ("head_size", "cooldown", "tie_weights")
    sizes = {name: value for name, value in chosen.items() if name not in apart}
    config = setup.preset(task07, **sizes, n_head=chosen["n_embd"] // chosen["head_size"])
    config = setup.by_the_clock(config, chosen["cooldown"])
    return setup.build(task07.GPT, config, vocab_size, seed=42, tied=chosen["tie_weights"])


def objective(trial: Any, corpus: Corpus, seconds: float, tracker: str | None = None) -> float:
    """Train for that many seconds; the tuning loss in nats per character."""
    chosen = suggest(trial)
    run = build(chosen, len(corpus.vocabulary))
    windows = Tokens(corpus.splits, chosen["block_size"])
    trial.set_user_attr("parameters", setup.parameters(run.model))
    with track.run(tracker, f"trial_{trial.number}", chosen) as log:
        for moment in setup.train_for(seconds, REPORTS * LOGGED, run, windows):
            tokens = moment.steps * run.config.batch_size * run.config.block_size
            numbers = {
                "train loss": moment.loss,
                "train perplexity": math.exp(moment.loss),
                "learning rate": run.optimizers[0].param_groups[0]["lr"],
                "tokens per second": tokens / moment.seconds,
            }
            log(moment.steps, numbers)
            part, rest = divmod(moment.part, LOGGED)
            if rest:
                continue
            with run.precision:
                score = score_split(run.model, windows, "val")
            attributes = {"steps": moment.steps, "tokens": tokens, "seconds": moment.seconds, "loss": moment.loss}
            for name, value in (attributes | {"accuracy": score.accuracy}).items():
                trial.set_user_attr(name, value)
            found = {"loss": score.nats, "perplexity": score.perplexity, "accuracy": score.accuracy}
            log(moment.steps, {f"tuning {name}": value for name, value in found.items()})
            trial.report(score.nats, part)
            done = f"{moment.seconds:.0f} s, {moment.steps} steps, tuning loss {score.nats:.4f}"
            print(f"trial {trial.number}: {done}", flush=True)
            pruned = part < REPORTS and trial.should_prune()
            if pruned:
                break
    if pruned:  # after the tracker's run has ended, which would show it as an error
        raise optional("optuna", "search").TrialPruned
    return score.nats


def search(options) -> None:
    optuna = optional("optuna", "search")
    if options.track:
        optional(options.track, "track")  # missing, it is missed now, not in the first trial
    study = open_study(options.storage)
    for parameters in FIRST[: options.trials]:
        study.enqueue_trial(MIDDLE | parameters, skip_if_exists=True)
    corpus = Corpus(options.data, setup.preset(task07).block_size)
    corpus.tune()
    finished = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    if len(study.get_trials(states=finished)) < options.trials:  # Optuna itself counts after a trial
        enough = optuna.study.MaxTrialsCallback(options.trials, states=finished)
        study.optimize(lambda trial: objective(trial, corpus, options.seconds, options.track), callbacks=[enough])


def open_study(storage: str):
    """The study in that storage, made if it is not there. Raises UserError where the storage does not work."""
    optuna = optional("optuna", "search")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # of the heartbeat
    try:
        return optuna.create_study(
            study_name=NAME,
            storage=optuna.storages.RDBStorage(storage, heartbeat_interval=60),  # a killed process's trial is dropped
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(multivariate=False, constant_liar=True, n_startup_trials=len(FIRST)),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
        )
    except Exception as error:  # of the database's driver, whichever it is
        raise UserError(f"{storage}: cannot keep trials there: {str(error).splitlines()[0]}") from error


def main() -> None:
    parser = Parser(description=__doc__)
    add_number(parser, "--trials", 12, "in all")
    add_number(parser, "--seconds", 180, "each")
    add_threads(parser, 1)
    parser.add_argument("--storage", default="sqlite:///search.db", metavar="URL", help="(default: %(default)s)")
    parser.add_argument("--data", type=Path, default=DEFAULT_TEXT, metavar="PATH", help="text (default: input.txt)")
    add_track(parser)
    parser.add_argument("--report", action="store_true", help="write the table and the plot instead")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.report:
        report(options)
    else:
        progress.where = "; the same command goes on"
        search(options)


def report(options) -> None:
    """The table of the trials, best first, and their losses over time as a picture."""
    study = open_study(options.storage)
    trials = [trial for trial in study.get_trials() if trial.state.is_finished() and trial.intermediate_values]
    if not trials:
        raise UserError(f"{options.storage}: no finished trial there")
    # Those that used all their time by their loss, then those that were stopped by how far they came.
    trials.sort(key=lambda t: (-max(t.intermediate_values), t.intermediate_values[max(t.intermediate_values)]))
    lines = [
        "Trials by tuning loss (nats per character, whole tuning split) at equal training time.",
        "Tuning split: the last 10% of the training text; trained on the first 90% of it; validation text unused.",
        "",
        "rank  tuning   batch    acc  sec   steps  tokens  params  C x layers x D    batch  optimizer  lr       "
        "muon lr  decay  dropout  cooldown  tied  T",
    ]
    for rank, trial in enumerate(trials, 1):
        p, a = trial.params, trial.user_attrs
        last = max(trial.intermediate_values)
        stopped = f"  stopped after {last}/{REPORTS}" if last < REPORTS else ""
        tied = "yes" if p["tie_weights"] else "no"
        lines.append(
            f"{rank:4}  {trial.intermediate_values[last]:.4f}  {a['loss']:.4f}  {a['accuracy']:.3f}  "
            f"{a['seconds']:3.0f}  {a['steps']:6}  {a['tokens'] / 1e6:5.2f}M  {a['parameters'] / 1e6:5.2f}M  "
            f"{p['n_embd']:3} x {p['n_layer']} x {p['head_size']:<6}  {p['batch_size']:5}  {p['optimizer']:9}  "
            f"{p['learning_rate']:.5f}  {p['muon_learning_rate']:.4f}   {p['weight_decay']:.3f}  "
            f"{p['dropout']:7.2f}  {p['cooldown']:8.2f}  {tied:4}  {p.get('block_size', 256)}{stopped}"
        )
    lines += ["", f"# {options.threads} thread a trial, {describe()}"]
    text = "\n".join(lines) + "\n"
    (DOCS / "logs" / "search.txt").write_text(text, encoding="utf-8")
    print(text, end="")
    plot(trials)


def plot(trials) -> None:
    """docs/images/search.png: a line a trial, the best in colour."""
    figure, axes = pyplot().subplots(figsize=(8, 5))
    colours = ["#0072B2", "#D55E00", "#009E73"]  # told apart by colour-blind eyes
    for rank, trial in reversed(list(enumerate(trials))):
        steps, losses = zip(*sorted(trial.intermediate_values.items()), strict=True)
        seconds = [step * trial.user_attrs["seconds"] / steps[-1] for step in steps]
        style, p = {"color": "0.75", "linewidth": 1}, trial.params
        if rank < len(colours):
            name = f"{p['n_embd']} × {p['n_layer']}, batch {p['batch_size']}, {p['optimizer']}, dropout {p['dropout']}"
            style = {"color": colours[rank], "linewidth": 2, "label": f"{rank + 1}: {name}"}
        axes.plot(seconds, losses, "o-", markersize=4, **style)
    axes.set(xlabel="training time (seconds, one thread)", ylabel="loss on the tuning split (nats per character)")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], title=f"the best three of {len(trials)}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(DOCS / "images" / "search.png", dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    run(main)
