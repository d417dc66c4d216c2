"""The digests of all lessons, pieces and starters of this version and earlier ones: python -m tools.released

Adds them to check/grading/released.txt, with which `python -m check grade` recognizes files that everybody has.
"""

import subprocess

from check.grading.released import EARLIER, digest
from common.run import run
from exercises.build import ROOT, source, starter
from exercises.catalogue import EXERCISES

WHERE = ["task0*.py", "exercises/*.py", "exercises/official/*.py"]


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def main() -> None:
    blobs = {line.split()[3] for line in git("log", "--raw", "--no-abbrev", "--format=", "--", *WHERE).splitlines()}
    found = {digest(git("cat-file", "blob", blob)) for blob in blobs if set(blob) != {"0"}}
    found |= {digest(text(name)) for name in EXERCISES for text in (source, starter)}
    found |= set(EARLIER.read_text(encoding="utf-8").split())
    EARLIER.write_text("\n".join(sorted(found - {""})) + "\n", encoding="utf-8")
    print(f"{EARLIER.name}: {len(found)} digests")


if __name__ == "__main__":
    run(main)
