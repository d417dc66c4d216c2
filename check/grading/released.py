"""Recognizes files that everybody was given: the repository's own, of this version or an earlier one, and starters."""

import hashlib
import io
import tokenize
from pathlib import Path

from exercises.build import source, starter

LAYOUT = {getattr(tokenize, name) for name in ("COMMENT", "NL", "NEWLINE", "INDENT", "DEDENT", "ENDMARKER", "ENCODING")}
EARLIER = Path(__file__).with_name("released.txt")  # digests of earlier versions: python -m tools.released


def given(task: str, code: str) -> str:
    """What everybody was given that this is, but for comments, layout and the docstring at its top; else empty."""
    found = digest(code)
    if found == digest(starter(task)):
        return "the unchanged starter"
    if found == digest(source(task)) or found in EARLIER.read_text(encoding="utf-8").split():
        return "the repository's own file"
    return "" if code.strip() else "an empty file"


def digest(code: str) -> str:
    """The same for files that differ in comments, layout and docstring alone; empty where it is not Python."""
    try:
        tokens = [token for token in tokenize.generate_tokens(io.StringIO(code).readline) if token.type not in LAYOUT]
    except (SyntaxError, tokenize.TokenError, ValueError):
        return ""
    if tokens and tokens[0].type == tokenize.STRING:
        del tokens[0]
    text = "".join("".join(token.string.split()) for token in tokens)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16] if text else ""
