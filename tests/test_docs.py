"""The pages: their tables are those of the logs, their links lead somewhere, their commands exist."""

import ast
import re
import subprocess
import sys

from common.config import LAPTOP
from tests.lessons import LOGS, ROOT, parse_log
from tools.tables import PAGES, current, products

import pytest

README = (ROOT / "README.md").read_text(encoding="utf-8")
MARKDOWN = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "record" / "README.md", ROOT / "weights" / "README.md"]
)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_tables_are_those_of_the_logs(path):
    page = path.read_text(encoding="utf-8")
    assert page == current(page), "python -m tools.tables writes them"


def test_the_readme_is_short():
    lines = README.splitlines()
    assert len(lines) <= 131
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere_and_commands_exist(path):
    page = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page):
        assert (path.parent / target).exists(), target
    for module in re.findall(r"python -m ([\w.]+)", page):
        file = ROOT / module.replace(".", "/")
        assert module in ("venv", "pytest") or file.with_suffix(".py").exists() or (file / "__main__.py").exists(), (
            module
        )
    for script in re.findall(r"python (\w+\.py)", page):
        assert (ROOT / script).exists() or script.startswith("my_"), script


def test_papers_are_links():
    files = subprocess.run(["git", "ls-files", "*.md", "*.py"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    for name in files:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"arXiv \d{4}\.\d", text), name


def test_every_module_says_what_it_is():
    for path in ROOT.glob("[!.]*/**/*.py"):
        if path.parts[len(ROOT.parts)] in ("build", "runs") or "cases" in path.parts:
            continue
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


@pytest.mark.parametrize("name", ["task07", "task09_rope"])
def test_the_presets_run_the_steps_of_their_logs(name):
    for log in LOGS.glob(f"{name}_seed*.txt"):
        text = log.read_text(encoding="utf-8").split("\n", 1)[1].split("Final")[0]
        assert parse_log(text + "\n")[-1][0] == LAPTOP["max_steps"] - 1


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        ("(Xeon, AVX512), PyTorch 2; GEMM on one core: float32 198, bfloat16 1471 GFLOP/s", "bfloat16"),
        ("(Xeon, AVX512), PyTorch 2; GEMM on one core: float32 82 GFLOP/s", "float32, AVX512"),
        ("(EPYC, AVX2), PyTorch 2; GEMM on one core: float32 89 GFLOP/s", "float32, AVX2"),
    ],
)
def test_a_log_tells_in_what_type_its_machine_multiplied(machine, said):
    assert products(f"$ python task07.py\n\n# 9 s from start to end on 2 cores, x86_64 {machine}\n") == said


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# Room → the rooms that it may import; no arrow leads back.
MAY_IMPORT = {
    room: set(re.findall(r"`(\w+)`", rooms))
    for room, rooms in re.findall(r"^\| `(\w+)/` \| (.*) \|$", CONTRIBUTING, re.M)
}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_no_import_leads_back(room):
    assert {"common", "check", "tools"} <= {*MAY_IMPORT}
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            rooms = {name.partition(".")[0] for name in names} & {*MAY_IMPORT, "tests"}
            assert rooms <= MAY_IMPORT[room] | {room}, f"{path.relative_to(ROOT)}, line {node.lineno}"


WINDOWS = """
import sys
class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "pty", "resource", "termios", "tty"):
            raise ModuleNotFoundError(f"{name}: not on Windows")
sys.meta_path.insert(0, Nowhere())
import pytest
sys.exit(pytest.main(["--collect-only", "-q", "-m", "slow or not slow"]))
"""


@pytest.mark.slow
def test_no_test_file_needs_a_module_that_windows_lacks():
    found = subprocess.run([sys.executable, "-c", WINDOWS], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-1000:]
