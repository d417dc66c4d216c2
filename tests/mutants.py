"""Bugs that learners write, each with the stage of the check that should name it."""

from dataclasses import dataclass

from tests.lessons import ROOT

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
        source = (ROOT / f"{self.task}.py").read_text(encoding="utf-8")
        assert self.old in source, f"{self.task}: {self.what}: nothing to change"
        return source.replace(self.old, self.new)


def _each(tasks, what, old, new, stage):
    return [Mutant(task, what, old, new, stage) for task in tasks]


SKIP = "x = x + self.attention(self.attention_norm(x))"
STACK = "torch.stack([head(x) for head in self.heads], dim=1)"
EVAL = "        self.eval()\n"

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
]  # fmt: skip
