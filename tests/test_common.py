"""What the lessons share: text, evaluation, optimizers, checkpoints, the training loop, clean ends."""

import dataclasses
import hashlib
import math
import re
import sys

import task07
import task08_infinite
from common import evaluate, optim, precision, stream, train
from common.data import Corpus, tokenize
from common.evaluate import estimate_loss, score_split
from common.options import DEFAULT_TEXT
from common.progress import print_sample
from common.run import UserError
from tests.lessons import CONFIG, launch, learn, parse_log

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def write(tmp_path, content):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    return path


def test_the_text_is_tiny_shakespeare(corpus):
    assert hashlib.sha256(DEFAULT_TEXT.read_bytes()).hexdigest() == SHA256
    assert len(corpus.vocabulary) == 65 and corpus.vocabulary == "".join(sorted(corpus.vocabulary))
    assert len(corpus.splits["train"]) == 1_003_854 and len(corpus.splits["val"]) == 111_540
    assert corpus.decode(torch.cat([*corpus.splits.values()])) == DEFAULT_TEXT.read_text()
    assert corpus.encode("First").tolist() == corpus.splits["train"][:5].tolist()


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_batch_is_made_of_windows_of_its_split(corpus, split):
    torch.manual_seed(0)
    tokens, targets = corpus.batch(split, 50)
    torch.manual_seed(0)
    starts = torch.randint(len(corpus.splits[split]) - 8, (50,))
    assert tokens.shape == targets.shape == (50, 8)
    windows = torch.cat([tokens, targets[:, -1:]], dim=1)
    assert torch.equal(windows[:, 1:], targets)
    for start, row in zip(starts.tolist(), windows, strict=True):
        assert torch.equal(row, corpus.splits[split][start : start + 9])


@pytest.mark.parametrize("block_size", [1, 8, 9, 100])
def test_the_shortest_text_is_the_one_the_message_names(tmp_path, block_size):
    with pytest.raises(UserError, match="1 characters are too few") as error:
        Corpus(write(tmp_path, b"a"), block_size)
    shortest = int(re.search(r"need at least (\d+)", str(error.value)).group(1))
    corpus = Corpus(write(tmp_path, b"a" * shortest), block_size)
    for split in ("train", "val"):
        assert corpus.batch(split, 4)[1].shape == (4, block_size)
    with pytest.raises(UserError, match=f"{shortest - 1} characters are too few"):
        Corpus(write(tmp_path, b"a" * (shortest - 1)), block_size)


def test_line_ends_and_byte_order_mark_do_not_count(tmp_path):
    plain = Corpus(write(tmp_path, "é\nb\n".encode() * 50), 8)
    other = Corpus(write(tmp_path, b"\xef\xbb\xbf" + "é\r\nb\r\n".encode() * 50), 8)
    assert other.vocabulary == plain.vocabulary == "\nbé"
    assert torch.equal(other.splits["train"], plain.splits["train"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b"abc\xff", "not UTF-8 text: byte 0xff at offset 3"),
        (b"\xef\xbb\xbfab\xc3", "not UTF-8 text: byte 0xc3 at offset 5"),
        (b"too short", "9 characters are too few: blocks of 8 need at least 81"),
    ],
)
def test_an_unusable_text_is_named_in_one_line(tmp_path, content, message):
    path = write(tmp_path, content)
    with pytest.raises(UserError) as error:
        Corpus(path, 8)
    assert str(error.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("path", "said"),
    [("none.txt", "No such file or directory"), (".", "Is a directory"), ("/dev/zero", "more than 0 GB of text")],
)
def test_a_path_that_is_no_text_is_named(tmp_path, monkeypatch, path, said):
    monkeypatch.setattr("common.data.LARGEST", 10**6)
    with pytest.raises(UserError, match=re.escape(f"{tmp_path / path}: {said}")):
        Corpus(tmp_path / path, 8)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_runs_in_evaluation_mode_and_restores_the_mode(corpus, training):
    model, seen = nn.Embedding(65, 65, _weight=torch.zeros(65, 65)).train(training), set()
    model.register_forward_hook(lambda model, *_: seen.add(model.training))
    loss = estimate_loss(model, corpus, "val", batches=2, batch_size=3)
    assert seen == {False} and model.training is training
    assert loss == pytest.approx(math.log(65))


def test_evaluation_is_the_mean_over_separate_batches(corpus):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(65, 8), nn.Linear(8, 65))
    torch.manual_seed(1)
    together = estimate_loss(model, corpus, "val", batches=6, batch_size=32)
    torch.manual_seed(1)
    losses = []
    for _ in range(6):
        tokens, targets = corpus.batch("val", 32)
        losses.append(F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten()).item())
    assert together == pytest.approx(sum(losses) / 6, abs=1e-6)


SMALL = dataclasses.replace(CONFIG, dropout=0.1, max_steps=9, eval_interval=3, eval_batches=2)


def build(corpus, config=SMALL):
    torch.manual_seed(0)
    return task07.GPT(config, len(corpus.vocabulary))


def test_the_schedule_rises_stays_and_falls_to_nearly_nothing():
    config = dataclasses.replace(SMALL, max_steps=100, warmup=0.04, cooldown=0.09)
    rates = [optim.get_lr(step, config) for step in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert set(rates[4:91]) == {1.0}
    assert rates[90:] == pytest.approx([1 - i / 10 for i in range(10)])
    constant = dataclasses.replace(SMALL, max_steps=100, warmup=0.0, cooldown=0.0)
    assert {optim.get_lr(step, constant) for step in range(100)} == {1.0}


def test_windows_grow_from_the_first_length_to_the_block_size():
    config = dataclasses.replace(SMALL, max_steps=30, first_window=16, block_size=64)
    lengths = [optim.get_window(step, config) for step in range(30)]
    assert lengths == [16] * 10 + [32] * 10 + [64] * 10
    assert {optim.get_window(step, SMALL) for step in range(SMALL.max_steps)} == {16}


def test_short_windows_are_the_same_batches_in_pieces(blocks):
    config = dataclasses.replace(SMALL, max_steps=4, first_window=8)
    model, shapes = nn.Embedding(65, 65), []
    model.register_forward_hook(lambda _, given, logits: shapes.append(given[0].shape))
    optimizers = optim.configure_optimizers(model, dataclasses.replace(config, optimizer="adamw"))
    for step in range(4):
        train.update(model, blocks, config, optimizers, step, precision.low_precision(torch.device("cpu")))
    characters = config.batch_size * blocks.block_size
    assert [B * T for B, T in shapes] == [characters] * 4
    assert [T for _, T in shapes] == [optim.get_window(step, config) for step in range(4)]
    assert shapes[0][1] == 8 and shapes[-1][1] == blocks.block_size


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_every_parameter_has_one_optimizer_and_only_matrices_decay(blocks, optimizer):
    model = build(blocks)
    config = dataclasses.replace(SMALL, optimizer=optimizer)
    groups = [group for each in optim.configure_optimizers(model, config) for group in each.param_groups]
    held = [parameter for group in groups for parameter in group["params"]]
    assert sorted(map(id, held)) == sorted(map(id, model.parameters()))
    for group in groups:
        assert {parameter.ndim >= 2 for parameter in group["params"]} == {group["weight_decay"] > 0}
    if optimizer == "muon":
        assert {id(p) for p in groups[-1]["params"]} == {id(p) for p in model.blocks.parameters() if p.ndim == 2}


class ProductTypes(TorchDispatchMode):
    """Notes the types of all matrix products."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if {"mm", "addmm", "bmm", "baddbmm"} & {function.overloadpacket.__name__}:
            self.seen |= {arg.dtype for arg in args if isinstance(arg, torch.Tensor)}
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("fast", [torch.float32, torch.bfloat16])
def test_every_product_of_a_step_has_the_processor_s_fast_type(blocks, monkeypatch, fast):
    monkeypatch.setattr(precision, "product_dtype", lambda device: fast)
    model = build(blocks)
    optimizers = optim.configure_optimizers(model, dataclasses.replace(SMALL, optimizer="muon"))
    with ProductTypes() as products:
        train.update(model, blocks, SMALL, optimizers, 0, precision.low_precision(torch.device("cpu")))
    assert products.seen == {fast}


def test_muon_does_what_pytorch_s_own_does(monkeypatch):
    monkeypatch.setattr(precision, "product_dtype", lambda device: torch.bfloat16)
    start = [torch.randn(shape) for shape in [(24, 8), (8, 24), (24, 8), (8, 8)]]
    ours, theirs = ([torch.nn.Parameter(tensor.clone()) for tensor in start] for _ in range(2))
    optimizers = [Muon(p, lr=0.02, weight_decay=0.1) for Muon, p in [(optim.Muon, ours), (torch.optim.Muon, theirs)]]
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other, before in zip(ours, theirs, start, strict=True):
        assert (one - other).norm() < 0.02 * (other - before).norm()


def test_initial_weights_have_the_spread_that_is_asked_for(blocks):
    config = dataclasses.replace(SMALL, n_embd=240)
    model = build(blocks, config)
    optim.initialize(model, 0.02)
    block = model.blocks[0]
    assert block.attention.qkv.weight.std().item() == pytest.approx(0.02, rel=0.05)
    for last in (block.attention.projection, block.feed_forward.layers[2]):
        assert last.weight.std().item() == pytest.approx(0.02 / math.sqrt(2 * config.n_layer), rel=0.05)
        assert last.bias.abs().max() == 0
    assert torch.equal(block.attention_norm.weight, torch.ones(240))


def test_accumulated_batches_count_as_one_large_batch(proverb):
    # The whole split: unlike random batches it draws no numbers before the first update.
    plain = dataclasses.replace(SMALL, batch_size=8, dropout=0.0, max_steps=1, init_std=0.0, whole_split=True)
    parts = dataclasses.replace(plain, batch_size=4, accumulate=2)
    models = [learn(proverb, config) for config in (plain, parts)]
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.002)


def test_a_text_takes_a_byte_a_character_or_two_or_four(tmp_path):
    for symbols, dtype in ((65, torch.uint8), (300, torch.int16), (40_000, torch.int32)):
        text = "".join(map(chr, range(0x10000, 0x10000 + symbols)))
        vocabulary, tokens = tokenize(text[::-1] + text)
        assert vocabulary == text and tokens.dtype == dtype
        assert tokens.tolist() == [*reversed(range(symbols)), *range(symbols)]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupted_sample_leaves_the_model_in_its_mode(stop, proverb):
    model = task07.GPT(CONFIG, len(proverb.vocabulary)).train()

    def interrupt(*_):
        assert not model.training
        raise stop

    model.lm_head.register_forward_hook(interrupt)
    with pytest.raises(stop):
        print_sample(model, proverb)
    assert model.training


def test_a_large_vocabulary_is_evaluated_in_parts(tmp_path, monkeypatch):
    symbols = "".join(chr(0x4E00 + i) for i in range(300))
    (tmp_path / "text.txt").write_text(symbols * 20, encoding="utf-8")
    corpus = Corpus(tmp_path / "text.txt", 8)
    assert corpus.vocabulary == symbols and corpus.decode(corpus.splits["train"][:300]) == symbols
    assert corpus.encode("").dtype == torch.int64
    model, sizes = nn.Embedding(300, 300, _weight=torch.zeros(300, 300)), []
    model.register_forward_hook(lambda _, given, logits: sizes.append(logits.numel()))
    whole = evaluate.estimate_loss(model, corpus, "val", 20, 32)
    monkeypatch.setattr(evaluate, "LOGITS_AT_ONCE", 2**16)
    assert evaluate.estimate_loss(model, corpus, "val", 20, 32) == pytest.approx(whole)
    assert sizes[0] == 20 * 32 * 8 * 300 and max(sizes[1:]) <= 2**16


@pytest.mark.usefixtures("tiny_weights")
def test_task_8_with_a_closed_stdout_ends_quietly(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["task08_infinite.py", "--tokens", "3"])
    monkeypatch.setattr(sys, "stdout", None)
    task08_infinite.main()


def test_every_fourth_block_is_an_estimate(proverb):
    model, text = build(proverb).eval(), proverb.splits["val"].long()
    starts = torch.tensor([*range(0, len(text) - 16, 16), len(text) - 17])[::4]
    assert starts[-1] % 16 == 0  # not the last block, which overlaps the one before
    tokens, targets = proverb.windows(text, starts)
    expected = torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), targets.flatten()).item()
    score = score_split(model, proverb, "val", every=4)
    assert score.nats == pytest.approx(expected, abs=1e-5) and score.characters == targets.numel()


def test_the_whole_split_is_the_mean_over_its_characters(proverb):
    model = build(proverb).eval()
    text, nats, hits = proverb.splits["val"].long(), [], []
    for stride in (0, 8, 5):
        nats.clear(), hits.clear()
        done = 0
        for start in [*range(0, len(text) - 16, stride or 16), len(text) - 17]:
            for position in range(16):
                if start + position >= done:
                    logits = model(text[None, start : start + position + 1])[0, -1]
                    nats.append(-logits.log_softmax(-1)[text[start + position + 1]].item())
                    hits.append(logits.argmax().item() == text[start + position + 1].item())
            done = start + 16
        score = score_split(model, proverb, "val", stride)
        assert len(nats) == len(text) - 1 == score.characters
        assert score.nats == pytest.approx(sum(nats) / len(nats), abs=1e-5)
        assert score.accuracy == pytest.approx(sum(hits) / len(hits))
        assert score.bits == pytest.approx(score.nats / math.log(2))
        assert score.perplexity == pytest.approx(math.exp(score.nats))


def test_task_7_prints_the_documented_format(proverb, tmp_path, monkeypatch, capsys):
    sizes = dataclasses.asdict(SMALL)
    launch(monkeypatch, task07, "--device", "cpu", "--data", tmp_path / "text.txt", sizes=sizes)
    out, err = capsys.readouterr()
    assert [line[0] for line in parse_log(out)] == [0, 3, 6, 8] and err == ""


def test_a_prompt_is_encoded_and_an_empty_one_begins_somewhere():
    assert stream.encode("ba", "abc").tolist() == [[1, 0]]
    assert stream.encode("", "a\nb").tolist() == [[1]]
    assert stream.encode("", "ab").tolist() == stream.encode("", "\nab").tolist() == [[0]]
    with pytest.raises(UserError, match="argument --prompt: the model knows no 'x'; it knows abc"):
        stream.encode("x", "abc")


def small(**changes):
    return dataclasses.replace(SMALL, **changes)


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (lambda: small(n_head=5), "n_embd 24 does not divide among n_head 5"),
        (lambda: small(n_layer=0), "n_layer: expected a whole number from 1, got 0"),
        (lambda: small(block_size=8.0), "block_size: expected a whole number from 1, got 8.0"),
        (lambda: optim.get_window(0, small(first_window=48, block_size=64)), "first_window: 48"),
        (lambda: optim.configure_optimizers(nn.Linear(1, 1), small(optimizer="sgd")),
         "expected adamw or muon, got 'sgd'"),
        *((lambda tokens=tokens: evaluate.check_prompt(tokens), r"tokens: expected int64 of shape \(B, T\), T at")
          for tokens in (torch.zeros(1, 0, dtype=torch.long), torch.zeros(4, dtype=torch.long), torch.zeros(1, 3))),
    ],
)  # fmt: skip
def test_what_makes_no_model_and_no_run_is_named(action, said):
    with pytest.raises((UserError, ValueError), match=said):
        action()
