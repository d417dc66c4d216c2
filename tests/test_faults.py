"""A suite is worth the faults it notices."""

import pytest

from tests import faults
from tests.lessons import ROOT


@pytest.mark.slow
def test_every_deliberate_fault_is_noticed():
    results = faults.survey()
    print(faults.table(results))
    assert [fault.what for fault, caught in results if not caught] == []


def test_the_committed_table_is_about_these_faults():
    assert faults.table([(fault, True) for fault in faults.FAULTS]) in (ROOT / "docs/faults.md").read_text()
