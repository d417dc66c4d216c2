"""configure_optimizers(model, weight_decay, learning_rate, betas)."""

from check.judge.learner_file import LearnerFile
from check.judge.result import Failure
from check.judge.stages.start import contract, identity

SIZES = {"V": 11, "C": 24, "H": 4, "D": 6, "T": 7}
SHARED = "What happens to a weight that two layers share, or that fits both groups?"
LEFT = "Which parameters are in no group? One group may take what the other leaves."
SETTINGS = [0.3, 2e-3, [0.8, 0.95]]  # weight decay, learning rate, betas


def interface(learner: LearnerFile) -> str:
    """configure_optimizers(model, weight_decay, learning_rate, betas)."""
    return contract(learner, "configure_optimizers")


def parameters(learner: LearnerFile) -> str:
    """Every parameter, each once."""
    made = _made(learner)
    axes, held = made["axes"], [name for group in made["groups"] for name in group["names"]]
    for name in axes:
        if (times := held.count(name)) != 1:
            raise _not_once(f"{name} {times} times", SHARED if times else LEFT)
    if len(held) != len(axes):
        raise Failure(
            what="the groups contain only the model's parameters",
            expected=f"{len(axes)} of them",
            got=len(held),
            hint="What else is in a group: a copy, a buffer?",
        )
    whose = "of a model with a shared one" if made["model"] == "Layers" else f"of your {made['model']}"
    return f"all {len(held)} parameters {whose}, each once"


def decay(learner: LearnerFile) -> str:
    """Weight decay for two and more axes, none for the rest."""
    made = _made(learner)
    decays = {name: group["weight_decay"] for group in made["groups"] for name in group["names"]}
    for name, axes in made["axes"].items():
        expected = SETTINGS[0] if axes >= 2 else 0.0
        if decays[name] != expected:
            hint = "How many axes does it have: is that what separates the groups?"
            if decays[name] == 0.01:
                hint = "What is AdamW's default weight decay, if a group names none?"
            elif set(decays.values()) == {SETTINGS[0]}:
                hint = "Does the second group say weight_decay=0.0, or does it get AdamW's value for all groups?"
            elif all(decays[each] == (0.0 if n >= 2 else SETTINGS[0]) for each, n in made["axes"].items()):
                hint = "Are the two groups exchanged: which of them decays?"
            raise Failure(
                what="matrices decay, biases and norms do not",
                expected=f"{name}, {axes} {'axis' if axes == 1 else 'axes'}: {expected}",
                got=decays[name],
                hint=hint,
            )
    return "two and more axes decay, one axis does not"


def settings(learner: LearnerFile) -> str:
    """AdamW, with the learning rate and betas that were asked for."""
    made = _made(learner)
    if not made["adamw"]:
        raise Failure(
            what="an AdamW",
            expected="torch.optim.AdamW",
            got=made["kind"],
            hint="Which optimizer applies its decay separately from the gradient?",
        )
    for group in made["groups"]:
        if [group["lr"], group["betas"]] != SETTINGS[1:]:
            raise Failure(
                what="the settings are those asked for",
                expected=f"learning rate and betas {SETTINGS[1:]}",
                got=[group["lr"], group["betas"]],
                hint="Which argument is not passed on?",
            )
    return "AdamW with its settings"


def _made(learner: LearnerFile) -> dict:
    try:
        return learner.process.ask("optimizer", settings=SETTINGS, sizes=SIZES)
    except Failure as failure:
        if "more than one parameter group" not in failure.got:
            raise
        raise _not_once(failure.got, SHARED) from None  # PyTorch's own complaint


def _not_once(got: str, hint: str) -> Failure:
    return Failure(what="every parameter is in one group", expected="each once", got=got, hint=hint)


STAGES = [identity, interface, parameters, decay, settings]
