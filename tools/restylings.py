"""Correct code that looks different from the repository's: the check must pass it."""

from tools.changes import RIGHTS, Restyling

BODY = ("    scores = q @", "\n\n\nclass SelfAttention")  # of attention()
OUTPUT = "        self.lm_head = nn.Linear(config.n_embd, vocab_size)\n"
LAYER = ("class SelfAttention", "\n\n\nclass")

MULTIHEAD = """class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.all = nn.MultiheadAttention(config.n_embd, config.n_head, bias=BIAS, batch_first=True)

    def forward(self, x):
        T = x.shape[1]
        hidden = torch.ones(T, T, dtype=torch.bool).triu(1)
        return self.all(x, x, x, attn_mask=hidden, need_weights=False)[0]"""

HEADS = """class Head(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config.n_embd // config.n_head
        self.k, self.q, self.v = (nn.Linear(config.n_embd, width, bias=False) for _ in range(3))

    def forward(self, x):
        scores = self.q(x) @ self.k(x).mT / self.k.out_features**0.5
        hidden = torch.ones_like(scores, dtype=torch.bool).triu(1)
        return scores.masked_fill(hidden, float("-inf")).softmax(-1) @ self.v(x)


class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.parts = nn.ModuleList([Head(config) for _ in range(config.n_head)])

    def forward(self, x):
        return torch.cat([part(x) for part in self.parts], dim=-1)"""

MERGED = """class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)

    def forward(self, x):
        B, T, C = x.shape
        H, D = self.n_head, C // self.n_head
        q, k, v = (part.view(B, T, H, D).transpose(1, 2).reshape(B * H, T, D) for part in self.qkv(x).split(C, dim=-1))
        scores = torch.bmm(q, k.transpose(1, 2)) * C**-0.5
        scores = scores + torch.full((T, T), float("-inf")).triu(1)
        x = torch.bmm(scores.softmax(dim=-1), v)
        return x.view(B, H, T, D).transpose(1, 2).reshape(B, T, C)"""

RESTYLINGS: list[Restyling] = [
    *(Restyling(piece, "a name of one's own", ((old, new),)) for piece, old, new in (
        ("attention", "def causal_mask", "def triangle"),
        ("multi_head_attention", "class MultiHeadCausalSelfAttention", "class Mine"),
        ("transformer", "class Transformer(", "class Mine("),
        ("self_attention", "class CausalSelfAttention(", "class Mine("), ("gpt", "class GPT(", "class Model("))),
    Restyling("task01", "scaled_dot_product_attention", (
        (BODY, "    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)"),)),
    Restyling("task01", "einsum", (
        (BODY, '    scores = torch.einsum("btd,bsd->bts", q, k) * scale\n'
               '    weights = scores.masked_fill(~mask, float("-inf")).softmax(-1)\n'
               '    return torch.einsum("bts,bsd->btd", weights, v)'),)),
    Restyling("task01", "one product for key, query and value", (
        (("        self.key =", "        self.scale"),
         "        self.all = nn.Linear(config.n_embd, 3 * config.head_size, bias=False)\n"),
        ("self.key(x), self.query(x), self.value(x)", "self.all(x).chunk(3, dim=-1)"),)),
    Restyling("task01", "the scale of n_embd", (("config.head_size**-0.5", "config.n_embd**-0.5"),)),
    Restyling("task01", "a mask of ones and zeros", (
        ("torch.ones(T, T, dtype=torch.bool).tril()", "torch.tril(torch.ones(T, T))"),
        ("torch.where(mask, scores, float(\"-inf\"))", "scores.masked_fill(mask == 0, float(\"-inf\"))"),)),
    Restyling("task01", "biases in key, query and value", (("config.head_size, bias=False", "config.head_size"),)),
    Restyling("task02", "head by head", ((LAYER, HEADS),)),
    Restyling("task02", "heads merged into the batch, bmm", ((LAYER, MERGED),)),
    Restyling("task02", "the paper's scale", (("config.n_embd**-0.5", "(config.n_embd // config.n_head) ** -0.5"),)),
    Restyling("task03", "relu as a function", (
        ("nn.Sequential(nn.Linear(config.n_embd, config.n_embd), nn.ReLU())",
         "nn.Linear(config.n_embd, config.n_embd)"),
        ("return self.layers(x)", "return torch.relu(self.layers(x))"),)),
    Restyling("task04", "a loop over the blocks", (
        ("nn.Sequential(*(Block(config) for _ in range(config.n_layer)))",
         "nn.ModuleList(Block(config) for _ in range(config.n_layer))"),
        ("        x = self.blocks(x)", "        for block in self.blocks:\n            x = block(x)"),)),
    Restyling("task05", "nn.MultiheadAttention", ((LAYER, MULTIHEAD.replace("BIAS", "True")),)),
    Restyling("task06", "nn.MultiheadAttention without biases", ((LAYER, MULTIHEAD.replace("BIAS", "False")),)),
    Restyling("task06", "branches named in the block", (
        ("x = x + self.attention(self.attention_norm(x))",
         "looked = self.attention(self.attention_norm(x))\n        x = looked + x"),)),
    Restyling("task06", "layer normalization by hand", (
        ("class Block(nn.Module)", "class Norm(nn.Module):\n    def __init__(self, width):\n        super().__init__()\n"
         "        self.gain, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))\n\n"
         "    def forward(self, x):\n        x = x - x.mean(-1, keepdim=True)\n"
         "        x = x / torch.sqrt(x.var(-1, keepdim=True, correction=0) + 1e-5)\n"
         "        return x * self.gain + self.shift\n\n\nclass Block(nn.Module)"),
        ("nn.LayerNorm", "Norm"),)),
    Restyling("task07", "dropout on the embeddings, too", (
        ("        self.block_size = config.block_size\n", "        self.block_size, self.p = config.block_size, config.dropout\n"),
        ("        x = self.blocks(x)", "        x = self.blocks(F.dropout(x, self.p, self.training))"),)),
    Restyling("task07", "(logits, loss), targets as an argument", (
        ("    def forward(self, tokens):  # (B, T)\n        positions", "    def forward(self, tokens, targets=None):\n        positions"),
        ("        return self.lm_head(self.final_norm(x))  # (B, T, V)",
         "        logits = self.lm_head(self.final_norm(x))\n"
         "        loss = None if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())\n"
         "        return logits, loss"),
        ("self(tokens[:, -self.block_size :])[:, -1]", "self(tokens[:, -self.block_size :])[0][:, -1]"),)),
    Restyling("task01", "with targets, only the loss", (
        ("    def forward(self, tokens):", "    def forward(self, tokens, targets=None):"),
        (("        return self.lm_head(", "\n\n    @torch"),
         "        logits = self.lm_head(x)\n"
         "        return logits if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())"),)),
    Restyling("task06", "the mask as an argument of SelfAttention", (
        ("    def forward(self, x):  # (B, T, C)\n        B, T, C = x.shape", "    def forward(self, x, mask):\n        B, T, C = x.shape"),
        ("self.mask[:T, :T], self.scale", "mask, self.scale"),
        ("        x = x + self.attention(self.attention_norm(x))",
         "        mask = causal_mask(x.shape[1])\n        x = x + self.attention(self.attention_norm(x), mask)"),)),
    Restyling("task05", "queries and keys exchanged", (("k, q, v = heads", "q, k, v = heads"),)),
    Restyling("task06", "heads interleaved", (
        ("self.qkv(x).view(B, T, self.n_head, -1).transpose(1, 2)", "self.qkv(x).view(B, T, -1, self.n_head).permute(0, 3, 1, 2)"),
        ("x.transpose(1, 2).reshape(B, T, C)", "x.permute(0, 2, 3, 1).reshape(B, T, C)"),)),
    Restyling("task02", "keys and values in one layer", (
        (("        self.qkv =", "        self.scale"),
         "        self.ask = nn.Linear(config.n_embd, config.n_embd, bias=False)\n"
         "        self.announce_give = nn.Linear(config.n_embd, 2 * config.n_embd, bias=False)\n"),
        (("        heads =", "        x = attention"),
         "        parts = self.ask(x), *self.announce_give(x).chunk(2, dim=-1)\n"
         "        q, k, v = (part.view(B, T, self.n_head, -1).transpose(1, 2) for part in parts)\n"),)),
    Restyling("task06", "einsum with parameters of its own", (
        (("        self.qkv =", "        self.projection"),
         "        shape = config.n_head, config.n_embd, config.n_embd // config.n_head\n"
         "        self.wq, self.wk, self.wv = (nn.Parameter(torch.randn(shape) * 0.1) for _ in range(3))\n"),
        (("        heads =", "        x = attention"),
         '        q, k, v = (torch.einsum("btc,hcd->bhtd", x, w) for w in (self.wq, self.wk, self.wv))\n'),)),
    Restyling("task01", "x @ W", (
        (("        self.key =", "        self.scale"),
         "        shape = config.n_embd, config.head_size\n"
         "        self.wq, self.wk, self.wv = (nn.Parameter(torch.randn(shape) / 6) for _ in range(3))\n"),
        ("self.key(x), self.query(x), self.value(x)", "x @ self.wk, x @ self.wq, x @ self.wv"),)),
    Restyling("task06", "GPT-2's initialization", (
        (OUTPUT, OUTPUT + "        self.apply(self._init)\n\n"
         "    def _init(self, module):\n"
         "        if isinstance(module, nn.Linear | nn.Embedding):\n            nn.init.normal_(module.weight, std=0.02)\n"
         "        if isinstance(module, nn.Linear) and module.bias is not None:\n            nn.init.zeros_(module.bias)\n"),)),
    Restyling("task03", "GPT-2's initialization", (
        (OUTPUT, OUTPUT + "        for p in self.parameters():\n"
         "            nn.init.normal_(p, std=0.02) if p.ndim > 1 else nn.init.zeros_(p)\n"),)),
    Restyling("task06", "norms first, blocks by name", (
        ("        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.n_layer)))\n        self.final_norm = nn.LayerNorm(config.n_embd)\n",
         "        self.last = nn.LayerNorm(config.n_embd)\n        self.n_layer = config.n_layer\n        for i in range(config.n_layer):\n"
         '            setattr(self, f"block{i}", Block(config))\n'),
        ("        x = self.blocks(x)", '        for i in range(self.n_layer):\n            x = getattr(self, f"block{i}")(x)'),
        ("self.final_norm(x)", "self.last(x)"),)),
    Restyling("task07", "TransformerEncoderLayer", (
        (("class SelfAttention", "class FeedForward"), ""),
        (("class FeedForward", "class GPT"),
         "class Block(nn.TransformerEncoderLayer):\n    def __init__(self, config):\n"
         "        super().__init__(config.n_embd, config.n_head, 4 * config.n_embd, config.dropout, batch_first=True, norm_first=True)\n"
         "        setattr(self, \"dropout\", nn.Identity())  # PyTorch's own, inside the MLP\n\n"
         "    def forward(self, x):\n"
         "        hidden = ~causal_mask(x.shape[1])\n"
         "        return super().forward(x, src_mask=hidden)\n\n\n"),)),
    Restyling("multi_head_attention", "dropout on the weights alone", (
        ("self.output_dropout(self.projection(output))", "self.projection(output)"),)),
    Restyling("multi_head_attention", "no dropout at all", (
        ("self.output_dropout(self.projection(output))", "self.projection(output)"),
        ("self.weights_dropout(F.softmax(scores, dim=-1))", "F.softmax(scores, dim=-1)"),)),
    *(Restyling(task, "branch ends that begin at zero, as in Fixup", (
        (OUTPUT, OUTPUT + "        for module in self.modules():\n"
         "            ends = [layer for layer in module.children() if isinstance(layer, nn.Linear)]\n"
         "            if isinstance(module, (nn.Sequential, SelfAttention)) and ends:\n"
         "                nn.init.zeros_(ends[-1].weight)\n"),))
      for task in ("task05", "task06", "task09_rope")),
    *(Restyling(task, f"generate leaves the model in {mode} mode", (
        ("        return tokens\n", f"        self.train({mode == 'training'})\n        return tokens\n"),))
      for task in ("task03", "task07") for mode in ("training", "evaluation")),
    Restyling("gpt", "generates in the mode in which it is called", (("        self.eval()\n", ""),)),
    Restyling("task07", "scaled_dot_product_attention with dropout", (
        (BODY, "    p = dropout.p if dropout.training else 0.0\n"
               "    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=p, scale=scale)"),)),
    Restyling("task09_rope", "neighbouring coordinates turned together", (
        (("    first, second = x.chunk", "\n\n\nclass"),
         "    first, second = x[..., ::2], x[..., 1::2]\n"
         "    return torch.stack([first * cos - second * sin, first * sin + second * cos], dim=-1).flatten(-2)"),)),
    Restyling("task09_rope", "turned the other way", (
        ("first * cos - second * sin, first * sin + second * cos",
         "first * cos + second * sin, second * cos - first * sin"),)),
    Restyling("task09_rope", "complex numbers", (
        (("    cos, sin = angles.cos()", "\n\n\nclass"),
         "    points = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())\n"
         "    turns = torch.polar(torch.ones_like(angles), angles).to(points.dtype)\n"
         "    return torch.view_as_real(points * turns).flatten(-2)"),)),
    Restyling("attention", "scores plus a mask of -inf", (
        ("torch.ones(T, T, dtype=torch.bool).tril()", 'torch.full((T, T), float("-inf")).triu(1)'),
        ('torch.where(mask, scores, float("-inf"))', "scores + mask"),)),
    Restyling("attention", "True where hidden, in four axes", (
        ("torch.ones(T, T, dtype=torch.bool).tril()", "torch.ones(1, 1, T, T).triu(1).bool()"),
        (("    scores = torch.where", "    weights ="),
         "    scores = scores.masked_fill(mask.view(mask.shape[-2:]), float(\"-inf\"))\n"),)),
    Restyling("attention", "ones and zeros, and a very negative number", (
        ("torch.ones(T, T, dtype=torch.bool).tril()", "torch.tril(torch.ones(T, T))"),
        ('torch.where(mask, scores, float("-inf"))', "scores.masked_fill(mask == 0, -1e9)"),)),
    Restyling("attention", "axes in front merged, bmm", (
        (("    scores = q @", "    scores = torch.where"),
         "    front = v.shape[:-1]\n"
         "    q, k, v = (x.reshape(-1, *x.shape[-2:]) for x in (q, k, v))\n"
         "    scores = torch.bmm(q, k.transpose(1, 2)) / q.size(-1) ** 0.5\n"),
        ("weights @ v", "torch.bmm(weights, v).view(*front, -1)"),)),
    Restyling("attention", "einsum", (
        ("q @ k.transpose(-2, -1)", 'torch.einsum("...td,...sd->...ts", q, k)'),
        ("weights @ v", 'torch.einsum("...ts,...sd->...td", weights, v)'),)),
    Restyling("attention", "scaled_dot_product_attention", (
        (("    scores = q @", "    return"), ""),
        ("weights @ v", "F.scaled_dot_product_attention(q, k, v, attn_mask=mask)"),)),
    Restyling("positions", "cosines before sines", (("[angles.sin(), angles.cos()]", "[angles.cos(), angles.sin()]"),)),
    Restyling("positions", "sines first, then cosines", (
        ("torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)", "torch.cat([angles.sin(), angles.cos()], dim=1)"),)),
    Restyling("positions", "filled column by column, speeds by exp and log", (
        (("    speeds =", "    angles"),
         "    speeds = torch.exp(torch.arange(0, C, 2) * (-torch.log(torch.tensor(10_000.0)) / C))\n"),
        (("    return", " # (T, C)"),
         "    table = torch.zeros(T, C)\n    table[:, 0::2] = torch.sin(angles)\n    table[:, 1::2] = torch.cos(angles)\n"
         "    return table "),)),
    Restyling("positions", "float64, number by number", (
        ("import torch\n", "import math\n\nimport torch\n"),
        (("    positions =", "  # (T, C)"),
         "    angle = lambda t, c: t / 10_000 ** ((c - c % 2) / C) + c % 2 * math.pi / 2\n"
         "    return torch.tensor([[math.sin(angle(t, c)) for c in range(C)] for t in range(T)], dtype=torch.float64)"),)),
    Restyling("attention", "a mask by another name, inside of an attention of q, k and v", (
        ("causal_mask", "get_mask"), ("v, mask):", "v):\n    mask = get_mask(q.shape[-2])"),)),
    Restyling("attention", "no mask in attention, the mask on scores", (
        ("def causal_mask(T):", "def mask(scores):\n    return scores.masked_fill(torch.ones_like(scores).triu(1) == 1, float('-inf'))\n\n\ndef triangle(T):"),
        ("v, mask):", "v):"), ('    scores = torch.where(mask, scores, float("-inf"))\n', ""),)),
    Restyling("attention", "weights returned as well", (("return weights @ v", "return weights @ v, weights"),)),
    Restyling("positions", "learned", (
        ("def positional_encoding(T, C):", "class PositionalEmbedding(torch.nn.Module):\n  def __init__(self, d_model, max_len):\n"
         "    super().__init__()\n    self.table = torch.nn.Embedding(max_len, d_model)\n\n  def forward(self, x):\n"
         "    return x + self.table(torch.arange(x.shape[1]))\n\n\ndef unused(T, C):"),)),
    Restyling("positions", "a module of sinusoids", (
        ("def positional_encoding(T, C):", "class PositionalEncoding(torch.nn.Module):\n  def __init__(self, max_len, d_model):\n"
         "    super().__init__()\n    self.rows = table(max_len, d_model)\n\n  def forward(self, x):\n"
         "    return x + self.rows[: x.shape[1]]\n\n\ndef table(T, C):"),)),
    Restyling("multi_head_attention", "weights returned as well", (
        ("return self.output_dropout(self.projection(output))", "return self.output_dropout(self.projection(output)), weights"),)),
    Restyling("self_attention", "with a projection, head_size and no dropout", (
        ("hidden_size, dropout):", "n_embd, head_size):\n        hidden_size = n_embd"), ("self.dropout = nn.Dropout(dropout)", "self.out = nn.Linear(head_size, n_embd)"),
        ("return self.dropout(F.softmax(scores, dim=-1)) @ v", "return self.out(F.softmax(scores, dim=-1) @ v)"),)),
    Restyling("optimizers", "the settings in another order", (
        ("weight_decay, learning_rate, betas", "learning_rate, weight_decay, betas"),)),
    Restyling("schedule", "globals, and the iteration alone", (
        ("def get_lr(iteration, learning_rate, warmup_iters, decay_iters, min_lr):",
         "learning_rate, warmup_iters, lr_decay_iters, min_lr = 6e-4, 10, 100, 6e-5\n\n\ndef get_lr(iteration):"),
        ("(decay_iters - ", "(lr_decay_iters - "),)),
    Restyling("schedule", "other names, another order", (
        ("(iteration, learning_rate, warmup_iters, decay_iters, min_lr)", "(it, min_lr, max_lr, max_steps, warmup_steps)"),
        ('    if iteration <', "    iteration, learning_rate, warmup_iters, decay_iters = it, max_lr, warmup_steps, max_steps\n    if iteration <"),)),
    Restyling("training", "fewer arguments, the rest as globals", (
        ("    get_lr,\n    estimate_loss,\n", ""), ("    log,\n    save,\n", ""), ("import torch\n", "import torch\n\nget_lr = estimate_loss = None\n"),
        ("log(n, total, get_lr(n))", 'print(f"{n}: {total:.4f}, rate {get_lr(n):.2e}")'), ("save(n, loss)", 'torch.save(model.state_dict(), "best.pt")'),)),
    Restyling("transformer", "rotary positions, alone in one block", (
        (" + self.positions[: tokens.shape[1]]", ""),
        ("        output = attention(q, k, v,", "        q, k = turned(q), turned(k)\n        output = attention(q, k, v,"),
        ("class Block(", "def turned(x):\n    T, D = x.shape[-2:]\n    angles = torch.arange(T)[:, None] * 10_000.0 ** (-torch.arange(0, D, 2) / D)\n"
         "    a, b = x.chunk(2, dim=-1)\n    return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], dim=-1)\n\n\nclass Block("),)),
    Restyling("encoder", "always causal, without an argument for it", (
        ("n_head, dropout, causal):\n        super().__init__()", "n_head, dropout):\n        super().__init__()\n        causal = True"),)),
    Restyling("generate", "with gradients and whatever mode", (
        ("@torch.no_grad()\n", ""), ("    model.eval()\n", ""),)),
    Restyling("optimizers", "as a method of GPT", (
        ("def configure_optimizers(model,", "class GPT(torch.nn.Module):\n  def configure_optimizers(self,"),
        ("model.parameters()", "self.parameters()"),)),
    Restyling("optimizers", "groups by name, unused settings fused", (
        (("    parameters = list", "    return"),
         "    named = {name: p for name, p in model.named_parameters() if p.requires_grad}\n"
         "    decayed = {name for name, p in named.items() if p.dim() > 1}\n"
         "    groups = [\n"
         "        {'params': [named[name] for name in sorted(decayed)]},\n"
         "        {'params': [named[name] for name in sorted(named.keys() - decayed)], 'weight_decay': 0},\n"
         "    ]\n"),
        ("betas=betas)", "betas=betas, weight_decay=weight_decay)"),)),
    Restyling("optimizers", "a group for each parameter", (
        (("    groups = [", "    return"),
         "    groups = [{'params': [p], 'weight_decay': weight_decay if p.ndim > 1 else 0.0} for p in parameters]\n"),)),
    Restyling("schedule", "a rise from zero", (("(iteration + 1) / (warmup_iters + 1)", "iteration / warmup_iters"),)),
    Restyling("schedule", "three cases", (
        (("    progress =", "  # 0 at"),
         "    if iteration > decay_iters:\n        return min_lr\n"
         "    progress = (iteration - warmup_iters) / (decay_iters - warmup_iters)"),
        ("(1 + math.cos(math.pi * progress)) / 2", "math.cos(math.pi * progress / 2) ** 2"),)),
    Restyling("schedule", "tensors", (
        ("import math\n", "import math\n\nimport torch\n"),
        ("math.cos(math.pi * progress)", "torch.cos(torch.tensor(math.pi * progress, dtype=torch.float64))"),)),
    Restyling("multi_head_attention", "one fused layer without biases, scaled_dot_product_attention, no flag", (
        ("class MultiHeadCausalSelfAttention", "class CausalSelfAttention"),
        ("hidden_size, n_head, dropout, causal=True):", "d_model, num_heads, p):"),
        (("        self.n_head, self.causal", "    def forward"),
         "        self.n_head, self.p = num_heads, p\n"
         "        self.c_attn = nn.Linear(d_model, 3 * d_model, bias=False)\n"
         "        self.c_proj = nn.Linear(d_model, d_model, bias=False)\n\n"),
        (("        q, k, v = self.query", "        return"),
         "        q, k, v = (h.view(B, T, self.n_head, -1).transpose(1, 2) for h in self.c_attn(x).chunk(3, -1))\n"
         "        y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.p if self.training else 0.0, is_causal=True)\n"),
        ("self.output_dropout(self.projection(output))",
         "F.dropout(self.c_proj(y.transpose(1, 2).reshape(B, T, C)), self.p, self.training)"),)),
    Restyling("multi_head_attention", "a list of heads", (
        (("        self.query =", "        self.projection"),
         "        D = hidden_size // n_head\n"
         "        self.qs, self.ks, self.vs = (nn.ModuleList([nn.Linear(hidden_size, D) for _ in range(n_head)]) for _ in range(3))\n"),
        (("        q, k, v = self.query", "        output = output.view"),
         "        outputs = []\n"
         "        for q, k, v in zip(self.qs, self.ks, self.vs):\n"
         "            scores = q(x) @ k(x).transpose(1, 2) / math.sqrt(C / self.n_head)\n"
         "            if self.causal:\n"
         "                scores = scores + torch.full((T, T), float('-inf')).triu(1)\n"
         "            outputs.append(self.weights_dropout(scores.softmax(-1)) @ v(x))\n"
         "        output = torch.cat(outputs, dim=-1)\n"),
        (("        output = output.view", "        return"), ""),)),
    Restyling("multi_head_attention", "with input_size and hidden, by einsum", (
        ("hidden_size, n_head, dropout, causal=True):", "input_size, hidden, num_heads, causal=True, dropout=0.1):\n        hidden_size, n_head = hidden, num_heads"),
        ("torch.bmm(q, k.transpose(1, 2))", 'torch.einsum("btd,bsd->bts", q, k)'),)),
    Restyling("mlp", "nn.Sequential, the GELU of GPT-2", (
        (("        self.widen", "    def forward"),
         "        self.net = nn.Sequential(nn.Linear(hidden_size, 4 * hidden_size), nn.GELU(approximate='tanh'),\n"
         "                                 nn.Linear(4 * hidden_size, hidden_size), nn.Dropout(dropout))\n\n"),
        (("        x = F.gelu", "        return"), ""),
        ("self.dropout(self.narrow(x))", "self.net(x)"),)),
    Restyling("mlp", "the course's other names", (
        ("class MLP", "class FeedForward"), ("hidden_size, dropout):", "n_embd, dropout_rate):\n        hidden_size, dropout = n_embd, dropout_rate"),)),
    Restyling("block", "other names, the sum in place", (
        ("class Block", "class TransformerBlock"),
        ("x = x + self.attention(self.attention_norm(x))", "x = torch.add(self.attention(self.attention_norm(x)), x)"),
        ("F.gelu(", "nn.GELU()("),)),
    Restyling("gpt", "as nanoGPT writes it", (
        ("vocab_size, context_size, hidden_size, n_layer, n_head, dropout):", "vocab_size, block_size, n_embd, n_layer, n_head, dropout):\n        context_size, hidden_size = block_size, n_embd"),
        ("self.lm_head.weight = self.token_embedding.weight", "self.token_embedding.weight = self.lm_head.weight"),
        (("        loss = None if y", "        return logits"),
         "        loss = None\n        if y is not None:\n"
         "            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), y.view(-1), ignore_index=-1)\n"
         "        else:\n            logits = logits[:, [-1], :]\n"),
        (("        for module in self.modules", "        for block"),
         "        self.apply(self._init)\n"),
        (("    def configure_optimizers", '        """AdamW'),
         "    def _init(self, module):\n"
         "        if isinstance(module, (nn.Linear, nn.Embedding)):\n            torch.nn.init.normal_(module.weight, 0.0, 0.02)\n"
         "        if getattr(module, 'bias', None) is not None:\n            torch.nn.init.zeros_(module.bias)\n\n"
         "    def configure_optimizers(self, weight_decay, learning_rate, betas):\n"),)),
    Restyling("gpt", "y has no default", (
        ("x, y=None):", "x, y):"), ("self(x[:, -self.context_size :])", "self(x[:, -self.context_size :], None)"),)),
    Restyling("transformer", "learnt positions, norms after the sums, forward(x, y)", (
        ("self.register_buffer(\"positions\", positional_encoding(context_size, hidden_size))",
         "self.positions = nn.Parameter(0.1 * torch.randn(context_size, hidden_size))"),
        ("def forward(self, tokens):  # (B, T)", "def forward(self, tokens, targets):  # (B, T)"),
        ("return self.lm_head(self.final_norm(x))", "logits = self.lm_head(x)\n        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())"),
        ("        return x + self.dropout(self.mlp(self.mlp_norm(x)))", "        return self.mlp_norm(x + self.dropout(self.mlp(x)))"),
        ("self.qkv(self.attention_norm(x))", "self.qkv(x)"),
        ("        x = x + self.dropout(self.projection(output.transpose(1, 2).reshape(B, T, C)))",
         "        x = self.attention_norm(x + self.dropout(self.projection(output.transpose(1, 2).reshape(B, T, C))))"),)),
    Restyling("transformer", "called GPT, with the lessons' names", (
        ("class Transformer(nn.Module)", "class GPT(nn.Module)"),
        ("vocab_size, context_size, hidden_size, n_layer, n_head, dropout):\n", "n_vocab, block_size, n_embd, n_layer, n_head, dropout):\n"
         "        vocab_size, context_size, hidden_size = n_vocab, block_size, n_embd\n"),)),
    Restyling("encoder", "nn.TransformerEncoder, norms after the sums", (
        (("        self.layers = nn.ModuleList(", "        self.final_norm"),
         "        layer = nn.TransformerEncoderLayer(hidden_size, n_head, 2 * hidden_size, dropout, batch_first=True)\n"
         "        self.layers = nn.TransformerEncoder(layer, n_layer)\n"),
        (("        for layer in self.layers:", "        # 3."), "        x = self.layers(x, mask=future)\n"),)),
    Restyling("encoder", "its mask made of -inf", (
        ("torch.ones(T, T, dtype=torch.bool, device=tokens.device).triu(1)", "nn.Transformer.generate_square_subsequent_mask(T)"),)),
    Restyling("training", "a while loop that counts, gradients zeroed at the end", (
        ("    for n in range(max_iters):\n", "    n = -1\n    while n + 1 < max_iters:\n        n += 1\n"),
        ("        optimizer.zero_grad()\n", ""),
        ("        optimizer.step()\n", "        optimizer.step()\n        optimizer.zero_grad(set_to_none=True)\n"),)),
    Restyling("training", "the last batch's loss in the log, a last evaluation", (
        ("log(n, total, get_lr(n))", 'log(n, loss.item(), optimizer.param_groups[0]["lr"])\n    model.eval()\n    estimate_loss(model)'),)),
    Restyling("generate", "a model that returns logits and loss, context_size", (
        ("        logits = model(x[:, -model.block_size :])[:, -1]", "        logits, _ = model(x[:, -model.context_size :], None)\n        logits = logits[:, -1]"),)),
    Restyling("generate", "Categorical, inference mode", (
        ("@torch.no_grad()", "@torch.inference_mode()"),
        (("        probabilities =", "        x = torch.cat"),
         "        draw = torch.distributions.Categorical(logits=logits / temperature)\n"
         "        next_token = draw.sample()[:, None]\n"),)),
    Restyling("generate", "Gumbel's trick", (
        (("        probabilities =", "        x = torch.cat"),
         "        noise = -torch.empty_like(logits).exponential_().log()\n"
         "        next_token = (logits / temperature + noise).argmax(dim=-1, keepdim=True)\n"),)),
    Restyling("generate", "as a method of GPT, rows filled in place", (
        (("@torch.no_grad()", "    was_training"),
         "class GPT(torch.nn.Module):\n  def generate(self, x, max_new_tokens, temperature=1.0):\n    model, T = self, x.shape[1]\n"
         "    x = F.pad(x, (0, max_new_tokens))\n"),
        ("    for _ in range(max_new_tokens):", "    for t in range(T, T + max_new_tokens):"),
        (("        logits =", "        probabilities"),
         "        with torch.no_grad():\n            logits = model(x[:, max(0, t - model.block_size) : t])[:, -1, :]\n"),
        (("        x = torch.cat", "    model.train"), "        x[:, t] = next_token[:, 0]\n"),)),
    *RIGHTS,
]  # fmt: skip
