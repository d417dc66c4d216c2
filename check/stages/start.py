"""The file itself: whose it is, and what it defines."""

import contextlib

from check.result import Failure
from check.subject import B, Subject


def identity(subject: Subject) -> str:
    """The file is the learner's, and importing it defines things without training."""
    digest = subject.identify()
    found = subject.session.ask("load")
    subject.fields, subject.defined = found["fields"] or [], found["names"]
    return f"{subject.path.name}, SHA-256 {digest}"


def interface(subject: Subject) -> str:
    """Config with the task's sizes, GPT(config, vocab_size), and its generate."""
    for name in ("Config", "GPT"):
        if name not in subject.defined:
            raise Failure(
                what=f"the file defines {name}",
                expected=name,
                got="no such name",
                question=f"What is the class called that is {name}?",
            )
    sizes = subject.small_sizes
    needed = [name for name in subject.config(sizes) if _is_needed(subject, name)]
    missing = [name for name in needed if name not in subject.fields]
    if missing:
        raise Failure(
            what="Config has the task's sizes",
            expected=", ".join(sorted(needed)),
            got=f"no {', '.join(sorted(missing))}",
            question="Which sizes does your model take from elsewhere than Config?",
        )
    model = subject.build(sizes)
    prompt = subject.tokens(B, 3, sizes.V)
    if not subject.session.ask("has", function="generate"):
        problem = "no such method"
    else:
        problem = subject.session.ask(
            "signature", function="generate", arguments=[None, prompt, 1], keywords={"temperature": 1.0}
        )
    if problem:
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
