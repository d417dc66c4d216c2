import math
import random

import torch
from torch import nn
from torch.nn import functional as F


class Config:
    batch_size = 32
    block_size = 8
    n_embd = 32
    n_head = 4
    learning_rate = 0.001
    max_steps = 5000
    eval_interval = 500
    eval_batches = 200


def softmax(x):
    # subtract the biggest so that exp does not explode
    biggest = x.max(dim=-1, keepdim=True).values
    e = torch.exp(x - biggest)
    return e / e.sum(dim=-1, keepdim=True)


class MultiHead(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.n_embd = config.n_embd
        head_size = config.n_embd // config.n_head
        self.queries = nn.ModuleList()
        self.keys = nn.ModuleList()
        self.values = nn.ModuleList()
        for h in range(config.n_head):
            self.queries.append(nn.Linear(config.n_embd, head_size, bias=False))
            self.keys.append(nn.Linear(config.n_embd, head_size, bias=False))
            self.values.append(nn.Linear(config.n_embd, head_size, bias=False))

    def forward(self, x):
        T = x.shape[1]
        outputs = []
        for h in range(self.n_head):
            q = self.queries[h](x)
            k = self.keys[h](x)
            v = self.values[h](x)
            scores = torch.bmm(q, k.transpose(1, 2)) / math.sqrt(self.n_embd)
            for t in range(T):
                scores[:, t, t + 1:] = float("-inf")
            outputs.append(torch.bmm(softmax(scores), v))
        return torch.cat(outputs, 2)


class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size = config.block_size
        self.embedding = nn.Embedding(vocab_size, config.n_embd)
        self.attention = MultiHead(config)
        self.final = nn.Linear(config.n_embd, vocab_size)
        self.positions = nn.Parameter(torch.randn(config.block_size, config.n_embd))

    def forward(self, tokens):
        x = self.embedding(tokens) + self.positions[:tokens.shape[1]]
        return self.final(self.attention(x))

    @torch.no_grad()
    def generate(self, tokens, max_new_tokens, temperature=1.0):
        for i in range(max_new_tokens):
            logits = self(tokens[:, -self.block_size:])[:, -1, :]
            p = softmax(logits / temperature)
            # draw a number from 0 to 1 and look into whose part of the line it falls
            ends = torch.cumsum(p, dim=-1)
            r = torch.rand(len(tokens), 1) * ends[:, -1:]
            new = (ends <= r).sum(dim=-1, keepdim=True).clamp(max=ends.shape[-1] - 1)
            tokens = torch.cat([tokens, new], dim=1)
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
        if step % config.eval_interval == 0:
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
