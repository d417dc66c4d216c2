"""The properties of the pieces: small functions, looked at in the same manner as the tasks."""

import inspect
import math

import torch
from torch import nn
from torch.nn import functional as F

from check.stages import STAGES, identity
from check.subject import SIZES, B, Failure, Subject, V, close, off, tokens

T, C, H = SIZES["block_size"], SIZES["n_embd"], SIZES["n_head"]
D, E = 4, 5  # widths of keys and of values


def stages_of(task: str) -> dict:
    """Name → stage, in order, of a task or piece."""
    return PIECES.get(task, STAGES)


# attention(q, k, v, mask) and causal_mask(T)


def attention_contract(subject: Subject):
    """causal_mask(T) and attention(q, k, v, mask)."""
    return _contract(subject, causal_mask=(T,), attention=(*_vectors(), _past()))


def attention_shapes(subject: Subject):
    """Vectors (…, T, D), (…, T, D), (…, T, E) → (…, T, E); mask (T, T)."""
    for length in (1, 3, T):
        mask = _function(subject, "causal_mask")(length)
        if tuple(mask.shape)[-2:] != (length, length) or mask.numel() != length**2:
            raise Failure("a mask has a row for each query and a column for each key", (length, length),
                          tuple(mask.shape), "Which sizes has the table of all scores?")  # fmt: skip
        for front in ((), (B,), (B, H)):
            got = tuple(_function(subject, "attention")(*_vectors(length, front), mask).shape)
            if got != (*front, length, E):
                raise Failure("(…, T, D), (…, T, D) and (…, T, E) give (…, T, E)", (*front, length, E), got,
                              "Which axes does each product join: the last two, whatever stands in front?")  # fmt: skip
    return f"any axes in front, T from 1 to {T}, values of another width than keys"


def attention_steadiness(subject: Subject):
    """Finite numbers, each row of the batch by itself, and arguments left as they were."""
    vectors = _vectors(scale=30.0)
    before = [vector.clone() for vector in vectors]
    got = _masked(subject, *vectors)
    if not all(torch.equal(vector, old) for vector, old in zip(vectors, before, strict=True)):
        raise Failure("attention leaves its arguments as they were", "the same q, k and v after the call", "others",
                      "Which operation works in place (its name ends in _, or it is *=)?")  # fmt: skip
    if not got.isfinite().all():
        raise Failure("the output is finite", "numbers", f"{int((~got.isfinite()).sum())} infinite or not a number",
                      "Can a row of scores be masked altogether, or exp overflow?")  # fmt: skip
    alone = _masked(subject, *(vector[:1] for vector in vectors))
    if not close(alone, got[:1]):
        raise Failure("a row does not depend on the rest of the batch", "the output that it has alone",
                      f"off by {off(alone, got[:1])}", "Which operation mixes along the first axis?")  # fmt: skip
    return "finite, rows independent, arguments untouched"


def attention_causality(subject: Subject):
    """The mask tells the past from the future, and attention heeds it, also where scores are large."""
    mask = _function(subject, "causal_mask")(T).reshape(T, T)
    look, blind = mask[-1, 0], mask[0, -1]
    wrong = (mask != torch.where(_past(), look, blind)).nonzero().tolist()
    if wrong or look == blind:
        row, column = wrong[0] if wrong else (0, 1)
        raise Failure("the mask has one value for the past and itself, another for the future", "a lower triangle",
                      f"row {row}, column {column}: {mask[row, column].item()}",
                      "Which columns may the row of query t look at: from where, up to where?")  # fmt: skip
    for scale in (1.0, 30.0):
        vectors = _vectors(front=(8 * B,), scale=scale)
        before = _masked(subject, *vectors)
        for t in range(1, T):
            later = torch.arange(T)[:, None] >= t  # (T, 1)
            got = _masked(subject, *(torch.where(later, -x, x) for x in vectors))
            if not close(got[:, :t], before[:, :t]):
                question = "Is the mask applied to scores or to weights, and along which axis does the softmax go?"
                if scale > 1:
                    question = "Do masked scores become -inf before the softmax, or just small?"
                raise Failure("outputs do not depend on later vectors", f"positions before {t} blind to the rest",
                              f"outputs change by {off(got[:, :t], before[:, :t])}", question)  # fmt: skip
    return f"no query sees ahead (T = {T})"


def attention_reference(subject: Subject):
    """What PyTorch's own function computes, for the causal mask and for another."""
    for what, pattern in _patterns().items():
        vectors = _vectors(front=(B, H))
        got, expected = _masked(subject, *vectors, pattern), F.scaled_dot_product_attention(*vectors, attn_mask=pattern)
        if not close(got, expected):
            question = "Scale, order of operations, axis of the softmax: which differs from the paper's formula?"
            if what != "the causal mask":
                question = "Does attention use the mask it is given, or one of its own?"
            raise Failure(f"equal to F.scaled_dot_product_attention for {what}", "equal outputs",
                          f"off by {off(got, expected)}", question)  # fmt: skip
    return "equal to F.scaled_dot_product_attention, for the causal mask and another"


def attention_gradients(subject: Subject):
    """Queries, keys and values learn."""
    found = []
    for compute in (lambda *x: _masked(subject, *x), lambda *x: F.scaled_dot_product_attention(*x, _past())):
        vectors = [vector.requires_grad_() for vector in _vectors()]
        compute(*vectors).square().sum().backward()
        found.append([vector.grad for vector in vectors])
    for name, got, expected in zip(("queries", "keys", "values"), *found, strict=True):
        if got is None or not close(got, expected, 1e-3):
            raise Failure(f"{name} get the gradient that the formula gives", "an equal gradient",
                          "none" if got is None else f"off by {off(got, expected)}",
                          "Is nothing detached, copied or rounded on the way?")  # fmt: skip
    return "queries, keys and values get their gradients"


def _vectors(length=T, front=(B,), scale=1.0):
    """q, k (…, T, D) and v (…, T, E) of normal numbers."""
    generator = torch.Generator().manual_seed(1)
    return [scale * torch.randn(*front, length, width, generator=generator) for width in (D, D, E)]


def _past():
    return torch.ones(T, T, dtype=torch.bool).tril()


def _patterns():
    """Masks (T, T), True where a query may look; every query sees itself."""
    drawn = torch.rand(T, T, generator=torch.Generator().manual_seed(2)) < 0.5
    return {"the causal mask": _past(), "another mask": drawn | torch.eye(T, dtype=torch.bool)}


def _masked(subject, q, k, v, pattern=None):
    """The learner's attention, with a pattern in the two values of the learner's own causal mask."""
    mask = _function(subject, "causal_mask")(T)
    if pattern is not None:
        values = mask.reshape(T, T)
        mask = torch.where(pattern, values[-1, 0], values[0, -1]).reshape(mask.shape)
    return _function(subject, "attention")(q, k, v, mask)


# positional_encoding(T, C)


def positions_contract(subject: Subject):
    """positional_encoding(T, C)."""
    return _contract(subject, positional_encoding=(T, C))


def positions_shapes(subject: Subject):
    """(T, C) of floats."""
    for length, width in ((1, C), (T, C), (40, 8)):
        rows = _function(subject, "positional_encoding")(length, width)
        if tuple(rows.shape) != (length, width) or not rows.is_floating_point():
            raise Failure("a row of C floats for each position", f"{(length, width)} of floats",
                          f"{tuple(rows.shape)} of {rows.dtype}", "Along which axis stand the positions?")  # fmt: skip
    return "(T, C), T from 1 to 40"


def positions_steadiness(subject: Subject):
    """Fixed numbers; a position's row does not depend on how many there are."""
    encode = _function(subject, "positional_encoding")
    rows = encode(40, C)
    if not rows.isfinite().all():
        raise Failure("numbers are finite", "numbers", f"{int((~rows.isfinite()).sum())} infinite or not a number",
                      "Is there a division by zero, or a power that overflows?")  # fmt: skip
    if rows.requires_grad or not torch.equal(rows, encode(40, C)):
        raise Failure("nothing is drawn or learned", "the same fixed numbers twice", "others",
                      "What in the formula is random, or a parameter?")  # fmt: skip
    if not close(rows[:T], encode(T, C)):
        raise Failure("a row does not depend on T", f"the first {T} of 40 rows, alone", off(rows[:T], encode(T, C)),
                      "Where does the number of positions enter, besides in counting them?")  # fmt: skip
    return "fixed, finite, the same row for a position whatever T"


def positions_position(subject: Subject):
    """Positions are told apart, and the product of two rows tells their distance."""
    rows = _function(subject, "positional_encoding")(64, C).double()
    apart = (torch.cdist(rows, rows) + 9 * torch.eye(64)).min()
    if apart < 0.1:
        raise Failure("positions are told apart", "rows at least 0.1 apart", f"{apart:.2g}",
                      "Do the angles grow with the position, in the fast pairs by much?")  # fmt: skip
    products = rows @ rows.T  # (T, T)
    for distance in range(64):
        along = products.diagonal(distance)
        if along.max() - along.min() > 1e-3 * C:
            raise Failure("the product of two rows depends on their distance alone", f"one value {distance} apart",
                          f"{along.min():.3g} to {along.max():.3g}",
                          "Has every sine a cosine of the same angle?")  # fmt: skip
    return "rows differ, and their products depend on the distance alone"


def positions_reference(subject: Subject):
    """The paper's formula, interleaved or half by half."""
    rows = _function(subject, "positional_encoding")(64, C).double()
    pairs = torch.arange(0, C, 2, dtype=torch.float64)
    angles = torch.arange(64)[:, None] / 10_000.0 ** (pairs / C)  # (T, C / 2)
    for layout, expected in (
        ("sines at even columns", torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)),
        ("sines first", torch.cat([angles.sin(), angles.cos()], dim=-1)),
    ):
        if close(rows, expected):
            return f"the paper's numbers, {layout}"
    first = torch.tensor([0.0, 1.0]).repeat(C // 2)
    question = "Which base, and which exponents, for the pair at columns 2i and 2i + 1?"
    if not close(rows[0].sort().values, first.sort().values):
        question = "What are sine and cosine at position 0, and is 0 the first position?"
    elif close(1 - rows[0], first) or close(1 - rows[0], first.sort().values):
        question = "Which comes first, the sine or the cosine?"
    raise Failure("sin and cos of t / 10000^(2i/C)", "equal numbers", f"position 1 is {_shown(rows[1])}, "
                  f"and should be {_shown(expected[1])} in some order of pairs", question)  # fmt: skip


def _shown(row):
    return "[" + ", ".join(f"{number:.3g}" for number in row[:4].tolist()) + ", …]"


# configure_optimizers(model, weight_decay, learning_rate, betas)


def optimizers_contract(subject: Subject):
    """configure_optimizers(model, weight_decay, learning_rate, betas)."""
    return _contract(subject, configure_optimizers=(_Layers(), *SETTINGS))


def optimizers_parameters(subject: Subject):
    """Every parameter, each once."""
    model, groups = _groups(subject)
    held = [id(p) for group in groups for p in group["params"]]
    for name, parameter in model.named_parameters():
        if held.count(id(parameter)) != 1:
            times = held.count(id(parameter))
            question = "Which parameters does no group hold? A group may be told by what another leaves."
            if times:
                question = "What of a weight that two layers share, or that fits both groups?"
            raise Failure("every parameter stands in one group", "each once", f"{name} {times} times",
                          question)  # fmt: skip
    if len(held) != len(list(model.parameters())):
        raise Failure("the groups hold the model's parameters alone", f"{len(list(model.parameters()))} of them",
                      len(held), "What else is in a group: a copy, a buffer?")  # fmt: skip
    return f"all {len(held)} parameters once, the shared one too"


def optimizers_decay(subject: Subject):
    """Weight decay for two and more axes, none for the rest."""
    model, groups = _groups(subject)
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        expected = SETTINGS[0] if parameter.ndim >= 2 else 0.0
        if decays[id(parameter)] != expected:
            question = "How many axes has it: is that what tells the groups apart?"
            if decays[id(parameter)] == 0.01:
                question = "What is AdamW's own weight decay, where a group names none?"
            raise Failure("matrices decay, biases and norms do not", f"{name} {tuple(parameter.shape)}: {expected}",
                          decays[id(parameter)], question)  # fmt: skip
    return "two and more axes decay, one axis does not"


def optimizers_reference(subject: Subject):
    """AdamW, with the learning rate and betas that were asked for."""
    optimizer = _function(subject, "configure_optimizers")(_Layers(), *SETTINGS)
    if not isinstance(optimizer, torch.optim.AdamW):
        raise Failure("an AdamW", "torch.optim.AdamW", type(optimizer).__name__,
                      "Which optimizer takes its decay apart from the gradient?")  # fmt: skip
    for group in optimizer.param_groups:
        got = (group["lr"], tuple(group["betas"]))
        if got != (SETTINGS[1], SETTINGS[2]):
            raise Failure("the settings are those asked for", f"learning rate and betas {(SETTINGS[1], SETTINGS[2])}",
                          got, "Which argument is not handed on?")  # fmt: skip
    return "AdamW with its settings"


SETTINGS = (0.3, 2e-3, (0.8, 0.95))  # weight decay, learning rate, betas


class _Layers(nn.Module):
    """Parameters of one, two and three axes, one of them shared by two layers, one bare."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(V, C)
        self.heads = nn.Parameter(torch.ones(H, C, D))
        self.gain = nn.Parameter(torch.ones(C))
        self.norm = nn.LayerNorm(C)
        self.output = nn.Linear(C, V)
        self.output.weight = self.embedding.weight


def _groups(subject):
    """A model, and the groups of the optimizer made for it."""
    model = _Layers()
    try:
        return model, _function(subject, "configure_optimizers")(model, *SETTINGS).param_groups
    except ValueError as error:  # PyTorch's own complaint about a parameter in two groups
        raise Failure("every parameter stands in one group", "each once", error,
                      "What of a weight that two layers share, or that fits both groups?") from error  # fmt: skip


# get_lr(iteration, learning_rate, warmup_iters, decay_iters, min_lr)


def schedule_contract(subject: Subject):
    """get_lr(iteration, learning_rate, warmup_iters, decay_iters, min_lr)."""
    return _contract(subject, get_lr=(0, *RUNS[0]))


def schedule_rise(subject: Subject):
    """Equal steps up to the peak, which comes at iteration warmup_iters."""
    for run in RUNS:
        peak, warmup = run[:2]
        got = _rates(subject, run)[: warmup + 1]
        right = [_line(start, peak, warmup) for start in (0.0, peak / (warmup + 1))]
        if not any(_equal(got, expected) for expected in right):
            question = "At which iteration is the peak first reached, and are the steps to it equal?"
            if abs(got[-1] - peak) > 1e-6 * peak:
                question = "What are both formulas at iteration warmup_iters, where they meet?"
            raise Failure(f"a linear rise over {warmup} iterations to {peak:g}",
                          _listed(right[1]), _listed(got), question)  # fmt: skip
    return f"linear, to the peak at iterations {', '.join(str(run[1]) for run in RUNS)}"


def schedule_fall(subject: Subject):
    """From the peak down, to the minimum at decay_iters and not before, and no further."""
    for run in RUNS:
        peak, warmup, end, least = run
        got = _rates(subject, run)
        for n in range(warmup + 1, len(got)):
            if got[n] > got[n - 1] + 1e-6 * peak:
                raise Failure("after the peak it never rises", f"at most {got[n - 1]:.6g} at iteration {n}",
                              f"{got[n]:.6g}",
                              "Which way does the cosine go, and what comes after decay_iters?")  # fmt: skip
        if not _equal(got[end:], [least] * len(got[end:])) or got[end - 1] <= least + 1e-6 * peak:
            raise Failure(f"the minimum, {least:g}, from iteration {end} on", _listed([least] * 3),
                          f"{got[end - 1]:.6g} at {end - 1}, then {_listed(got[end:])}",
                          "How far along is iteration decay_iters, and what is left of the wave there?")  # fmt: skip
    return "down to the minimum at decay_iters, and there it stays"


def schedule_reference(subject: Subject):
    """Half a wave of the cosine."""
    for run in RUNS:
        peak, warmup, end, least = run
        got = _rates(subject, run)[warmup : end + 1]
        wave = [math.cos(math.pi * n / (end - warmup)) for n in range(end - warmup + 1)]
        expected = [least + (peak - least) * (1 + height) / 2 for height in wave]
        if not _equal(got, expected):
            raise Failure("half a wave of the cosine between peak and minimum", _listed(expected), _listed(got),
                          "Half-way down, which fraction of the way from minimum to peak is left?")  # fmt: skip
    return "half a wave of the cosine"


RUNS = [(0.4, 4, 14, 0.1), (2.0, 1, 8, 0.0), (0.5, 0, 7, 0.25)]  # peak, warmup_iters, decay_iters, minimum


def _rates(subject, run):
    """The learning rates of a run, and of some iterations after it."""
    get_lr = _function(subject, "get_lr")
    return [float(get_lr(n, *run)) for n in range(2 * run[2] + 3)]


def _line(start, peak, warmup):
    """Rates at iterations 0 to warmup, in equal steps to the peak."""
    return [peak - (peak - start) * (warmup - n) / max(warmup, 1) for n in range(warmup + 1)]


def _equal(got, expected):
    return all(abs(one - other) <= 1e-6 for one, other in zip(got, expected, strict=True))


def _listed(rates):
    shown = ", ".join(f"{rate:.4g}" for rate in rates[:6])
    return f"{shown}, …" if len(rates) > 6 else shown


# generate(model, x, max_new_tokens, temperature=1.0)


def generate_contract(subject: Subject):
    """generate(model, x, max_new_tokens, temperature=1.0)."""
    return _contract(subject, generate=(_Predictor(), tokens(B, 2), 1, 1.0))


def generate_shapes(subject: Subject):
    """(B, T) → (B, T + max_new_tokens), the prompt kept."""
    for rows, length, more in ((1, 1, 1), (B, 3, 3), (B, 2, 0)):
        prompt = tokens(rows, length)
        got = _function(subject, "generate")(_Predictor(), prompt.clone(), more)
        if tuple(got.shape) != (rows, length + more) or not torch.equal(got[:, :length], prompt):
            raise Failure("the new tokens stand behind the prompt",
                          f"{(rows, length + more)}, beginning with the prompt", tuple(got.shape),
                          "What does generate return: all tokens or the new ones, and how many?")  # fmt: skip
        if got.dtype != torch.int64 or not ((got >= 0) & (got < V)).all():
            raise Failure("tokens are indices into the vocabulary", "int64 from 0 to V - 1", got.dtype,
                          "What does the draw give: an index, or a probability?")  # fmt: skip
    return "appends to its prompt, also nothing"


def generate_steadiness(subject: Subject):
    """Evaluation mode and no gradients while it writes; then the mode it was in."""
    for training in (True, False):
        model = _Predictor().train(training)
        with torch.enable_grad():
            _function(subject, "generate")(model, tokens(B, 2), 2)
        if any(call["training"] for call in model.calls):
            raise Failure("the model writes in evaluation mode", "model.training False in each call", "True",
                          "Is dropout off while the model writes?")  # fmt: skip
        if any(call["gradients"] for call in model.calls):
            raise Failure("writing keeps no gradients", "torch.is_grad_enabled() False in each call", "True",
                          "What grows with every token, for a backward pass that never comes?")  # fmt: skip
        if model.training != training:
            raise Failure("generate leaves the mode as it was", f"model.training {training}", model.training,
                          "What happens to a run that samples in between?")  # fmt: skip
    return "evaluation mode, no gradients, the mode as before"


def generate_context(subject: Subject):
    """The model reads the last block_size tokens, those just written among them."""
    for length in (1, T, T + 3):
        model = _Predictor()
        out = _function(subject, "generate")(model, tokens(B, length), 4)
        for t, call in enumerate(model.calls, start=length):
            expected = out[:, max(0, t - T) : t]
            if not torch.equal(call["tokens"], expected):
                raise Failure("the model reads the last block_size tokens",
                              f"tokens {max(0, t - T)} to {t - 1}: {expected[0].tolist()}", call["tokens"][0].tolist(),
                              "Which end of the text is cut off, and to which length?")  # fmt: skip
    return f"crops to the last {T} tokens"


def generate_sampling(subject: Subject):
    """Each row draws from the softmax of its last logits, divided by the temperature."""
    generate, model = _function(subject, "generate"), _Predictor()
    prompt = tokens(B, 3)
    torch.manual_seed(0)
    out = generate(model, prompt, 1, temperature=1e-4)[:, -1]
    likeliest = model(prompt)[:, -1].argmax(dim=-1)
    if not torch.equal(out, likeliest):
        raise Failure("near temperature 0 the token is the likeliest", likeliest.tolist(), out.tolist(),
                      "Which position's logits tell the next token, and is the temperature a divisor?")  # fmt: skip
    rows = prompt[:1].expand(4000, -1)
    for temperature in (1.0, 2.0, 0.5):
        drawn = generate(model, rows, 1, temperature)[:, -1].bincount(minlength=V) / len(rows)
        expected = F.softmax(model(prompt[:1])[0, -1] / temperature, dim=-1)
        apart = (drawn - expected).abs().max()
        if apart > 0.05:  # of 4,000 draws: six standard deviations
            question = "Is the temperature a divisor of the logits, before the softmax?"
            if drawn.max() == 1:
                question = "Does each row draw, or is one token taken for all?"
            raise Failure(f"at temperature {temperature:g} tokens come as often as the softmax says",
                          f"the likeliest in {expected.max():.0%}", f"in {drawn[expected.argmax()]:.0%}",
                          question)  # fmt: skip
    return "draws each row from the softmax, at any temperature"


class _Predictor(nn.Module):
    """Logits (B, T, V) that depend on all tokens so far; notes how it is called."""

    block_size = T

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.table = nn.Parameter(1.5 * torch.randn(V, V, generator=generator))
        self.calls = []

    def forward(self, tokens):
        self.calls.append({"tokens": tokens.clone(), "training": self.training, "gradients": torch.is_grad_enabled()})
        seen = self.table[tokens]  # (B, T, V)
        return seen + seen.cumsum(dim=1) / 2


def _function(subject, name):
    """The learner's function: of the file, or a method of its GPT."""
    function = getattr(subject.module, name, None) or getattr(getattr(subject.module, "GPT", None), name, None)
    if function is None:
        raise Failure(f"the file defines {name}", f"{name}{inspect.signature(getattr(subject.official, name))}",
                      "no such name", f"What is the function called that is {name}?")  # fmt: skip
    return function


def _contract(subject, **calls):
    """The functions are there and take their arguments; what they answer is for later stages."""
    for name, arguments in calls.items():
        function = _function(subject, name)
        try:
            inspect.signature(function).bind(*arguments)
        except TypeError as error:
            raise Failure(f"{name} takes its arguments",
                          f"{name}{inspect.signature(getattr(subject.official, name))}", error,
                          "In which order do the arguments come?") from error  # fmt: skip
        try:
            function(*arguments)
        except NotImplementedError:
            raise
        except Exception:  # of a later stage, which says more about it
            pass
    return f"{' and '.join(calls)}: there"


PIECES = {
    "attention": {
        "identity": identity, "contract": attention_contract, "shapes": attention_shapes,
        "steadiness": attention_steadiness, "causality": attention_causality, "reference": attention_reference,
        "gradients": attention_gradients,
    },
    "positions": {
        "identity": identity, "contract": positions_contract, "shapes": positions_shapes,
        "steadiness": positions_steadiness, "position": positions_position, "reference": positions_reference,
    },
    "optimizers": {
        "identity": identity, "contract": optimizers_contract, "parameters": optimizers_parameters,
        "decay": optimizers_decay, "reference": optimizers_reference,
    },
    "schedule": {
        "identity": identity, "contract": schedule_contract, "rise": schedule_rise, "fall": schedule_fall,
        "reference": schedule_reference,
    },
    "generate": {
        "identity": identity, "contract": generate_contract, "shapes": generate_shapes,
        "steadiness": generate_steadiness, "context": generate_context, "sampling": generate_sampling,
    },
}  # fmt: skip
