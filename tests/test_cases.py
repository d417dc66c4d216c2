"""Right files by authors who did not read the check pass; the mistakes planted in them do not."""

from check.names import task_of
from check.zygote import Zygote
from tests.local import first_failure
from tools import cases

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


@pytest.mark.slow
@pytest.mark.parametrize("bug", cases.mistakes([]), ids=lambda bug: f"{bug['file']}: {bug['name']}")
def test_no_planted_mistake_passes(bug, tmp_path):
    path = tmp_path / bug["file"].rpartition("/")[2]
    path.write_text(cases.planted(bug), encoding="utf-8")
    assert first_failure(str(task_of(path)), path) is not None
