"""Text → characters → tokens → random batches."""

import hashlib
from pathlib import Path

from common import pytorch  # noqa: F401
from common.run import UserError

import torch

TRAIN_FRACTION = 0.9  # the first part is for training, the rest for validation
LARGEST = 10**9  # bytes of a text
CODES_AT_ONCE = 2**22  # characters


def read_text(path: Path) -> str:
    """Read UTF-8 text, with or without a byte-order mark, with LF or CRLF line ends.

    Raises UserError for a file that is missing, unreadable, empty or not UTF-8.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise UserError(f"{path}: more than {LARGEST // 10**9} GB of text")
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UserError(f"{path}: not UTF-8 text: byte 0x{byte:02x} at offset {error.start}") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    if text := text.removeprefix("\ufeff").replace("\r\n", "\n"):
        return text
    raise UserError(f"{path}: the file is empty")


def tokenize(text: str) -> tuple[str, torch.Tensor]:
    """A text's distinct characters, sorted, and its characters (N) as indices into them.

    The indices are of the smallest integer type that holds them all: a byte each, in most texts.
    """
    vocabulary = "".join(sorted(set(text)))
    symbols = _codes(vocabulary)  # (V)
    small = torch.uint8 if len(symbols) <= 2**8 else torch.int16 if len(symbols) <= 2**15 else torch.int32
    pieces = (text[i : i + CODES_AT_ONCE] for i in range(0, len(text), CODES_AT_ONCE))
    return vocabulary, torch.cat([torch.searchsorted(symbols, _codes(piece)).to(small) for piece in pieces])


def _codes(text: str) -> torch.Tensor:
    """The code points (N) of a text."""
    return torch.frombuffer(bytearray(text.encode("utf-32-le")), dtype=torch.int32)


class Tokens:
    """Rows of tokens, read in windows: `splits` (name → integers), `block_size` (the T of the windows)."""

    def __init__(self, splits: dict[str, torch.Tensor], block_size: int):
        self.splits = splits
        self.block_size = block_size
        self._window = torch.arange(block_size + 1, device=splits["train"].device)

    def batch(self, split: str, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Random windows of a split: tokens (B, T) and, as targets (B, T), the tokens that follow them.

        The starts come from torch's global CPU generator, so a seed draws the same windows on every
        device, and one call for n·B windows draws those of n calls for B.
        """
        tokens = self.splits[split]
        starts = torch.randint(len(tokens) - self.block_size, (batch_size,)).to(tokens.device)  # (B)
        return self.windows(tokens, starts)

    def next_batch(self, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The next training batch: tokens and targets (B, T) of the training split, here random ones."""
        return self.batch("train", batch_size)

    def skip(self, windows: int) -> None:
        """Continue as after that many windows of `next_batch`; random windows do not depend on earlier ones."""

    def windows(self, tokens: torch.Tensor, starts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The windows that begin at `starts` (B) of a row of tokens: inputs and targets, int64, (B, T) each."""
        windows = tokens[starts[:, None] + self._window].long()  # (B, T + 1)
        return windows[:, :-1], windows[:, 1:]


class Corpus(Tokens):
    """A text as tokens, one a character, split into `train` (the first 90%) and `val`.

    Attributes besides those of `Tokens`: `vocabulary` (str: its V distinct characters, sorted; a token is an
    index into it) and `text_hash` (str: SHA-256 of the text, to tell texts apart).

    Raises UserError where the file is unusable or too short for a window of block_size + 1 tokens.
    """

    def __init__(self, path: Path, block_size: int, device: torch.device | str = "cpu"):
        try:
            text = read_text(path)
            self.vocabulary, tokens = tokenize(text)
            self.text_hash = hashlib.sha256(text.encode()).hexdigest()
        except MemoryError as error:
            size = path.stat().st_size / 1e6
            raise UserError(f"{path}: too little memory: {size:,.0f} MB of text need several times as much") from error
        self._token = {character: token for token, character in enumerate(self.vocabulary)}
        n = int(TRAIN_FRACTION * len(text))
        if min(n, len(text) - n) <= block_size:
            shortest = next(n for n in range(10 * block_size, 10**9) if n - int(TRAIN_FRACTION * n) > block_size)
            raise UserError(
                f"{path}: {len(text)} characters are too few: blocks of {block_size} need at least {shortest}"
            )
        tokens = tokens.to(device)
        super().__init__({"train": tokens[:n], "val": tokens[n:]}, block_size)

    def tune(self) -> None:
        """Replace the splits by those of the training text, cut in the same way: to choose between recipes
        without a look at the validation text."""
        text = self.splits["train"]
        n = int(TRAIN_FRACTION * len(text))
        self.splits = {"train": text[:n], "val": text[n:]}
        self.text_hash += " tuning"

    def encode(self, text: str) -> torch.Tensor:
        """Characters → int64 tokens (T). Raises KeyError for a character outside the vocabulary."""
        return torch.tensor([self._token[character] for character in text], dtype=torch.long)

    def decode(self, tokens: torch.Tensor) -> str:
        """Tokens (T) → characters."""
        return "".join(self.vocabulary[token] for token in tokens.tolist())
