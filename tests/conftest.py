"""Fixtures that several test files share."""

import dataclasses
import os
import signal
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from check.isolated import sandbox
from check.judge.zygote import Zygote
from common import stream, terminal
from common.data import Corpus
from common.options import DEFAULT_TEXT
from tests.lessons import CONFIG, CORE, TEXT, full_run, learn
from tools import in_process

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


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The weights of a tiny task 7, trained for a moment."""
    place = tmp_path_factory.mktemp("weights") / "tiny.pt"
    config = dataclasses.replace(CONFIG, block_size=8, max_steps=20)
    learn(Corpus(DEFAULT_TEXT, block_size=8), config, save=place, save_every=100)
    return place


@pytest.fixture
def tiny_weights(trained, monkeypatch):
    """Task 8 writes with tiny weights; where they are."""
    monkeypatch.setattr(stream, "WEIGHTS", trained)
    return trained


signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background starts programs that ignore it

FAMILIES = {  # tests of many cases of a second and more: how many of them are not slow
    "test_a_literal_file_passes_or_is_told_why_not": 6, "test_a_fault_in_a_literal_file_is_named": 6,
    "test_known_bugs_alone_and_in_pairs_are_named": 2, "test_what_is_nearly_right_is_named": 2,
    "test_a_planted_mistake_is_led_to": 2, "test_its_neighbours_are_led_to": 2,
    "test_a_masked_score_is_far_below_all_others": 1, "test_the_official_dropout_passes_with_any_draw": 1,
    "test_a_bug_has_the_same_name_in_every_draw": 1, "test_right_parameters_are_read_wherever_they_are": 8,
    "test_projection_parameters_may_have_any_axes": 6, "test_a_missing_or_extra_part_is_named": 4,
    "test_one_cause_is_charged_once": 1, "test_a_folder_is_marked_in_every_form": 0,
    "test_a_later_run_checks_only_what_is_new": 0, "test_a_wrong_file_cannot_talk_itself_into_a_pass": 0,
    "test_a_right_file_passes_whatever_it_does_at_import": 1, "test_a_notebook_is_run_as_jupyter_would": 8,
    "test_a_model_of_your_own_learns_in_a_study": 1, "test_bad_input_is_one_line_and_exit_code_2": 1,
    "test_attention_is_seen_whatever_it_is_called": 1, "test_from_an_empty_folder_to_a_passed_task": 0,
    "test_flags_may_stand_anywhere": 0, "test_the_official_file_passes_in_a_process_of_its_own": 0,
    "test_what_is_written_of_a_starter_is_counted": 4, "test_what_is_written_of_a_starter_is_checked": 2,
    "test_a_students_slip_is_named": 2,
    "test_the_check_is_found_by_its_path_and_help_comes_without_a_traceback": 0,
    "test_saved_weights_are_the_model_s_that_main_leaves": 2, "test_task_9_knows_which_change_was_made": 1,
    "test_an_unknown_change_fails_where_it_cannot_work": 0, "test_an_unknown_change_gets_no_verdict_and_no_points": 1,
    "test_a_short_file_is_judged_by_what_it_changes": 2,
}  # fmt: skip


def pytest_collection_modifyitems(items):
    """Few cases of each family are not slow. The tests of full runs last, so that the runs can go on next to others."""
    seen: Counter[tuple] = Counter()
    for item in items:
        name = getattr(item, "originalname", item.name)
        seen[item.path, name] += 1
        if seen[item.path, name] > FAMILIES.get(name, sys.maxsize):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.path.name == "test_logs.py")


@pytest.fixture(scope="session", autouse=True)
def runs_in_the_background(request):
    """Name → future log: runs on one thread, next to all other tests, where any test is about them."""
    wanted = any("runs" in getattr(item, "fixturenames", ()) for item in request.session.items)
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
    """Call the main() of a command or script; its exit code, stdout and stderr."""

    def call(module, *words):
        monkeypatch.setattr(sys, "argv", [f"{module.__name__.rpartition('.')[2]}.py", *map(str, words)])
        code = 0
        try:
            module.main()
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def printed(call):
    """Call a main() that ends well and says nothing on stderr; its stdout."""

    def printed(module, *words):
        code, out, err = call(module, *words)
        assert (code, err) == (0, "")
        return out

    return printed


@pytest.fixture
def line(monkeypatch):
    """What the progress line showed, in order."""
    shown = []
    monkeypatch.setattr(terminal.status, "show", shown.append)
    monkeypatch.setattr(terminal, "REFRESH_SECONDS", 0.0)
    return shown


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as zygote:
        yield zygote


@pytest.fixture(scope="module")
def blocks():
    return Corpus(DEFAULT_TEXT, block_size=16)


@pytest.fixture
def proverbs(tmp_path):
    """The file of a text that evaluates in no time."""
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path / "text.txt"


@pytest.fixture
def proverb(proverbs):
    """This text."""
    return Corpus(proverbs, block_size=16)


@pytest.fixture
def checked(tmp_path):
    """Check a text as a learner's file, in this process; all results."""

    def checked(task, text, seed=0):
        path = tmp_path / f"my_{task}.py"
        path.write_text(text, encoding="utf-8")
        return in_process.check(task, path, seed)

    return checked


@pytest.fixture
def failing(checked):
    """The same, but only the first result that does not pass, or None."""
    return lambda *what: next((result for result in checked(*what) if result.status != "pass"), None)


@pytest.fixture
def unconfined(monkeypatch):
    """Grade where nothing confines: these files are the tests' own."""
    monkeypatch.setattr(sandbox, "need", lambda unconfined: None)
