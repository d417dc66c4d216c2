"""The lessons as their reader meets them: small diffs, one vocabulary, and the cache of task 8."""

import ast
import io
import itertools
import re
import subprocess
import sys
import tokenize
from importlib import import_module as load

import task07
import task08_infinite as task08
from check.command import start
from common import stream
from common.config import TrainingConfig
from studies.generation import speculative
from tests.lessons import CORE, ROOT, TASKS, lively

import pytest
import torch

STEPS = [*itertools.pairwise([*CORE, "task07", "task09_rope"]), ("task07", "task08_infinite")]
MOST_CHANGED_LINES = {"task02": 41, "task07": 65, "task09_rope": 35, "task08_infinite": 70}  # else 30

# What each step may change; every other definition that two neighbours share is the same, to the letter.
CHANGED = {
    "task02": {"Config", "SelfAttention", "GPT.__init__", "GPT.forward"},
    "task03": {"GPT.__init__", "GPT.forward"},
    "task04": {"Config", "GPT.__init__", "GPT.forward"},
    "task05": {"SelfAttention", "FeedForward", "Block"},
    "task06": {"Block", "GPT.__init__", "GPT.forward", "main"},
    "task07": {"Config", "attention", "SelfAttention", "FeedForward", "main"},
    "task09_rope": {"Config", "SelfAttention", "GPT.__init__", "GPT.forward"},
    "task08_infinite": {"SelfAttention", "GPT.forward", "GPT.generate", "main"},
}


def source(name):
    return (ROOT / f"{name}.py").read_text()


def definitions(name):
    """Top-level definitions, in order, and the methods of GPT one by one: name → text."""
    text, found = source(name), {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name == "GPT":
            for part in node.body:
                key = f"GPT.{part.name}" if isinstance(part, ast.FunctionDef) else "GPT docstring"
                found[key] = ast.get_source_segment(text, part)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = ast.get_source_segment(text, node)
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            found[f"statement {ast.unparse(node)[:40]}"] = ast.get_source_segment(text, node)
    return found


@pytest.mark.parametrize(("earlier", "later"), STEPS)
def test_a_step_is_a_small_diff(earlier, later):
    line = ["git", "diff", "--no-index", "--numstat", f"{earlier}.py", f"{later}.py"]
    diff = subprocess.run(line, cwd=ROOT, capture_output=True, text=True).stdout
    added, removed = map(int, diff.split()[:2])
    assert added + removed <= MOST_CHANGED_LINES.get(later, 30)


@pytest.mark.parametrize(("earlier", "later"), STEPS)
def test_a_step_changes_what_its_lesson_is_about_and_nothing_else(earlier, later):
    before, after = definitions(earlier), definitions(later)
    common = {name for name in before.keys() & after.keys() if not name.startswith("statement from common.")}
    different = {name for name in common if before[name] != after[name]}
    assert {name.replace("GPT docstring", "GPT") for name in different} == CHANGED[later]
    gone = {name for name in before.keys() - after.keys() if not name.startswith("statement from common.")}
    assert not gone, "a definition of the earlier script is gone"
    assert [name for name in after if name in before] == [name for name in before if name in after]


@pytest.mark.parametrize("name", ["task07", "task08_infinite", "task09_rope"])
def test_a_default_of_training_is_in_one_place(name):
    assert not load(name).Config.__annotations__.keys() & TrainingConfig.__annotations__.keys()
    shared = "batch_size = 64, block_size = 256, learning_rate = 0.0003, "
    assert name == "task08_infinite" or start.config_changes("task06", name)[0].startswith(shared)  # 8 has no starter


@pytest.mark.parametrize("name", TASKS)
def test_a_script_leaves_nothing_behind_and_its_docstring_links_its_paper(name):
    text = source(name)
    assert not re.search(r"#\s*(NEW|TODO|FIXME|XXX)", text)
    for kind, comment, *_ in tokenize.generate_tokens(io.StringIO(text).readline):
        words = comment.lstrip("# ")
        # Shapes and single words would parse as code.
        if kind == tokenize.COMMENT and not re.fullmatch(r"\(.*\)|[\w ]+|fmt: skip", words):
            with pytest.raises(SyntaxError):
                ast.parse(words)
                pytest.fail(f"code in a comment: {comment}")
    doc = ast.get_docstring(ast.parse(text))
    assert doc.startswith(f"Task {int(name[4:6])}: ") and "arXiv" not in doc
    assert name == "task08_infinite" or re.search(r"https://(arxiv.org/abs/\d{4}\.\d{5}|jmlr)", doc)


def test_importing_trains_nothing_prints_nothing_and_installs_nothing():
    look = "[*map(signal.getsignal, (2, 15)), sys.excepthook, sys.stdout, threading.excepthook, dict(os.environ)]"
    code = f"import os, signal, sys, threading; a = {look}; import {', '.join(TASKS)}; assert a == {look}"
    command = [sys.executable, "-W", "ignore", "-c", code, "--epochs", "1"]  # should a script train, then briefly
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


# The models: test_check.py compares them with the check's reference. Here is what the check does not look at.


def small(module, **changes):
    """A Config that is quick, and whose sizes tell axes apart."""
    sizes = {"block_size": 16, "n_embd": 24, "n_head": 3, "n_layer": 2, "head_size": 24, "dropout": 0.3} | changes
    return module.Config(**{name: size for name, size in sizes.items() if hasattr(module.Config, name)})


def test_the_scale_is_the_documented_one():
    assert load("task01").SelfAttention(small(load("task01"), head_size=10)).scale == pytest.approx(10**-0.5)
    for name in (*CORE[1:], "task07", "task08_infinite", "task09_rope"):
        assert load(name).SelfAttention(small(load(name))).scale == pytest.approx(24**-0.5)


def test_no_two_lessons_weights_are_created_in_another_order():
    for earlier, later in (("task02", "task03"), ("task05", "task06"), ("task06", "task07")):
        names = []
        for name in (earlier, later):
            torch.manual_seed(1)
            model = load(name).GPT(small(load(name), dropout=0.0), 11)
            names.append([key for key, _ in model.named_parameters() if "norm" not in key])
        assert [name for name in names[1] if name in names[0]] == names[0]


# Task 8: the cache writes what the model would without one, for ever.


@pytest.fixture
def pair():
    """Task 7's model, and task 8's with the same weights."""
    model = lively(task07.GPT(small(task07), 65))
    twin = task08.GPT(small(task08), 65)
    twin.load_state_dict(model.state_dict())
    return model, twin.eval()


def start_of(n, tokens):
    return torch.cat([*itertools.islice(tokens, n)], dim=1)[0].tolist()


@pytest.mark.parametrize("temperature", [0.7, 1.0])
@pytest.mark.parametrize("length", [1, 3, 16])
def test_up_to_the_block_size_the_text_is_that_of_the_model(pair, temperature, length):
    model, twin = pair
    prompt = torch.randint(65, (1, length), generator=torch.Generator().manual_seed(2))
    for seed in range(3):
        torch.manual_seed(seed)
        expected = model.generate(prompt, 17 - length, temperature)[0, length:].tolist()
        torch.manual_seed(seed)
        found = start_of(17 - length, twin.generate(prompt, temperature))
        assert found == expected  # also a second time: no stale cache


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 15, 16, 17, 40])
def test_a_full_block_is_left_with_its_last_half(pair, length):
    model, twin = pair
    prompt = torch.randint(65, (1, length), generator=torch.Generator().manual_seed(1))
    text, used = prompt[0].tolist(), min(length, 16)
    for token in itertools.islice(twin.generate(prompt, temperature=1e-4), 50):
        logits = model(torch.tensor([text[-used:]]))[0, -1]
        assert logits[token] == pytest.approx(logits.max().item(), abs=1e-3)
        text.append(token.item())
        used = used + 1 if used < 16 else 8


@torch.no_grad()
def test_a_cache_gives_the_logits_of_the_model_in_any_parts(pair):
    model, twin = pair
    tokens = torch.randint(65, (1, 16))
    for parts in ([16], [1] * 16, [5, 1, 1, 9]):
        twin.restart()
        logits = torch.cat([twin(part) for part in tokens.split(parts, dim=1)], dim=1)
        torch.testing.assert_close(logits, model(tokens))


@pytest.mark.slow
def test_writing_takes_no_more_memory_as_it_goes_on(pair):
    resource = pytest.importorskip("resource")
    tokens = pair[1].generate(torch.zeros(1, 1, dtype=torch.long), 1.0, top_k=10, top_p=0.9)
    start_of(500, tokens)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start_of(3000, tokens)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2000  # kB; 2 kB a token would be 6,000


@pytest.mark.parametrize(
    ("top_k", "top_p", "kept"),
    [
        (0, 1.0, [0.4, 0.3, 0.2, 0.1]), (2, 1.0, [0.4, 0.3, 0, 0]), (0, 0.5, [0.4, 0.3, 0, 0]),
        (0, 0.39, [0.4, 0, 0, 0]), (0, 0.0, [0.4, 0, 0, 0]), (3, 0.8, [0.4, 0.3, 0.2, 0]),
        (99, 0.95, [0.4, 0.3, 0.2, 0.1]),
    ],
)  # fmt: skip
def test_top_k_and_top_p_keep_the_likeliest(top_k, top_p, kept):
    order = [3, 0, 2, 1]  # an order that a ranking changes
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log() * 2
    left = stream.keep_likely(logits, 2.0, top_k, top_p)[0]
    shares = [0.1, 0.4, 0.2, 0.3]
    assert [share in kept for share in shares] == left.isfinite().tolist(), order
    assert torch.equal(left[left.isfinite()], logits[0][left.isfinite()])


def test_the_study_of_speed_writes_the_same_text(pair):
    model, twin = pair
    prompt = torch.tensor([[3, 1, 4]])
    expected = start_of(60, twin.generate(prompt, 1e-6))
    found = [int(token) for token in itertools.islice(speculative.generate(model, prompt[0], temperature=0), 60)]
    assert found == expected
