import math
import random

import torch
from torch import nn
from torch.nn import functional as F


class Config:
    def __init__(self, **kwargs):
        self.batch_size = 32
        self.block_size = 8
        self.n_embd = 32
        self.n_head = 4
        self.n_layer = 3
        self.learning_rate = 0.001
        self.max_steps = 5000
        self.eval_interval = 500
        self.eval_batches = 200
        for key, value in kwargs.items():
            setattr(self, key, value)


class Head(nn.Module):
    def __init__(self, config):
        super().__init__()
        head_size = config.n_embd // config.n_head
        self.q = nn.Linear(config.n_embd, head_size, bias=False)
        self.k = nn.Linear(config.n_embd, head_size, bias=False)
        self.v = nn.Linear(config.n_embd, head_size, bias=False)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.q(x), self.k(x), self.v(x)
        scores = q @ k.transpose(1, 2) / math.sqrt(C)
        # throw away the future, subtract the biggest, exp, divide
        allowed = torch.tril(torch.ones(T, T))
        scores = torch.where(allowed == 1, scores, torch.tensor(float("-inf")))
        scores = scores - scores.amax(dim=-1, keepdim=True)
        e = torch.exp(scores)
        return (e / e.sum(dim=-1, keepdim=True)) @ v


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = nn.ModuleList()
        for i in range(config.n_head):
            self.heads.append(Head(config))
        self.feed_forward = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x):
        out = []
        for head in self.heads:
            out.append(head(x))
        x = torch.cat(out, dim=2)
        x = self.feed_forward(x)
        return x * (x > 0)


class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.embed = nn.Linear(vocab_size, config.n_embd, bias=False)
        nn.init.normal_(self.embed.weight)
        self.block_list = nn.ModuleList()
        for i in range(config.n_layer):
            self.block_list.append(Block(config))
        self.unembed = nn.Linear(config.n_embd, vocab_size)
        self.position_table = nn.Embedding(config.block_size, config.n_embd)

    def forward(self, tokens):
        one_hot = F.one_hot(tokens, self.vocab_size).float()
        x = self.embed(one_hot)
        x = x + self.position_table(torch.arange(tokens.shape[1]))
        for block in self.block_list:
            x = block(x)
        return self.unembed(x)

    def generate(self, tokens, max_new_tokens, temperature=1.0):
        was_training = self.training
        self.eval()
        with torch.no_grad():
            for i in range(max_new_tokens):
                last = tokens[:, -self.config.block_size:]
                logits = self(last)[:, -1, :]
                p = torch.softmax(logits / temperature, dim=1)
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
