import math
import random
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F


class Config(SimpleNamespace):
    def __init__(self, **overrides):
        defaults = dict(
            batch_size=64,
            block_size=256,
            n_embd=384,
            n_head=6,
            n_layer=6,
            dropout=0.2,
            paper_scale=False,
            learning_rate=0.0003,
            max_steps=5000,
            eval_interval=500,
            eval_batches=200,
        )
        super().__init__(**{**defaults, **overrides})


def softmax(x):
    # subtract the biggest so that exp does not explode
    biggest = x.max(dim=-1, keepdim=True).values
    e = torch.exp(x - biggest)
    return e / e.sum(dim=-1, keepdim=True)


def make_table(block_size, head_size):
    cosines = []
    sines = []
    for t in range(block_size):
        angles = [t / 10000 ** (2 * i / head_size) for i in range(head_size // 2)]
        cosines.append([math.cos(a) for a in angles])
        sines.append([math.sin(a) for a in angles])
    return torch.tensor(cosines), torch.tensor(sines)


def turn(x, cosines, sines):
    # x (B, T, D); the numbers 2i and 2i + 1 are a point in a plane
    columns = []
    for i in range(x.shape[2] // 2):
        a = x[:, :, 2 * i]
        b = x[:, :, 2 * i + 1]
        c = cosines[:x.shape[1], i]
        s = sines[:x.shape[1], i]
        columns.append(a * c - b * s)
        columns.append(a * s + b * c)
    return torch.stack(columns, dim=2)


class Head(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.head_size = config.n_embd // config.n_head
        self.key = nn.Linear(config.n_embd, self.head_size, bias=False)
        self.query = nn.Linear(config.n_embd, self.head_size, bias=False)
        self.value = nn.Linear(config.n_embd, self.head_size, bias=False)
        if config.paper_scale:
            self.divide_by = math.sqrt(self.head_size)
        else:
            self.divide_by = math.sqrt(config.n_embd)
        self.p = config.dropout
        self.cosines, self.sines = make_table(config.block_size, self.head_size)

    def forward(self, x):
        T = x.shape[1]
        queries = turn(self.query(x), self.cosines, self.sines)
        keys = turn(self.key(x), self.cosines, self.sines)
        scores = queries @ keys.transpose(1, 2) / self.divide_by
        future = torch.arange(T)[None, :] > torch.arange(T)[:, None]
        scores[:, future] = float("-inf")
        weights = softmax(scores)
        weights = F.dropout(weights, self.p, training=self.training)
        return weights @ self.value(x)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = nn.ModuleList([Head(config) for i in range(config.n_head)])
        self.projection = nn.Linear(config.n_embd, config.n_embd)
        self.p = config.dropout

    def forward(self, x):
        x = self.projection(torch.cat([head(x) for head in self.heads], dim=-1))
        return F.dropout(x, self.p, self.training)


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wide = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.narrow = nn.Linear(4 * config.n_embd, config.n_embd)
        self.p = config.dropout

    def forward(self, x):
        x = self.narrow(F.relu(self.wide(x)))
        return F.dropout(x, self.p, self.training)


class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size = config.block_size
        self.last_ln = nn.LayerNorm(config.n_embd)
        self.last = nn.Linear(config.n_embd, vocab_size)
        self.ln1 = nn.ModuleList([nn.LayerNorm(config.n_embd) for i in range(config.n_layer)])
        self.attns = nn.ModuleList([Attention(config) for i in range(config.n_layer)])
        self.ln2 = nn.ModuleList([nn.LayerNorm(config.n_embd) for i in range(config.n_layer)])
        self.mlps = nn.ModuleList([MLP(config) for i in range(config.n_layer)])
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)

    def forward(self, tokens):
        x = self.token_embedding(tokens)
        for i in range(len(self.attns)):
            x = x + self.attns[i](self.ln1[i](x))
            x = x + self.mlps[i](self.ln2[i](x))
        return self.last(self.last_ln(x))

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
