"""Fixtures that several test files share."""

import pytest
import torch

from common.data import Corpus
from common.options import DEFAULT_TEXT


@pytest.fixture(autouse=True)
def one_thread():
    """As the scripts of tasks 1 to 6 do by default."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def corpus():
    """Tiny Shakespeare in the blocks of tasks 1 to 6."""
    return Corpus(DEFAULT_TEXT, block_size=8)
