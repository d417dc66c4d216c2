"""The file itself: whether it is the learner's own, and what it defines."""

import contextlib
import difflib
from collections.abc import Callable

from check.isolated.notebook import executed
from check.judge.learner_file import B, LearnerFile
from check.judge.result import Failure
from common.exercises import PARAMETERS
from exercises.build import official_signature

SHOWN = 3  # of the lines that were left out


def identity(learner: LearnerFile) -> str:
    """The file is the learner's, and importing it defines things without training."""
    digest = learner.identify()
    try:
        found = learner.process.ask("load", script=not learner.name.startswith("task"))
    except Failure:
        if not learner.process.ended:
            learner.found = learner.process.ask("defined")  # what the file defined before it failed
        raise
    lines = ", ".join(learner.process.run_from_text)  # which run code that nobody can read in the file
    if lines and learner.graded:
        raise Failure(
            what="the code can be read in the file",
            expected="definitions",
            got=f"it runs code from a string ({lines})",
            hint="Can this code be in the file itself?",
        )
    if lines:
        learner.note(f"{lines} runs code from a string: graded, that fails")
    learner.found = found
    return f"{learner.path.name}, SHA-256 {digest}{left_out(learner, found)}"


def left_out(learner: LearnerFile, found: dict) -> str:
    """What of a file the check did not run, and whether the learner ran a notebook in order."""
    lines = found["left_out"]
    more = f" and {len(lines) - SHOWN} more" * (len(lines) > SHOWN)
    return f"; left out: {', '.join(lines[:SHOWN])}{more}" * bool(lines) + executed(learner.path)


def interface(learner: LearnerFile) -> str:
    """Config with the task's sizes, GPT(config, vocab_size), and its generate."""
    for name in ("Config", "GPT"):
        if name not in learner.found["names"]:
            raise Failure(
                what=f"the file defines {name}", expected=name, got="no such name", hint=_called(learner, name)
            )
    sizes = learner.small_sizes
    optional = {"n_layer": learner.task.blocks, "dropout": learner.task.dropout}
    needed = [name for name in learner.config(sizes) if optional.get(name, True)]
    fields = learner.found["fields"] or []
    missing = [name for name in needed if name not in fields]
    if missing:
        raise Failure(
            what="Config has the task's sizes",
            expected=", ".join(sorted(needed)),
            got=f"no {', '.join(sorted(missing))}",
            hint=_meant(missing, fields),
        )
    model = learner.build(sizes)
    prompt = learner.tokens(B, 3, sizes.V)
    if problem := learner.process.ask("cannot_write", model=model.number):
        raise Failure(
            what="GPT generates",
            expected="generate(tokens, max_new_tokens, temperature=1.0)",
            got=problem,
            hint="How does your model write?",
        )
    with contextlib.suppress(Failure):  # a later stage says more about it; here it matters what is not written yet
        learner.process.ask("logits", model=model.number, tokens=prompt)
    return "Config, GPT, forward and generate are there"


def _called(learner: LearnerFile, name: str) -> str:
    """The hint for a class that is not there."""
    names, like_gpt = learner.found["names"], learner.found["like_gpt"]
    if name == "GPT" and like_gpt:
        return f"Is {like_gpt[-1]} the model? The check looks for the name GPT: GPT = {like_gpt[-1]}"
    like_config = [found for found in names if "config" in found.lower()]
    if name == "Config" and like_config:
        return f"Does {like_config[-1]} set the sizes? The check looks for the name Config: Config = {like_config[-1]}"
    sizes = [size for size in learner.config(learner.small_sizes) if size in names]
    if name == "Config" and sizes:
        return f"Are the globals {', '.join(sizes)} the sizes? The check sets its own: GPT(Config(…), vocab_size)."
    return f"What is the class called that is {name}?"


def _meant(missing: list[str], fields: list[str]) -> str:
    """The hint for sizes that a Config lacks."""
    close = [(name, difflib.get_close_matches(name, fields, n=1)) for name in missing]
    likely = [f"{found[0]} for {name}" for name, found in close if found]
    if likely:
        return f"Did you mean {', '.join(likely)}? The check sets the sizes by the lesson's names."
    return "Which sizes does your model take from elsewhere than Config?"


# The pieces


def only(learner: LearnerFile, found: list[str], name: str, signature: str, kind: str = "function") -> str:
    """The learner's name for a function or class. Raises Failure where there is none, or several could be it."""
    if len(found) != 1:
        several, names = f"several that could be it: {', '.join(found)}", ", ".join(learner.found["names"][-8:])
        raise Failure(
            what=f"the file defines {name}",
            expected=signature,
            got=several if found else f"no such {kind} among {names}",
            hint=f"Which of these is {name}?" if found else f"What is the {kind} called that is {name}?",
        )
    return found[0]


def contract(learner: LearnerFile, *names: str, try_it: Callable[[], object] = lambda: None) -> str:
    """The functions are there, by their names or others, and take their arguments.

    `try_it` calls one, which tells whether it is written; a later stage says what is wrong with the answer.
    """
    said = []
    for name in names:
        signature = f"{name}{official_signature(learner.name, name)}"
        found = only(learner, learner.process.ask("functions", function=name), name, signature)
        problem = learner.process.ask("takes", function=name) if name in PARAMETERS else ""
        if problem:
            raise Failure(
                what=f"{name} takes its arguments",
                expected=signature,
                got=problem,
                hint="Which arguments does it take, and in which order?",
            )
        said.append(name if found == name else f"{found}, which is {name} here")
    with contextlib.suppress(Failure):
        try_it()
    return f"{' and '.join(said)}: there"
