"""Deliberate faults, and the test that notices each: python -m tests.faults prints the table.

Every fault is put alone into a copy of the repository; the named test must pass without it (the
suite shows that) and fail with it.
"""

import contextlib
import io
import multiprocessing
import os
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lessons import ROOT

MODELS, SCRIPTS, DATA = "tests/test_models.py::", "tests/test_scripts.py::", "tests/test_data.py::"
CAUSAL = MODELS + "test_no_position_sees_a_later_token"
FORMULAS = MODELS + "test_the_model_computes_the_formulas_of_its_papers"
TRAINING, STREAM, ROPE = "tests/test_training.py::", "tests/test_stream.py::", "tests/test_rope.py::"
FORMAT = SCRIPTS + "test_stdout_is_the_documented_log_and_a_sample"


@dataclass(frozen=True)
class Fault:
    what: str
    file: str
    old: str
    new: str
    test: str


FAULTS = [
    Fault("no causal mask", "task01.py", ".tril()", "", CAUSAL + "[task01]"),
    Fault("mask off by one: sees the next token", "task02.py", ".tril()", ".tril(1)", CAUSAL + "[task02]"),
    Fault(
        "mask off by one: does not see itself",
        "task03.py",
        ".tril()",
        ".tril(-1)",
        MODELS + "test_every_position_sees_all_earlier_tokens[task03]",
    ),
    Fault(
        "mask after the softmax",
        "task06.py",
        'scores = torch.where(mask, scores, float("-inf"))\n    weights = F.softmax(scores, dim=-1)',
        "weights = torch.where(mask, F.softmax(scores, dim=-1), 0.0)",
        CAUSAL + "[task06]",
    ),
    Fault(
        "softmax over the queries",
        "task01.py",
        "F.softmax(scores, dim=-1)",
        "F.softmax(scores, dim=-2)",
        FORMULAS + "[task01]",
    ),
    Fault("no scale", "task02.py", "* scale", "", FORMULAS + "[task02]"),
    Fault(
        "scale of the paper where the log needs the other",
        "task05.py",
        "paper_scale: bool = False",
        "paper_scale: bool = True",
        FORMULAS + "[task05]",
    ),
    Fault(
        "heads merged without a transpose", "task02.py", "x.transpose(1, 2).reshape", "x.reshape", FORMULAS + "[task02]"
    ),
    Fault("no ReLU", "task03.py", ", nn.ReLU())", ")", FORMULAS + "[task03]"),
    Fault(
        "one block three times",
        "task04.py",
        "*(Block(config) for _ in range(config.n_layer))",
        "*([Block(config)] * config.n_layer)",
        MODELS + "test_the_parameters_are_those_counted_by_hand[task04]",
    ),
    Fault(
        "no skip around attention",
        "task05.py",
        "x = x + self.attention(x)",
        "x = self.attention(x)",
        FORMULAS + "[task05]",
    ),
    Fault(
        "no skip around the MLP",
        "task06.py",
        "x = x + self.feed_forward",
        "x = self.feed_forward",
        FORMULAS + "[task06]",
    ),
    Fault(
        "norm after the branch",
        "task06.py",
        "self.attention(self.attention_norm(x))",
        "self.attention_norm(self.attention(x))",
        FORMULAS + "[task06]",
    ),
    Fault("no final norm", "task06.py", "self.output(self.output_norm(x))", "self.output(x)", FORMULAS + "[task06]"),
    Fault(
        "no position embedding",
        "task01.py",
        " + self.position_embedding(positions)",
        "",
        MODELS + "test_the_order_of_tokens_matters[task01]",
    ),
    Fault(
        "parameters created in another order",
        "task06.py",
        "        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)\n"
        "        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)\n",
        "        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)\n"
        "        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)\n",
        FORMAT + "[task06]",
    ),
    Fault(
        "evaluation in training mode",
        "common/evaluate.py",
        "model.eval()",
        "model.train()",
        MODELS + "test_evaluation_runs_in_evaluation_mode_and_restores_the_mode",
    ),
    Fault(
        "model left in evaluation mode",
        "common/evaluate.py",
        "model.train(was_training)",
        "pass",
        MODELS + "test_evaluation_runs_in_evaluation_mode_and_restores_the_mode",
    ),
    Fault(
        "generation in training mode",
        "task06.py",
        "        self.eval()\n",
        "",
        MODELS + "test_generation_runs_in_evaluation_mode_and_restores_the_mode[task06]",
    ),
    Fault(
        "generation without a crop",
        "task03.py",
        "tokens[:, -self.block_size :]",
        "tokens",
        MODELS + "test_generation_appends_and_crops_to_the_block[task03]",
    ),
    Fault(
        "generation takes the likeliest, not a drawn token",
        "task04.py",
        "torch.multinomial(probabilities, num_samples=1)",
        "probabilities.argmax(dim=-1, keepdim=True)",
        MODELS + "test_generation_draws_tokens_as_often_as_the_softmax_says[task04]",
    ),
    Fault(
        "task 1 scaled by the embedding's width",
        "task01.py",
        "config.head_size**-0.5",
        "config.n_embd**-0.5",
        FORMULAS + "[task01]",
    ),
    Fault(
        "batches from the wrong split",
        "common/data.py",
        "tokens = self.splits[split]",
        'tokens = self.splits["train"]',
        DATA + "test_a_batch_is_made_of_windows_of_its_split[val]",
    ),
    Fault(
        "validation loss measured on the training text",
        "task02.py",
        'estimate_loss(model, corpus, "val"',
        'estimate_loss(model, corpus, "train"',
        FORMAT + "[task02]",
    ),
    Fault(
        "targets off by one: the token itself",
        "common/data.py",
        "windows[:, 1:]",
        "windows[:, :-1]",
        DATA + "test_targets_are_the_tokens_one_later",
    ),
    Fault(
        "validation text trained on",
        "common/data.py",
        '"train": tokens[:n]',
        '"train": tokens',
        DATA + "test_the_text_is_tiny_shakespeare",
    ),
    Fault("a digit less in the log", "common/progress.py", "{val_loss:.4f}", "{val_loss:.3f}", FORMAT + "[task01]"),
    Fault(
        "the log on stderr",
        "common/progress.py",
        '{val_loss:.4f}", flush=True)',
        '{val_loss:.4f}", flush=True, file=sys.stderr)',
        FORMAT + "[task01]",
    ),
    Fault("no blank line before the sample", "task04.py", '"\\nSampling', '"Sampling', FORMAT + "[task04]"),
    Fault("last epoch not logged", "task06.py", " or epoch == options.epochs - 1", "", FORMAT + "[task06]"),
    Fault(
        "seed set again after the model",
        "task01.py",
        "    model = GPT(config, len(corpus.vocabulary)).to(options.device)\n",
        "    model = GPT(config, len(corpus.vocabulary)).to(options.device)\n    torch.manual_seed(options.seed)\n",
        FORMAT + "[task01]",
    ),
    Fault(
        "trains on import",
        "task05.py",
        'if __name__ == "__main__":',
        "if True:",
        "tests/test_lessons.py::test_importing_trains_nothing_and_prints_nothing",
    ),
    Fault(
        "a fix in one script only",
        "task03.py",
        "weights = F.softmax(scores, dim=-1)",
        "weights = scores.softmax(dim=-1)",
        "tests/test_lessons.py::test_a_step_changes_what_its_lesson_is_about_and_nothing_else[task03-task04]",
    ),
    Fault(
        "weight decay on biases and norms",
        "common/training.py",
        'p.ndim < 2], "weight_decay": 0.0',
        'p.ndim < 2], "weight_decay": config.weight_decay',
        TRAINING + "test_every_parameter_has_one_optimizer_and_only_matrices_decay",
    ),
    Fault(
        "warm-up begins with no step at all",
        "common/training.py",
        "rise = (epoch + 1) /",
        "rise = epoch /",
        TRAINING + "test_the_schedule_rises_stays_and_falls_to_nearly_nothing",
    ),
    Fault(
        "resumed with other random numbers",
        "common/training.py",
        'torch.set_rng_state(state["random"]["cpu"].cpu())',
        "pass",
        TRAINING + "test_a_resumed_run_goes_on_as_if_it_had_never_stopped",
    ),
    Fault(
        "resumed with a fresh optimizer",
        "common/training.py",
        "optimizer.load_state_dict(saved)",
        "pass",
        TRAINING + "test_a_resumed_run_goes_on_as_if_it_had_never_stopped",
    ),
    Fault(
        "dropout that does not scale up what it keeps",
        "common/dropout.py",
        "x * (256 / (256 - dropped))",
        "x",
        TRAINING + "test_dropout_zeroes_the_asked_fraction_and_keeps_the_mean",
    ),
    Fault(
        "tied weights that are not",
        "task07.py",
        "self.output.weight = self.token_embedding.weight",
        "pass",
        TRAINING + "test_tied_weights_are_one_parameter",
    ),
    Fault(
        "values turned like keys",
        "task09_rope.py",
        "k, q = rotate(k, self.angles[:T]), rotate(q, self.angles[:T])",
        "k, q, v = (rotate(x, self.angles[:T]) for x in (k, q, v))",
        ROPE + "test_only_queries_and_keys_are_turned",
    ),
    Fault(
        "all pairs turned at one speed",
        "task09_rope.py",
        "-torch.arange(0, D, 2) / D",
        "-torch.zeros(D // 2)",
        ROPE + "test_pairs_turn_as_complex_numbers_do",
    ),
    Fault(
        "keys turned one way, queries the other",
        "task09_rope.py",
        "rotate(q, self.angles[:T])  #",
        "rotate(q, -self.angles[:T])  #",
        STREAM + "test_a_cache_predicts_what_the_model_does",
    ),
    Fault(
        "cached tokens all at position 0",
        "task08_infinite.py",
        "position_embedding.weight[new]",
        "position_embedding.weight[:T]",
        STREAM + "test_a_cache_predicts_what_the_model_does",
    ),
    Fault(
        "a full cache that forgets all but the last token",
        "task08_infinite.py",
        "[-(model.block_size // 2) :]",
        "[-1:]",
        STREAM + "test_a_full_cache_begins_again_with_the_last_half_block",
    ),
    Fault(
        "top-p without the token that crosses it",
        "task08_infinite.py",
        "before = ranked.cumsum(dim=-1) - ranked",
        "before = ranked.cumsum(dim=-1)",
        STREAM + "test_what_top_k_and_top_p_leave_keeps_its_proportions",
    ),
    Fault(
        "generation with dropout on",
        "common/stream.py",
        "return model.eval(), ",
        "return model, ",
        STREAM + "test_weights_of_other_scripts_serve_too",
    ),
    Fault(
        "rejected guesses left in the cache",
        "task08_infinite.py",
        "        cache.length -= len(guesses)\n",
        "",
        STREAM + "test_guesses_change_no_character",
    ),
    Fault(
        "contexts that reach beyond the window",
        "common/counts.py",
        "(contexts[row] == context) & (torch.arange(T, device=tokens.device) >= length - 1)",
        "contexts[row] == context",
        "tests/test_counts.py::test_it_computes_the_formula",
    ),
    Fault(
        "one discount for all counts",
        "common/counts.py",
        "times.clamp(max=3)",
        "times.clamp(max=1)",
        "tests/test_counts.py::test_it_computes_the_formula",
    ),
    Fault(
        "the shares of GPT and counts swapped",
        "studies/speedrun.py",
        "math.log(1 - self.share), self.counts(tokens) + math.log(self.share)",
        "math.log(self.share), self.counts(tokens) + math.log(1 - self.share)",
        "tests/test_speedrun.py::test_an_average_is_of_probabilities",
    ),
    Fault(
        "windows that grow too late",
        "common/training.py",
        "return first << (epoch * lengths // config.epochs)",
        "return first << (epoch * (lengths - 1) // config.epochs)",
        "tests/test_training.py::test_windows_grow_from_the_first_length_to_the_block_size",
    ),
]

NO_FAULT = Fault("nothing changed", "task01.py", "import torch\n", "import torch\n", "tests/test_models.py")


def is_caught(fault):
    """Whether the fault's test fails on a copy of the repository that has the fault."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "docs", "weights"))
        path = copy / fault.file
        text = path.read_text()
        if text.count(fault.old) != 1:
            raise ValueError(f"{fault.file} has {text.count(fault.old)} places that read {fault.old!r}, not one")
        path.write_text(text.replace(fault.old, fault.new))
        with contextlib.chdir(copy), _repository_imported_anew(), contextlib.redirect_stdout(io.StringIO()) as out:
            status = pytest.main(["-q", "-p", "no:cacheprovider", f"--rootdir={copy}", fault.test])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(out.getvalue())
    return status == pytest.ExitCode.TESTS_FAILED


@contextlib.contextmanager
def _repository_imported_anew():
    """Inside, the repository's modules are imported again, but PyTorch is not: that takes seconds."""

    def take_out():
        packages = "common", "studies", "tests"
        ours = [name for name in sys.modules if name.split(".")[0] in packages or name.startswith("task0")]
        return {name: sys.modules.pop(name) for name in ours}

    modules, path = take_out(), sys.path.copy()
    try:
        yield
    finally:
        take_out()
        sys.modules.update(modules)
        sys.path[:] = path


def survey():
    """(fault, whether its test noticed it) for all faults, as many at once as there are cores."""
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        alarm, *caught = pool.map(is_caught, [NO_FAULT, *FAULTS])
    if alarm:
        raise RuntimeError(f"{NO_FAULT.test} fails on an unchanged copy: nothing can be learned from the faults")
    return list(zip(FAULTS, caught, strict=True))


def table(results):
    """The survey as Markdown."""
    rows = ["| fault | put into | noticed by | |", "|---|---|---|---|"]
    for fault, caught in results:
        test = fault.test.split("::")[1]
        rows.append(f"| {fault.what} | `{fault.file}` | `{test}` | {'caught' if caught else 'MISSED'} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table(survey()))
