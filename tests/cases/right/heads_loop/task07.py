import math
import random
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass
class Config:
    batch_size: int = 64
    block_size: int = 256
    n_embd: int = 384
    n_head: int = 6
    n_layer: int = 6
    dropout: float = 0.2
    paper_scale: bool = False
    learning_rate: float = 0.0003
    max_steps: int = 5000
    eval_interval: int = 500
    eval_batches: int = 200


def softmax(x):
    # subtract the biggest so that exp does not explode
    biggest = x.max(dim=-1, keepdim=True).values
    e = torch.exp(x - biggest)
    return e / e.sum(dim=-1, keepdim=True)


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
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x):
        T = x.shape[1]
        queries = self.query(x)
        keys = self.key(x)
        scores = queries @ keys.transpose(1, 2) / self.divide_by
        future = torch.arange(T)[None, :] > torch.arange(T)[:, None]
        scores[:, future] = float("-inf")
        weights = softmax(scores)
        weights = self.dropout(weights)
        return weights @ self.value(x)


class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size = config.block_size
        self.n_layer = config.n_layer
        C = config.n_embd
        self.token_embedding = nn.Embedding(vocab_size, C)
        self.ln1 = nn.ModuleList()
        self.heads = nn.ModuleList()
        self.projections = nn.ModuleList()
        self.ln2 = nn.ModuleList()
        self.wide = nn.ModuleList()
        self.narrow = nn.ModuleList()
        for i in range(config.n_layer):
            self.ln1.append(nn.LayerNorm(C))
            self.heads.append(nn.ModuleList([Head(config) for j in range(config.n_head)]))
            self.projections.append(nn.Linear(C, C))
            self.ln2.append(nn.LayerNorm(C))
            self.wide.append(nn.Linear(C, 4 * C))
            self.narrow.append(nn.Linear(4 * C, C))
        self.dropout = nn.Dropout(config.dropout)
        self.last_ln = nn.LayerNorm(C)
        self.last = nn.Linear(C, vocab_size)
        self.position_embedding = nn.Embedding(config.block_size, C)

    def forward(self, tokens):
        x = self.token_embedding(tokens) + self.position_embedding(torch.arange(tokens.size(1)))
        for i in range(self.n_layer):
            y = self.ln1[i](x)
            y = torch.cat([head(y) for head in self.heads[i]], dim=-1)
            x = x + self.dropout(self.projections[i](y))
            y = self.ln2[i](x)
            y = self.narrow[i](torch.relu(self.wide[i](y)))
            x = x + self.dropout(y)
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
