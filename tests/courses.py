"""What the tests of the five courses share: a solution written to a homework's own words, and faults put into it."""

from tools.in_process import first_failure


def write(folder, name, text):
    path = folder / f"my_{name}.py"
    path.write_text(text, encoding="utf-8")
    return path


def assert_passes(folder, name, text):
    found = first_failure(name, write(folder, name, text))
    assert found is None, f"{name}: {found.stage}: {found.what}: expected {found.expected}, got {found.got}"


def assert_names(folder, name, text, fault):
    """The check fails, at the stage that the fault expects, with a question."""
    what, old, new, stage = fault
    assert text.count(old) >= 1, f"{what}: nothing to change"
    found = first_failure(name, write(folder, name, text.replace(old, new)))
    assert found is not None, f"{what}: passed"
    assert (found.status, found.stage) == ("fail", stage), f"{what}: {found.stage}: {found.what}, got {found.got}"
    assert found.hint.endswith("?")
