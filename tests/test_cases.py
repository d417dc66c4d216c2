"""Right files by authors who did not read the check pass; the mistakes planted in them do not."""

from check.command.names import task_of
from check.judge.zygote import Zygote
from tools import cases
from tools.in_process import first_failure

import pytest


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as zygote:
        yield zygote


@pytest.mark.slow
@pytest.mark.parametrize("path", cases.right_files([]), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_right_files_in_every_style_pass(path, zygote):
    found = cases.first_failure(path, 0, zygote)
    assert found is None, cases.said(found)


@pytest.mark.parametrize(
    "name",
    [
        "annotated/attention", "fairseq/positions", "heads_loop/generate", "heads_loop/task05",
        "llms_from_scratch/multi_head_attention", "llms_from_scratch/task01", "ng_video_lecture/mlp",
    ],
)  # fmt: skip
def test_arguments_names_and_forms_of_any_course_pass(name):
    path = cases.RIGHT / f"{name}.py"
    found = first_failure(str(task_of(path)), path)
    assert found is None, cases.said(found)


@pytest.mark.slow
@pytest.mark.parametrize("bug", cases.mistakes([]), ids=lambda bug: f"{bug['file']}: {bug['name']}")
def test_no_planted_mistake_passes(bug, tmp_path):
    path = tmp_path / bug["file"].rpartition("/")[2]
    path.write_text(cases.planted(bug), encoding="utf-8")
    assert first_failure(str(task_of(path)), path) is not None


@pytest.mark.slow
def test_a_relu_at_its_kink_is_no_failure():
    """With this draw a ReLU's input is 0 but for rounding, and one text's gradients differ."""
    path = cases.RIGHT / "heads_loop" / "task05.py"
    found = first_failure("task05", path, seed=13)
    assert found is None, cases.said(found)
