import math
import random

import torch
from torch import nn
from torch.nn import functional as F


class Config:
    def __init__(
        self,
        batch_size=32,
        block_size=8,
        n_embd=32,
        n_head=4,
        n_layer=3,
        learning_rate=0.001,
        max_steps=5000,
        eval_interval=500,
        eval_batches=200,
    ):
        self.batch_size = batch_size
        self.block_size = block_size
        self.n_embd = n_embd
        self.n_head = n_head
        self.n_layer = n_layer
        self.learning_rate = learning_rate
        self.max_steps = max_steps
        self.eval_interval = eval_interval
        self.eval_batches = eval_batches


def softmax(x):
    # subtract the biggest so that exp does not explode
    biggest = x.max(dim=-1, keepdim=True).values
    e = torch.exp(x - biggest)
    return e / e.sum(dim=-1, keepdim=True)


class Head(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.head_size = config.n_embd // config.n_head
        self.key = nn.Linear(config.n_embd, self.head_size, bias=True)
        self.query = nn.Linear(config.n_embd, self.head_size, bias=True)
        self.value = nn.Linear(config.n_embd, self.head_size, bias=True)

    def forward(self, x):
        T = x.shape[1]
        scores = self.query(x) @ self.key(x).transpose(1, 2)
        scores = scores / math.sqrt(self.key.in_features)
        future = torch.arange(T)[None, :] > torch.arange(T)[:, None]
        scores[:, future] = float("-inf")
        return softmax(scores) @ self.value(x)


class Attention(nn.Module):
    """The projection in pieces: each head has its part of it, and the parts are added."""

    def __init__(self, config):
        super().__init__()
        self.heads = nn.ModuleList([Head(config) for i in range(config.n_head)])
        self.outs = nn.ModuleList([nn.Linear(config.n_embd // config.n_head, config.n_embd, bias=False) for i in range(config.n_head)])
        self.bias = nn.Parameter(torch.zeros(config.n_embd))

    def forward(self, x):
        result = self.bias
        for head, out in zip(self.heads, self.outs):
            result = result + out(head(x))
        return result


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wide = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.narrow = nn.Linear(4 * config.n_embd, config.n_embd)

    def forward(self, x):
        x = self.wide(x)
        x = torch.maximum(x, torch.zeros_like(x))
        return self.narrow(x)


class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size = config.block_size
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
        self.ln1 = nn.ModuleList([nn.LayerNorm(config.n_embd) for i in range(config.n_layer)])
        self.ln2 = nn.ModuleList([nn.LayerNorm(config.n_embd) for i in range(config.n_layer)])
        self.attns = nn.ModuleList([Attention(config) for i in range(config.n_layer)])
        self.mlps = nn.ModuleList([MLP(config) for i in range(config.n_layer)])
        self.ln = nn.LayerNorm(config.n_embd)
        self.last = nn.Linear(config.n_embd, vocab_size)
        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)

    def forward(self, tokens):
        x = self.token_embedding(tokens) + self.position_embedding(torch.arange(tokens.size(1)))
        for ln1, attn, ln2, mlp in zip(self.ln1, self.attns, self.ln2, self.mlps):
            x = x + attn(ln1(x))
            x = x + mlp(ln2(x))
        return self.last(self.ln(x))

    def generate(self, tokens, max_new_tokens, temperature=1.0):
        was_training = self.training
        self.eval()
        with torch.no_grad():
            for i in range(max_new_tokens):
                last = tokens[:, -self.block_size:]
                logits = self(last)[:, -1, :]
                p = softmax(logits / temperature)
                new = torch.multinomial(p, 1)
                tokens = torch.cat([tokens, new], dim=1)
        if was_training:
            self.train()
        return tokens


def get_batch(data, config):
    xs = []
    ys = []
    for b in range(config.batch_size):
        start = random.randint(0, len(data) - config.block_size - 1)
        xs.append(data[start:start + config.block_size])
        ys.append(data[start + 1:start + config.block_size + 1])
    return torch.stack(xs), torch.stack(ys)


def average_loss(model, data, config):
    model.eval()
    total = 0
    with torch.no_grad():
        for i in range(config.eval_batches):
            x, y = get_batch(data, config)
            logits = model(x)
            total += F.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1)).item()
    model.train()
    return total / config.eval_batches


def main():
    config = Config()
    text = open("input.txt").read()
    letters = sorted(set(text))
    number = {}
    for i in range(len(letters)):
        number[letters[i]] = i
    data = torch.tensor([number[c] for c in text])
    n = int(len(data) * 0.9)
    train_data, val_data = data[:n], data[n:]
    model = GPT(config, len(letters))
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate)
    for step in range(config.max_steps):
        if step % config.eval_interval == 0 or step == config.max_steps - 1:
            a = average_loss(model, train_data, config)
            b = average_loss(model, val_data, config)
            print(f"Epoch {step}: avg train loss {a:.4f} | avg val loss {b:.4f}")
        x, y = get_batch(train_data, config)
        logits = model(x)
        loss = F.cross_entropy(logits.reshape(-1, len(letters)), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("\nSampling 500 tokens from a trained model: ")
    tokens = model.generate(torch.zeros(1, 1, dtype=torch.long), 500)
    print("".join(letters[i] for i in tokens[0].tolist()))


if __name__ == "__main__":
    main()
