"""Bugs that learners write, each with the stage of the check that names it: python -m tests.mutants prints the table."""

from dataclasses import dataclass

from check.pieces import stages_of
from exercises import build
from exercises.hints import HINTS

ALL = ["task01", "task02", "task03", "task04", "task05", "task06", "task07", "task09_rope"]
HEADS = ALL[1:]  # many heads
STACKED = ALL[1:6]  # a module a head
FUSED = ALL[6:]  # one product for all heads
SKIPS = ALL[4:]
NORMS = ALL[5:]


@dataclass(frozen=True)
class Mutant:
    task: str
    what: str
    old: str
    new: str
    stage: str

    def text(self):
        source = build.source(self.task)
        assert self.old in source, f"{self.task}: {self.what}: nothing to change"
        return source.replace(self.old, self.new)


def _each(tasks, what, old, new, stage):
    return [Mutant(task, what, old, new, stage) for task in tasks]


SKIP = "x = x + self.attention(self.attention_norm(x))"
STACK = "torch.stack([head(x) for head in self.heads], dim=1)"
EVAL = "        self.eval()\n"
OUTPUT = "        self.output = nn.Linear(config.n_embd, vocab_size)\n"

MUTANTS = [
    *_each(["task01"], "trains when imported", "if __name__", "torch.ones(1, requires_grad=True).backward()\nif __name__",
           "identity"),
    *_each(["task02"], "a name that does not exist", "from torch import nn", "from torch import nm as nn", "identity"),
    *_each(["task03"], "the class has another name", "class GPT(", "class Transformer(", "contract"),
    *_each(["task04"], "n_layer written into the model", "    n_layer: int = 3\n", "", "contract"),
    *_each(["task01"], "generate without temperature", "max_new_tokens, temperature=1.0):", "max_new_tokens):\n"
           "        temperature = 1.0", "contract"),
    *_each(["task01", "task06"], "the length written into forward", "torch.arange(tokens.shape[1]",
           "torch.arange(self.block_size", "shapes"),
    *_each(["task05"], "the last position only", "return self.output(x)  #", "return self.output(x[:, -1])  #", "shapes"),
    *_each(["task02"], "logits of the last position only", "return self.output(x)", "return self.output(x)[:, -1:]", "shapes"),
    *_each(["task01", "task04", "task07"], "the whole mask whatever the length", "self.mask[:T, :T]", "self.mask", "shapes"),
    *_each(["task07", "task09_rope"], "dropout always on", "weights = dropout(F.softmax(scores, dim=-1))",
           "weights = F.dropout(F.softmax(scores, dim=-1), 0.5)", "steadiness"),
    *_each(FUSED, "no dropout", "Dropout(config.dropout)", "nn.Identity()", "steadiness"),
    *_each(["task03", "task06"], "a norm over the batch", "return self.layers(x)", "return self.layers(x - x.mean(0))",
           "steadiness"),
    *_each(["task02", "task05"], "a mask that leaves rows empty", ".tril()", ".tril(-1)", "steadiness"),
    *_each(["task01", "task03", "task06", "task07", "task09_rope"], "no mask", ".tril()", "", "causality"),
    *_each(["task02", "task04", "task05", "task07"], "mask off by one: sees the next", ".tril()", ".tril(1)", "causality"),
    *_each(["task01"], "mask upside down", ".tril()", ".triu()", "causality"),
    *_each(["task05"], "mask after the softmax", 'scores = torch.where(mask, scores, float("-inf"))\n'
           "    weights = F.softmax(scores, dim=-1)",
           "weights = torch.where(mask, F.softmax(scores, dim=-1), 0.0)", "causality"),
    *_each(["task02", "task09_rope"], "masked with a small number, not -inf", 'float("-inf")', "-20.0", "causality"),
    *_each(["task01", "task03", "task05", "task09_rope"], "softmax over the queries", "F.softmax(scores, dim=-1)",
           "F.softmax(scores, dim=-2)", "causality"),
    *_each(["task04"], "masks with zero before the softmax", 'float("-inf")', "0.0", "causality"),
    *_each(["task06"], "norm over time", "self.feed_forward_norm(x)", "F.layer_norm(x.transpose(1, 2), x.shape[1:2])"
           ".transpose(1, 2)", "causality"),
    *_each(["task05", "task07"], "the mean over time subtracted", "x = x + self.feed_forward(",
           "x = x - x.mean(1, keepdim=True) + self.feed_forward(", "causality"),
    *_each(["task02", "task06", "task07"], "sees itself and the one before only", ".tril()", ".tril().triu(-1)", "causality"),
    *_each(["task03"], "sees itself only", ".tril()", ".tril().triu()", "causality"),
    *_each(["task02", "task07"], "heads merged without a transpose", "x.transpose(1, 2).reshape(B, T, C)",
           "x.reshape(B, T, C)", "causality"),
    *_each(["task07"], "heads split without a transpose", "view(B, T, self.n_head, -1).transpose(1, 2)",
           "view(B, self.n_head, T, -1)", "causality"),
    *_each(["task01", "task04", "task06"], "position table looked up with the token", "self.position_embedding(positions)",
           "self.position_embedding(tokens % self.block_size)", "position"),
    *_each(["task02", "task07"], "no positions", " + self.position_embedding(positions)",
           " + 0 * self.position_embedding(positions)", "position"),
    *_each(["task09_rope"], "values turned too", "        k, q = rotate(k, self.angles[:T])",
           "        v = rotate(v, self.angles[:T])\n        k, q = rotate(k, self.angles[:T])", "position"),
    *_each(["task09_rope"], "only queries turned", "k, q = rotate(k, self.angles[:T]), ", "k, q = k, ", "position"),
    *_each(["task09_rope"], "keys turned against queries", "rotate(k, self.angles[:T])", "rotate(k, -self.angles[:T])",
           "position"),
    *_each(["task09_rope"], "another base", "10_000.0 **", "100.0 **", "position"),
    *_each(["task09_rope"], "one speed for all pairs", "-torch.arange(0, D, 2) / D", "-torch.zeros(D // 2)", "position"),
    *_each(["task09_rope"], "exponents of pair i, not 2i", "-torch.arange(0, D, 2) / D", "-torch.arange(D // 2) / D",
           "position"),
    *_each(["task09_rope"], "no rotation at all", "k, q = rotate(k, self.angles[:T]), rotate(q, self.angles[:T])",
           "k, q = k, q", "position"),
    *_each(["task09_rope"], "a rotation that stretches", "first * cos - second * sin", "first * cos + second * sin",
           "position"),
    *_each(["task02", "task05"], "heads that share weights", "nn.ModuleList(\n            nn.Linear(config.n_embd, "
           "3 * head_size, bias=False) for _ in range(config.n_head)\n        )",
           "nn.ModuleList([nn.Linear(config.n_embd, 3 * head_size, bias=False)] * config.n_head)", "parameters"),
    *_each(["task04", "task06", "task07"], "one block many times", "*(Block(config) for _ in range(config.n_layer))",
           "*([Block(config)] * config.n_layer)", "parameters"),
    *_each(["task05"], "no projection", "self.projection(x.transpose(1, 2).reshape(B, T, C))",
           "x.transpose(1, 2).reshape(B, T, C)", "reference"),
    *_each(["task06"], "an MLP too narrow", "4 * config.n_embd", "2 * config.n_embd", "parameters"),
    *_each(["task06"], "one norm for both branches", "self.feed_forward_norm = nn.LayerNorm(config.n_embd)",
           "self.feed_forward_norm = self.attention_norm", "parameters"),
    *_each(["task03"], "a bias missing", "nn.Linear(config.n_embd, config.n_embd), nn.ReLU()",
           "nn.Linear(config.n_embd, config.n_embd, bias=False), nn.ReLU()", "parameters"),
    *_each(FUSED, "tied weights that are not", "self.output.weight = self.token_embedding.weight", "pass", "parameters"),
    *_each(["task01", "task02", "task06", "task07"], "no scale", " * scale", "", "reference"),
    *_each(["task01"], "divided by D, not by its root", "**-0.5", "**-1.0", "reference"),
    *_each(["task05"], "divided by D, not by its root", "** -0.5", "** -1.0", "reference"),
    *_each(["task03", "task04"], "no ReLU", "nn.ReLU()", "nn.Identity()", "reference"),
    *_each(["task05", "task07"], "another activation", "nn.ReLU()", "nn.Tanh()", "reference"),
    *_each(["task03"], "feed-forward before attention", "x = self.attention(x)  # (B, T, C)\n        x = self.feed_forward(x)",
           "x = self.feed_forward(x)\n        x = self.attention(x)", "reference"),
    *_each(["task05"], "no skip around attention", "x = x + self.attention(x)", "x = self.attention(x)", "reference"),
    *_each(["task06"], "no skip around the MLP", "x = x + self.feed_forward(", "x = self.feed_forward(", "reference"),
    *_each(["task06"], "skip around the norm alone", SKIP, "x = self.attention(x + self.attention_norm(x))", "reference"),
    *_each(["task06", "task07"], "norm after the sum (post-LN)", SKIP, "x = self.attention_norm(x + self.attention(x))",
           "reference"),
    *_each(["task07"], "the skip takes the normalized stream", SKIP,
           "x = self.attention_norm(x)\n        x = x + self.attention(x)", "reference"),
    *_each(["task06"], "no last norm", "self.output(self.output_norm(x))", "self.output(x + 0 * self.output_norm(x))",
           "reference"),
    *_each(["task02", "task05"], "key and query are one", "k, q, v = heads.chunk(3, dim=-1)",
           "k, _, v = heads.chunk(3, dim=-1)\n        q = k", "reference"),
    *_each(["task05", "task09_rope"], "generate without crop", "tokens[:, -self.block_size :]", "tokens", "generation"),
    *_each(["task02"], "crop to the first tokens", "tokens[:, -self.block_size :]", "tokens[:, : self.block_size]",
           "generation"),
    *_each(FUSED, "generate in training mode", EVAL, "", "generation"),
    *_each(["task07"], "generate ends training", "self.train(was_training)", "pass", "generation"),
    *_each(["task04", "task06"], "temperature multiplies", "logits / temperature", "logits * temperature", "generation"),
    *_each(["task01"], "temperature ignored", "logits / temperature", "logits", "generation"),
    *_each(["task03"], "always the likeliest", "torch.multinomial(probabilities, num_samples=1)",
           "probabilities.argmax(-1, keepdim=True)", "generation"),
    *_each(["task05"], "the prompt dropped", "return tokens\n", "return tokens[:, -max_new_tokens:]\n", "generation"),
    *_each(["task04", "task06"], "detached in the middle", "x = self.blocks(x)", "x = self.blocks(x).detach()", "gradients"),
    *_each(["task01"], "a layer that no one uses", "        self.output = nn.Linear(config.head_size, vocab_size)\n",
           "        self.output = nn.Linear(config.head_size, vocab_size, bias=False)\n"
           "        self.spare = nn.Parameter(torch.zeros(vocab_size))\n", "gradients"),
    *_each(["task02"], "logits that begin too large", "return self.output(x)", "return 30 * self.output(x)", "reference"),
    *_each(["task04"], "weights that begin too small", OUTPUT,
           OUTPUT + "        for parameter in self.parameters():\n            nn.init.normal_(parameter, std=0.02)\n", "gradients"),
    *_each(["task06"], "output weights that begin too large", OUTPUT, OUTPUT + "        nn.init.normal_(self.output.weight)\n", "loss"),
    *_each(["attention"], "no function of that name", "def causal_mask", "def mask", "contract"),
    *_each(["attention"], "the mask is no argument", "v, mask):", "v):\n    mask = causal_mask(q.shape[-2])", "contract"),
    *_each(["attention"], "the first two axes exchanged", "k.transpose(-2, -1)", "k.transpose(1, 2)", "shapes"),
    *_each(["attention"], "keys averaged, not values", "weights @ v", "weights @ k", "shapes"),
    *_each(["attention"], "a mask of one size", "torch.ones(T, T,", "torch.ones(6, 6,", "shapes"),
    *_each(["attention"], "a mask that leaves rows empty", ".tril()", ".tril(-1)", "steadiness"),
    *_each(["attention"], "softmax by hand that overflows", "F.softmax(scores, dim=-1)",
           "scores.exp() / scores.exp().sum(dim=-1, keepdim=True)", "steadiness"),
    *_each(["attention"], "scales the caller's queries", "scores = q @", "q *= 0.5\n    scores = q @", "steadiness"),
    *_each(["attention"], "softmax over the batch", "F.softmax(scores, dim=-1)", "F.softmax(scores, dim=0)", "steadiness"),
    *_each(["attention"], "mask off by one: sees the next", ".tril()", ".tril(1)", "causality"),
    *_each(["attention"], "mask upside down", ".tril()", ".triu()", "causality"),
    *_each(["attention"], "no mask", ".tril()", "", "causality"),
    *_each(["attention"], "sees itself and the one before only", ".tril()", ".tril().triu(-1)", "causality"),
    *_each(["attention"], "mask after the softmax", 'scores = torch.where(mask, scores, float("-inf"))\n'
           "    weights = F.softmax(scores, dim=-1)",
           "weights = torch.where(mask, F.softmax(scores, dim=-1), 0.0)", "causality"),
    *_each(["attention"], "softmax over the queries", "F.softmax(scores, dim=-1)", "F.softmax(scores, dim=-2)", "causality"),
    *_each(["attention"], "masked with a small number, not -inf", 'float("-inf")', "-20.0", "causality"),
    *_each(["attention"], "looks where it should not", "torch.where(mask,", "torch.where(~mask,", "steadiness"),
    *_each(["attention"], "no scale", " * q.shape[-1] ** -0.5", "", "reference"),
    *_each(["attention"], "divided by D, not by its root", "** -0.5", "** -1.0", "reference"),
    *_each(["attention"], "the scale of the values' width", "q.shape[-1]", "v.shape[-1]", "reference"),
    *_each(["attention"], "the scale of the length", "q.shape[-1]", "q.shape[-2]", "reference"),
    *_each(["attention"], "scale after the softmax", "* q.shape[-1] ** -0.5  # (…, T, T)\n", "\n", "reference"),
    *_each(["attention"], "a mask of its own", "torch.where(mask,", "torch.where(causal_mask(q.shape[-2]),", "reference"),
    *_each(["attention"], "weights detached", "F.softmax(scores, dim=-1)", "F.softmax(scores, dim=-1).detach()", "gradients"),
    *_each(["positions"], "positions along the columns", ".flatten(-2)", ".flatten(-2).T", "shapes"),
    *_each(["positions"], "a table of one length", "torch.arange(T)", "torch.arange(40)", "shapes"),
    *_each(["positions"], "positions as fractions of T", "torch.arange(T)[:, None]", "torch.arange(T)[:, None] / T", "steadiness"),
    *_each(["positions"], "a table drawn at random", "angles = positions * speeds", "angles = positions * torch.randn_like(speeds)",
           "steadiness"),
    *_each(["positions"], "a table to be learned", ".flatten(-2)  # (T, C)", ".flatten(-2).requires_grad_()", "steadiness"),
    *_each(["positions"], "one row for all", "torch.arange(T)", "torch.zeros(T)", "position"),
    *_each(["positions"], "sines alone", "angles.cos()", "angles.sin()", "position"),
    *_each(["positions"], "a sine and a cosine of other angles", "[angles.sin(), angles.cos()]",
           "[angles.sin(), (angles / 10_000 ** (1 / C)).cos()]", "position"),
    *_each(["positions"], "sine and cosine of the angle's whole part", "positions * speeds", "(positions * speeds).floor()", "position"),
    *_each(["positions"], "sine and cosine exchanged", "[angles.sin(), angles.cos()]", "[angles.cos(), angles.sin()]", "reference"),
    *_each(["positions"], "another base", "10_000.0 **", "1_000.0 **", "reference"),
    *_each(["positions"], "exponents of pair i, not 2i", "-torch.arange(0, C, 2) / C", "-torch.arange(C // 2) / C", "reference"),
    *_each(["positions"], "speeds the wrong way round", "positions * speeds", "positions * speeds.flip(0)", "reference"),
    *_each(["positions"], "positions from 1", "torch.arange(T)", "torch.arange(1, T + 1)", "reference"),
    *_each(["positions"], "half as fast", "positions * speeds", "positions * speeds / 2", "reference"),
    *_each(["optimizers"], "the settings in another order", "weight_decay, learning_rate, betas", "learning_rate, weight_decay, betas",
           "decay"),
    *_each(["optimizers"], "a shared weight twice", "list(model.parameters())",
           "[p for part in model.modules() for p in part._parameters.values() if p is not None]", "parameters"),
    *_each(["optimizers"], "a bias in both groups", "p.ndim >= 2", "p.ndim >= 1", "parameters"),
    *_each(["optimizers"], "matrices alone, three axes left out", "p.ndim >= 2", "p.ndim == 2", "parameters"),
    *_each(["optimizers"], "one axis left out", '        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},\n', "",
           "parameters"),
    *_each(["optimizers"], "bare parameters left out", "list(model.parameters())",
           '[p for n, p in model.named_parameters() if "." in n]', "parameters"),
    *_each(["optimizers"], "copies of the parameters", "list(model.parameters())",
           "[p.detach().clone() for p in model.parameters()]", "parameters"),
    *_each(["optimizers"], "weight decay for all", '"weight_decay": 0.0', '"weight_decay": weight_decay', "decay"),
    *_each(["optimizers"], "AdamW's own decay in the second group", ', "weight_decay": 0.0', "", "decay"),
    *_each(["optimizers"], "groups by the word bias: norms decay", "parameters if p.ndim >= 2",
           'dict(model.named_parameters()).values() if p not in set(q for n, q in model.named_parameters() if "bias" in n)', "parameters"),
    *_each(["optimizers"], "the groups exchanged", "p.ndim < 2", "p.ndim >= 99", "parameters"),
    *_each(["optimizers"], "no decay for matrices", '2], "weight_decay": weight_decay', '2], "weight_decay": 0.0', "decay"),
    *_each(["optimizers"], "Adam, which mixes decay and gradient", "torch.optim.AdamW", "torch.optim.Adam", "reference"),
    *_each(["optimizers"], "betas not handed on", ", betas=betas", "", "reference"),
    *_each(["optimizers"], "learning rate not handed on", "lr=learning_rate, ", "", "reference"),
    *_each(["schedule"], "the minimum is no argument", ", decay_iters, min_lr):", ", decay_iters):\n    min_lr = 0.0", "contract"),
    *_each(["schedule"], "no warm-up", "if iteration < warmup_iters:", "if iteration < 0:", "rise"),
    *_each(["schedule"], "the peak one step early", "/ (warmup_iters + 1)", "/ warmup_iters", "rise"),
    *_each(["schedule"], "a jump at the end of the rise", "* (iteration + 1) / (warmup_iters + 1)", "* iteration / (warmup_iters + 1)",
           "rise"),
    *_each(["schedule"], "the rise goes on beyond the peak", "iteration < warmup_iters", "iteration <= warmup_iters + 1", "fall"),
    *_each(["schedule"], "the fall counted from the start", "(iteration - warmup_iters) / (decay", "iteration / (decay", "rise"),
    *_each(["schedule"], "the minimum added to the peak", "(learning_rate - min_lr)", "learning_rate", "rise"),
    *_each(["schedule"], "the cosine with the wrong sign", "(1 + math.cos", "(1 - math.cos", "rise"),
    *_each(["schedule"], "comes up again after the end", "min(1.0, (iteration - warmup_iters) / (decay_iters - warmup_iters))",
           "(iteration - warmup_iters) / (decay_iters - warmup_iters)", "fall"),
    *_each(["schedule"], "never quite reaches the minimum", "(decay_iters - warmup_iters))", "(decay_iters - warmup_iters + 1))", "fall"),
    *_each(["schedule"], "the minimum one step early", "(decay_iters - warmup_iters))", "(decay_iters - warmup_iters - 1))", "fall"),
    *_each(["schedule"], "falls to zero, not to the minimum", "return min_lr + (learning_rate - min_lr)", "return learning_rate", "fall"),
    *_each(["schedule"], "half-way down, then flat", "math.pi * progress", "math.pi * progress / 2", "fall"),
    *_each(["schedule"], "stays at the peak", "math.cos(math.pi * progress)", "1", "fall"),
    *_each(["schedule"], "a straight line down", "(1 + math.cos(math.pi * progress)) / 2", "(1 - progress)", "reference"),
    *_each(["schedule"], "a quarter of a wave", "(1 + math.cos(math.pi * progress)) / 2", "math.cos(math.pi * progress / 2)", "reference"),
    *_each(["generate"], "the prompt dropped", "return x\n", "return x[:, -max_new_tokens:]\n", "shapes"),
    *_each(["generate"], "one token too many", "range(max_new_tokens)", "range(max_new_tokens + 1)", "shapes"),
    *_each(["generate"], "new tokens in front", "torch.cat([x, next_token]", "torch.cat([next_token, x]", "shapes"),
    *_each(["generate"], "in training mode", "model.eval()", "pass", "steadiness"),
    *_each(["generate"], "ends training", "    model.train(was_training)\n", "", "steadiness"),
    *_each(["generate"], "ends evaluation", "model.train(was_training)", "model.train()", "steadiness"),
    *_each(["generate"], "gradients kept", "@torch.no_grad()\n", "", "steadiness"),
    *_each(["generate"], "without crop", "x[:, -model.block_size :]", "x", "context"),
    *_each(["generate"], "crop to the first tokens", "x[:, -model.block_size :]", "x[:, : model.block_size]", "context"),
    *_each(["generate"], "crop off by one", "-model.block_size :", "-model.block_size + 1 :", "context"),
    *_each(["generate"], "reads the last token alone", "-model.block_size :", "-1:", "context"),
    *_each(["generate"], "logits of the first position", ")[:, -1]", ")[:, 0]", "sampling"),
    *_each(["generate"], "always the likeliest", "torch.multinomial(probabilities, num_samples=1)",
           "probabilities.argmax(-1, keepdim=True)", "sampling"),
    *_each(["generate"], "temperature multiplies", "logits / temperature", "logits * temperature", "sampling"),
    *_each(["generate"], "temperature ignored", "logits / temperature", "logits", "sampling"),
    *_each(["generate"], "temperature after the softmax", "F.softmax(logits / temperature, dim=-1)",
           "F.softmax(logits, dim=-1) / temperature", "sampling"),
    *_each(["generate"], "softmax over the batch", "dim=-1)", "dim=0)", "sampling"),
    *_each(["generate"], "one draw for all rows", "torch.multinomial(probabilities, num_samples=1)",
           "torch.multinomial(probabilities[:1], num_samples=1).expand(len(x), 1)", "sampling"),
    *_each(["generate"], "all tokens alike", "torch.multinomial(probabilities,", "torch.multinomial(torch.ones_like(probabilities),",
           "sampling"),
]  # fmt: skip


def table():
    """The mutants as Markdown, in the order of the tasks and of their stages."""
    rows = ["| file | stage that names it | bug |", "|---|---|---|"]
    for task in HINTS:
        for stage in stages_of(task):
            rows += [f"| {task} | {stage} | {m.what} |" for m in MUTANTS if (m.task, m.stage) == (task, stage)]
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
