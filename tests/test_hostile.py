"""Inputs that nobody should give: each is one line that says what is wrong, or works."""

import task01
import task07
import task08_infinite
import task09_rope
from tests.lessons import TEXT, complaint, launch

import pytest

LONG = "a" * 300
NUMBERS = ["", " ", "-1", "0x10", "1.5", "1e3", "nan", "inf", "-inf", "ten", "٣", "²", "9" * 40, "1_000", "1,000"]
NUMBERS += ["\x00", "None"]
TEXTS = {
    "empty": b"", "short": b"abc", "one character": b"a" * 3000, "one line": b"abcd efgh. " * 400,
    "line breaks": b"\n" * 3000, "carriage returns": b"a\rb\r\n" * 600, "nul": b"ab\0cd\0\n" * 600,
    "escapes": b"\x1b[31mred\t\x0b" * 50, "emoji": "😀 hi 👨‍👩‍👧 e\u0301\n".encode() * 400,
    "byte-order mark": b"\xef\xbb\xbf" + b"hello\n" * 300,
    "two byte-order marks": b"\xef\xbb\xbf" * 2 + b"hello\n" * 300, "utf-16": ("hello\n" * 300).encode("utf-16"),
    "utf-16 without mark": ("hello\n" * 300).encode("utf-16-le"), "utf-32": ("hello\n" * 300).encode("utf-32"),
    "latin-1": "Grüße ".encode("latin-1") * 300, "lone surrogate": b"ab\xed\xa0\x80" * 300,
    "cut symbol": b"hello\n" * 300 + b"\xf0\x9f", "random bytes": bytes(range(256)) * 20,
    "bidirectional": "\u202eabc\u202c \u2066x\u2069\n".encode() * 200,
    "private use": "\ue000\uf8ff\U0010ffff ".encode() * 200, "zip": b"PK\x03\x04" + bytes(3000),
}  # fmt: skip


def all_and_some(values, first, *others):
    """Each value with the first name, and two of them with each other name: they share their code."""
    some = list(values)[:: len(values) // 2][:2]
    return [(first, value) for value in values] + [(name, value) for name in others for value in some]


@pytest.mark.parametrize(
    ("flag", "value"), all_and_some(NUMBERS, "--steps", "--seed", "--threads", "--save-every"), ids=ascii
)
def test_numbers_of_the_tasks(monkeypatch, flag, value):
    known = [] if flag == "--steps" else ["--steps", 1]
    said = complaint(launch, monkeypatch, task07, "--device", "cpu", *known, flag, value)
    assert said.startswith(f"argument {flag}")


@pytest.mark.usefixtures("tiny_weights")
@pytest.mark.parametrize(
    ("flag", "value"),
    all_and_some(NUMBERS, "--temperature", "--top-k", "--top-p", "--speed", "--seed", "--tokens"),
    ids=ascii,
)
def test_numbers_of_task_8(monkeypatch, capsys, flag, value):
    known = [] if flag == "--tokens" else ["--tokens", 2]
    said = complaint(launch, monkeypatch, task08_infinite, *known, flag, value)
    assert said.startswith(f"argument {flag}") or capsys.readouterr().out


@pytest.mark.usefixtures("tiny_weights")
@pytest.mark.parametrize(
    "prompt", ["", "\n", " ", "\x00", "é", "😀", "\udcff", "\x1b[31m", "a" * 5000, "-", "--prompt"], ids=ascii
)
def test_prompts(monkeypatch, capsys, prompt):
    said = complaint(launch, monkeypatch, task08_infinite, "--tokens", 2, "--seed", 1, f"--prompt={prompt}")
    assert "--prompt" in said or capsys.readouterr().out.startswith(prompt)


@pytest.mark.parametrize("flag", ["--data", "--save", "--resume", "--weights"])
@pytest.mark.parametrize(
    "path",
    ["", ".", "/", "none/none", "input.txt", "README.md", "\x00", LONG, "\udcff", "/dev/null", "/proc/self/mem"],
    ids=ascii,
)
def test_paths(monkeypatch, tmp_path, capsys, flag, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "input.txt").write_text(TEXT)
    (tmp_path / "README.md").write_bytes(b"PK\x05\x06" + bytes(18))
    if flag == "--weights":
        said = complaint(launch, monkeypatch, task08_infinite, "--tokens", 1, flag, path)
    else:
        said = complaint(launch, monkeypatch, task09_rope, "--device", "cpu", "--data", "input.txt", flag, path)
    assert said or (flag == "--data" and path == "input.txt") or (flag == "--save" and path == "\udcff")
    assert (tmp_path / "input.txt").read_text() == TEXT


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("script", [task01, task07])
def test_texts(monkeypatch, tmp_path, capsys, script, name):
    (tmp_path / "text.txt").write_bytes(TEXTS[name])
    said = complaint(launch, monkeypatch, script, "--device", "cpu", "--steps", 1, "--data", tmp_path / "text.txt")
    assert said.startswith(str(tmp_path / "text.txt")) or capsys.readouterr().out.startswith("Epoch 0")
