# A right `gpt` in the style of heads_loop.
import math

import torch
import torch.nn as nn
from torch.nn import functional as F


class MultiHeadAttention(nn.Module):
    def __init__(self, hidden_size, num_heads, dropout, causal=True):
        super().__init__()
        self.num_heads = num_heads
        self.head_size = hidden_size // num_heads
        self.causal = causal
        self.queries = nn.ModuleList()
        self.keys = nn.ModuleList()
        self.values = nn.ModuleList()
        for i in range(num_heads):
            self.queries.append(nn.Linear(hidden_size, self.head_size))
            self.keys.append(nn.Linear(hidden_size, self.head_size))
            self.values.append(nn.Linear(hidden_size, self.head_size))
        self.output = nn.Linear(hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        seq_len = x.shape[1]
        results = []
        for i in range(self.num_heads):
            q = self.queries[i](x)
            k = self.keys[i](x)
            v = self.values[i](x)
            scores = torch.matmul(q, k.transpose(1, 2)) / math.sqrt(self.head_size)
            if self.causal:
                for row in range(seq_len):
                    scores[:, row, row + 1 :] = float("-inf")
            weights = torch.softmax(scores, dim=2)
            weights = self.dropout(weights)
            results.append(torch.matmul(weights, v))
        x = torch.cat(results, dim=2)
        x = self.output(x)
        x = self.dropout(x)
        return x


class MLP(nn.Module):
    def __init__(self, hidden_size, dropout):
        super().__init__()
        self.layer1 = nn.Linear(hidden_size, hidden_size * 4)
        self.activation = nn.GELU()
        self.layer2 = nn.Linear(hidden_size * 4, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x = self.layer1(x)
        x = self.activation(x)
        x = self.layer2(x)
        x = self.dropout(x)
        return x


class Block(nn.Module):
    def __init__(self, hidden_size, num_heads, dropout):
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden_size)
        self.attention = MultiHeadAttention(hidden_size, num_heads, dropout)
        self.norm2 = nn.LayerNorm(hidden_size)
        self.mlp = MLP(hidden_size, dropout)

    def forward(self, x):
        a = self.norm1(x)
        a = self.attention(a)
        x = x + a
        b = self.norm2(x)
        b = self.mlp(b)
        x = x + b
        return x


class GPT(nn.Module):
    def __init__(self, vocab_size, max_len, hidden_size, num_layers, num_heads, dropout):
        super().__init__()
        self.max_len = max_len
        self.embedding = nn.Embedding(vocab_size, hidden_size)
        self.positions = nn.Embedding(max_len, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList([Block(hidden_size, num_heads, dropout) for _ in range(num_layers)])
        self.norm = nn.LayerNorm(hidden_size)
        self.output = nn.Linear(hidden_size, vocab_size, bias=False)
        self.output.weight = self.embedding.weight
        self.apply(self._init_weights)
        for pn, p in self.named_parameters():
            if pn.endswith("mlp.layer2.weight"):
                torch.nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * num_layers))

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                torch.nn.init.zeros_(module.bias)

    def forward(self, x, y=None):
        pos = torch.arange(x.shape[1], device=x.device)
        h = self.embedding(x) + self.positions(pos)
        h = self.dropout(h)
        for block in self.blocks:
            h = block(h)
        logits = self.output(self.norm(h))
        loss = None
        if y is not None:
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), y.reshape(-1))
        return logits, loss

    def configure_optimizers(self, weight_decay, learning_rate, betas):
        with_decay = []
        without_decay = []
        for p in self.parameters():
            if p.dim() > 1:
                with_decay.append(p)
            else:
                without_decay.append(p)
        return torch.optim.AdamW(
            [{"params": without_decay, "weight_decay": 0}, {"params": with_decay, "weight_decay": weight_decay}],
            learning_rate,
            betas,
        )

    @torch.no_grad()
    def generate(self, x, max_new_tokens, temperature=1.0):
        before = self.training
        self.eval()
        count = 0
        while count < max_new_tokens:
            result = self(x[:, -self.max_len :])
            last = result[0][:, -1, :]
            probabilities = torch.softmax(last / temperature, dim=1)
            new = torch.multinomial(probabilities, 1)
            x = torch.cat([x, new], dim=1)
            count += 1
        self.train(before)
        return x
