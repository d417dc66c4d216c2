"""The text, its split, and the batches drawn from it."""

import hashlib
import re

import pytest
import torch

from common.data import Corpus
from common.exits import UserError
from common.options import DEFAULT_TEXT

SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def write(tmp_path, content):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    return path


def test_the_text_is_tiny_shakespeare(corpus):
    assert hashlib.sha256(DEFAULT_TEXT.read_bytes()).hexdigest() == SHA256
    assert len(corpus.vocabulary) == 65
    assert corpus.vocabulary == "".join(sorted(corpus.vocabulary))
    assert len(corpus.splits["train"]) == 1_003_854
    assert len(corpus.splits["val"]) == 111_540


def test_the_splits_are_the_text_in_order(corpus):
    text = DEFAULT_TEXT.read_text()
    assert corpus.decode(corpus.splits["train"]) + corpus.decode(corpus.splits["val"]) == text
    assert corpus.encode("First").tolist() == corpus.splits["train"][:5].tolist()


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_batch_is_made_of_windows_of_its_split(corpus, split):
    torch.manual_seed(0)
    tokens, targets = corpus.batch(split, 50)
    torch.manual_seed(0)
    starts = torch.randint(len(corpus.splits[split]) - 8, (50,))
    assert tokens.shape == targets.shape == (50, 8)
    for start, row in zip(starts.tolist(), tokens, strict=True):
        assert torch.equal(row, corpus.splits[split][start : start + 8])


def test_targets_are_the_tokens_one_later(corpus):
    torch.manual_seed(0)
    _, targets = corpus.batch("train", 50)
    torch.manual_seed(0)
    starts = torch.randint(len(corpus.splits["train"]) - 8, (50,))
    for start, row in zip(starts.tolist(), targets, strict=True):
        assert torch.equal(row, corpus.splits["train"][start + 1 : start + 9])


def test_one_large_draw_is_many_small_ones(corpus):
    torch.manual_seed(0)
    small = torch.cat([corpus.batch("val", 32)[0] for _ in range(20)])
    torch.manual_seed(0)
    large = corpus.batch("val", 20 * 32)[0]
    assert torch.equal(small, large)


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


def test_a_missing_file_and_a_directory_are_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.txt: No such file or directory"):
        Corpus(tmp_path / "none.txt", 8)
    with pytest.raises(UserError, match="Is a directory"):
        Corpus(tmp_path, 8)
