"""What does attention gain over recurrence? python -m studies.lstm

Compares an LSTM language model (nn.LSTM; Hochreiter and Schmidhuber 1997) with the GPTs of tasks 7 and 9 (preset
laptop). The number of parameters is equal within 2%. Seconds of training (evaluations not counted), text and evaluation
are the same. The evaluation reads the whole validation split once, in blocks side by side, each from an empty context;
losses are in nats per character.

Prints each run; mean and standard deviation over the seeds; after how many seconds of training 2.0 nats were reached;
how long it takes to write a character when a block is full; and samples at three temperatures. The LSTM's recipe was
chosen on the last tenth of the *training* text, where the GPTs' recipe was also found (studies.search).
"""

import itertools
import math
import statistics
from dataclasses import asdict, replace

import task07
import task09_rope
from common import track
from common.data import Corpus
from common.evaluate import score_split
from common.options import DEFAULT_TEXT
from common.run import progress, run
from studies import setup
from studies.generation.writing import cached, seconds_a_token, uncached
from studies.report import Report, add_track, parse_timed, plot_runs, spread, timed_parser

import torch
from torch import nn

COLOURS = {"LSTM": "#D55E00", "task 7": "#0072B2", "task 9": "#009E73"}  # told apart by colour-blind eyes
GOAL = 2.0  # nats per character
EVALUATIONS = 10  # of a run, evenly spread
TEMPERATURES = (0.5, 1.0, 1.5)
SAMPLE = 200  # characters
ROUNDS = 5  # of the timing
LAYERS = 2  # of the LSTM
RECIPE = {"optimizer": "adamw", "learning_rate": 4e-3}  # of the LSTM


class LSTM(nn.Module):
    """Tokens (B, T) → logits (B, T, V) of the token after each. As wide inside as its embedding, C."""

    def __init__(self, config, vocab_size):
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
        self.lstm = nn.LSTM(config.n_embd, config.n_embd, config.n_layer, batch_first=True)
        self.lm_head = nn.Linear(config.n_embd, vocab_size)
        with torch.no_grad():
            for name, bias in self.lstm.named_parameters():
                if name.startswith("bias_ih"):  # of the input, forget, cell and output gate
                    bias.chunk(4)[1].fill_(1.0)  # remember, to begin with (Gers et al. 2000)

    def forward(self, tokens):  # (B, T)
        return self.extend(tokens)[0]

    def extend(self, tokens, state=None):
        """Read tokens (B, T) after those that made `state` → logits (B, T, V) and the state (two of (layers, B, C))."""
        x, state = self.lstm(self.token_embedding(tokens), state)  # (B, T, C)
        return self.lm_head(x), state


@torch.no_grad()
def generate(model: LSTM, tokens: torch.Tensor, temperature: float = 1.0):
    """Yield, without end, the tokens (1, 1) that follow `tokens` (1, T)."""
    state = None
    while True:
        logits, state = model.extend(tokens, state)  # (1, T, V)
        tokens = task07.sample(logits[:, -1], temperature)  # (1, 1)
        yield tokens


def base(quick: bool):
    """The GPTs' Config."""
    config = setup.by_the_clock(setup.preset(task07))
    return replace(config, batch_size=8, block_size=32, n_embd=32, n_head=2, n_layer=1) if quick else config


def configs(vocab_size: int, quick: bool) -> dict:
    """Name → class and Config of each model. The LSTM's width is the nearest to the GPTs' parameters."""
    config = base(quick)
    chosen = {"task 7": (task07.GPT, config), "task 9": (task09_rope.GPT, config)}
    with torch.device("meta"):  # sizes without numbers
        wanted = statistics.mean(setup.parameters(build(config, vocab_size)) for build, config in chosen.values())
        lstm = replace(config, n_head=1, n_layer=LAYERS, init_std=0.0, **RECIPE)  # 0.0: PyTorch's own beginning
        sizes = {n: setup.parameters(LSTM(replace(lstm, n_embd=n), vocab_size)) for n in range(4, 1024)}
    width = min(sizes, key=lambda n: abs(sizes[n] - wanted))
    return {"LSTM": (LSTM, replace(lstm, n_embd=width))} | chosen


def learn(name: str, build, config, corpus: Corpus, seed: int, options):
    """Train a model; it, its losses on the validation split at even distances, and the run as numbers."""
    progress.where = f"while {name} learned with seed {seed}"
    matrices = ["lstm"] if build is LSTM else None
    run = setup.build(build, config, len(corpus.vocabulary), seed, matrices)
    losses, times = [], []
    with track.run(options.track, f"lstm_{name}_{seed}", asdict(config)) as log:
        for moment in setup.train_for(options.seconds, EVALUATIONS, run, corpus):
            with run.precision:
                score = score_split(run.model, corpus, "val")
            log(moment.steps, setup.curve(moment, run, score))
            losses.append(score.nats)
            times.append(moment.seconds)
    characters = moment.steps * config.batch_size * config.block_size
    goal = reached(times, losses)
    numbers = {"steps": moment.steps, "characters": characters, "accuracy": score.accuracy, "goal": goal}
    return run, losses, numbers


def reached(times: list[float], losses: list[float]) -> float:
    """Seconds until the loss was GOAL, by a straight line between two evaluations; nan where it never was."""
    points = list(zip(times, losses, strict=True))
    if points[0][1] <= GOAL:
        return points[0][0]
    for (before, high), (after, low) in itertools.pairwise(points):
        if low <= GOAL:
            return before + (after - before) * (high - GOAL) / (high - low)
    return math.nan


def seconds_or_never(times: list[float]) -> str:
    return "not reached" if any(map(math.isnan, times)) else spread(times, 1)


def time_writing(models: dict, block_size: int) -> dict[str, float]:
    """Milliseconds for each character after block_size of them, on one thread: the median of ROUNDS."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    window = torch.zeros(1, block_size, dtype=torch.long)  # (1, T)
    ways = {}
    for name, trained in models.items():
        model = trained.model.eval()
        if isinstance(model, LSTM):
            ways[name] = generate(model, window), block_size
        else:
            ways[f"{name}, uncached"] = uncached(model, window), 16
        if name == "task 7":  # task 8 has a cache for its model
            ways[f"{name}, cached"] = cached(model, trained.config, window), block_size
    for tokens, _ in ways.values():
        next(tokens)  # reads the window
    rounds = [{way: seconds_a_token(*tokens_and_n) for way, tokens_and_n in ways.items()} for _ in range(ROUNDS)]
    torch.set_num_threads(threads)
    return {way: 1000 * statistics.median(times[way] for times in rounds) for way in ways}


def sample(model, corpus: Corpus, temperature: float) -> str:
    """That many characters after the vocabulary's first, a line break."""
    write = generate if isinstance(model, LSTM) else uncached
    tokens = itertools.islice(write(model, torch.zeros(1, 1, dtype=torch.long), temperature), SAMPLE)
    return corpus.decode(torch.cat(list(tokens), dim=1)[0])


def compare(options, corpus: Corpus, report: Report) -> None:
    """The three models with all seeds, in turn, so that what else the machine does meets them alike."""
    chosen = configs(len(corpus.vocabulary), options.quick)
    report(f"{options.seconds} s of training each, evaluations not counted; val: nats per character, whole split")
    report()
    models: dict[str, setup.Run] = {}
    curves: dict[str, list] = {name: [] for name in chosen}
    runs: dict[str, list] = {name: [] for name in chosen}
    for seed, (name, (build, config)) in itertools.product(options.seeds, chosen.items()):
        run, losses, numbers = learn(name, build, config, corpus, seed, options)
        report(
            f"{name:6}  seed {seed}: {numbers['steps']:5} steps, val {losses[-1]:.4f}, accuracy "
            f"{numbers['accuracy']:.4f}, seconds to {GOAL} nats: {seconds_or_never([numbers['goal']])}"
        )
        models.setdefault(name, run)  # the first seed's writes
        curves[name].append(losses)
        runs[name].append(numbers)

    report()
    report(f"        parameters  characters read  val                accuracy           seconds to {GOAL} nats")
    for name, all_numbers in runs.items():
        column = {key: [numbers[key] for numbers in all_numbers] for key in all_numbers[0]}
        size, read = setup.parameters(models[name].model), statistics.mean(column["characters"]) / 1e6
        val, accuracies = spread([losses[-1] for losses in curves[name]]), spread(column["accuracy"])
        report(f"{name:6}  {size:10,}  {read:14.2f}M  {val:17}  {accuracies:17}  {seconds_or_never(column['goal'])}")

    progress.where = "after the training, while the models wrote"
    report()
    report(f"To write a character after {corpus.block_size} others, one thread:")
    for way, milliseconds in time_writing(models, corpus.block_size).items():
        report(f"{way:16} {milliseconds:8.3f} ms")
    for (name, run), temperature in itertools.product(models.items(), TEMPERATURES):
        torch.manual_seed(options.seeds[0])
        report()
        report(f"--- {name}, temperature {temperature} ---")
        report(sample(run.model.eval(), corpus, temperature))
    if options.report:
        lines = [(name, COLOURS[name], "o-", losses) for name, losses in curves.items()]
        plot_runs("lstm", options.seconds, "validation loss (nats per character, whole split)", lines, GOAL)


def main() -> None:
    parser = timed_parser(__doc__, seconds=140)
    add_track(parser)
    options = parse_timed(parser)
    report = Report()
    compare(options, Corpus(DEFAULT_TEXT, base(options.quick).block_size), report)
    report.end("studies.lstm", options)


if __name__ == "__main__":
    run(main)
