"""The file itself: whether it is the learner's own, and what it defines."""

import contextlib
import difflib

from check.notebook import executed
from check.result import Failure
from check.subject import B, Subject

SHOWN = 3  # of the lines that were left out


def identity(subject: Subject) -> str:
    """The file is the learner's, and importing it defines things without training."""
    digest = subject.identify()
    try:
        found = subject.session.ask("load", script=not subject.name.startswith("task"))
    except Failure:
        if subject.session.lives():
            subject.know(subject.session.ask("defined"))  # what the file defined before it failed
        raise
    if subject.session.run_from_text:
        _runs_text(subject, ", ".join(subject.session.run_from_text))
    subject.know(found)
    return f"{subject.path.name}, SHA-256 {digest}{left_out(subject, found)}"


def _runs_text(subject: Subject, lines: str) -> None:
    """Note that a file runs code which nobody can read in it. Raises Failure where it is graded."""
    if subject.graded:
        raise Failure(
            what="the code can be read in the file",
            expected="definitions",
            got=f"it runs code from a string ({lines})",
            question="Can this code be in the file itself?",
        )
    subject.note(f"{lines} runs code from a string: graded, that fails")


def left_out(subject: Subject, found: dict) -> str:
    """What of a file the check did not run, and whether the learner ran a notebook in order."""
    lines = found["left_out"]
    more = f" and {len(lines) - SHOWN} more" * (len(lines) > SHOWN)
    return f"; left out: {', '.join(lines[:SHOWN])}{more}" * bool(lines) + executed(subject.path)


def interface(subject: Subject) -> str:
    """Config with the task's sizes, GPT(config, vocab_size), and its generate."""
    for name in ("Config", "GPT"):
        if name not in subject.defined:
            raise Failure(
                what=f"the file defines {name}",
                expected=name,
                got="no such name",
                question=_called(subject, name),
            )
    sizes = subject.small_sizes
    needed = [name for name in subject.config(sizes) if _is_needed(subject, name)]
    missing = [name for name in needed if name not in subject.fields]
    if missing:
        raise Failure(
            what="Config has the task's sizes",
            expected=", ".join(sorted(needed)),
            got=f"no {', '.join(sorted(missing))}",
            question=_meant(missing, subject.fields),
        )
    model = subject.build(sizes)
    prompt = subject.tokens(B, 3, sizes.V)
    if problem := subject.session.ask("cannot_write", model=model.number):
        raise Failure(
            what="GPT generates",
            expected="generate(tokens, max_new_tokens, temperature=1.0)",
            got=problem,
            question="How does your model write?",
        )
    with contextlib.suppress(Failure):  # a later stage says more about it; here it matters what is not written yet
        subject.session.ask("logits", model=model.number, tokens=prompt)
    return "Config, GPT, forward and generate are there"


def _is_needed(subject: Subject, name: str) -> bool:
    task = subject.task
    return {"n_layer": task.blocks, "dropout": task.dropout}.get(name, True)


def _called(subject: Subject, name: str) -> str:
    """The question for a class that is not there."""
    if name == "GPT" and subject.like_gpt:
        return f"Is {subject.like_gpt[-1]} the model? The check looks for the name GPT: GPT = {subject.like_gpt[-1]}"
    like_config = [found for found in subject.defined if "config" in found.lower()]
    if name == "Config" and like_config:
        return f"Does {like_config[-1]} set the sizes? The check looks for the name Config: Config = {like_config[-1]}"
    sizes = [size for size in subject.config(subject.small_sizes) if size in subject.defined]
    if name == "Config" and sizes:
        return f"Are the globals {', '.join(sizes)} the sizes? The check sets its own: GPT(Config(…), vocab_size)."
    return f"What is the class called that is {name}?"


def _meant(missing: list[str], fields: list[str]) -> str:
    """The question for sizes that a Config lacks."""
    close = [(name, difflib.get_close_matches(name, fields, n=1)) for name in missing]
    likely = [f"{found[0]} for {name}" for name, found in close if found]
    if likely:
        return f"Did you mean {', '.join(likely)}? The check sets the sizes by the lesson's names."
    return "Which sizes does your model take from elsewhere than Config?"
