"""Fixtures that several test files share."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

from common.data import Corpus
from common.options import DEFAULT_TEXT
from tests.lessons import CORE, full_run

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """As the scripts of tasks 1 to 6 do by default."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def corpus():
    """Tiny Shakespeare in the blocks of tasks 1 to 6."""
    return Corpus(DEFAULT_TEXT, block_size=8)


def pytest_collection_modifyitems(items):
    """The tests of full runs last, so that the runs can go on beside the others."""
    items.sort(key=lambda item: item.path.name == "test_logs.py")


@pytest.fixture(scope="session", autouse=True)
def runs_in_the_background(request):
    """Name → future log: runs on one thread, beside all other tests, where any test is about them."""
    wanted = any(item.path.name == "test_logs.py" for item in request.session.items)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield {name: pool.submit(full_run, name, 1) for name in sorted(CORE, reverse=True) if wanted}
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """An empty folder, as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(monkeypatch, capsys):
    """Call a command's main(); its exit code, stdout and stderr."""

    def call(module, *words):
        monkeypatch.setattr(sys, "argv", ["check", *map(str, words)])
        code = 0
        try:
            module.main()
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return call
