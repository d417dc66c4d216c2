# Document 001, exercise 7.
# "stops after `max_iters` iterations"; "applies the learning rate schedule implemented in `get_lr`"
# "accumulates gradients for `gradient_accumulation_steps` batches before each weight update"
# "evaluates (and potentially checkpoints) the model using `estimate_loss` every `eval_iters` iterations"
# The loop in main(), over the globals.
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class MultiHeadCausalSelfAttention(nn.Module):
    def __init__(self, hidden_size, n_head, dropout):
        super().__init__()
        assert hidden_size % n_head == 0
        self.n_head = n_head
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.out = nn.Linear(hidden_size, hidden_size)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)

    def forward(self, x):
        N, T, D = x.shape
        d = D // self.n_head
        Q = self.query(x).view(N, T, self.n_head, d).transpose(1, 2)
        K = self.key(x).view(N, T, self.n_head, d).transpose(1, 2)
        V = self.value(x).view(N, T, self.n_head, d).transpose(1, 2)
        scores = Q @ K.transpose(-2, -1) / math.sqrt(d)
        mask = torch.tril(torch.ones(T, T, device=x.device)).bool()
        scores = scores.masked_fill(~mask, float("-inf"))
        scores = self.dropout1(F.softmax(scores, dim=-1))
        out = (scores @ V).transpose(1, 2).contiguous().view(N, T, D)
        return self.dropout2(self.out(out))


class MLP(nn.Module):
    def __init__(self, hidden_size, dropout):
        super().__init__()
        self.fc1 = nn.Linear(hidden_size, 4 * hidden_size)
        self.fc2 = nn.Linear(4 * hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return self.dropout(self.fc2(F.gelu(self.fc1(x))))


class Block(nn.Module):
    def __init__(self, hidden_size, n_head, dropout):
        super().__init__()
        self.ln1 = nn.LayerNorm(hidden_size)
        self.attn = MultiHeadCausalSelfAttention(hidden_size, n_head, dropout)
        self.ln2 = nn.LayerNorm(hidden_size)
        self.mlp = MLP(hidden_size, dropout)

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        x = x + self.mlp(self.ln2(x))
        return x


class GPT(nn.Module):
    def __init__(self, vocab_size, context_size, hidden_size, n_layer, n_head, dropout):
        super().__init__()
        self.context_size = context_size
        self.token_embedding = nn.Embedding(vocab_size, hidden_size)
        self.position_embedding = nn.Embedding(context_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*[Block(hidden_size, n_head, dropout) for _ in range(n_layer)])
        self.ln = nn.LayerNorm(hidden_size)
        self.output = nn.Linear(hidden_size, vocab_size, bias=False)
        self.output.weight = self.token_embedding.weight

        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            nn.init.normal_(block.mlp.fc2.weight, mean=0.0, std=0.02 / math.sqrt(2 * n_layer))

    def forward(self, x, y):
        N, T = x.shape
        positions = torch.arange(T, device=x.device)
        h = self.dropout(self.token_embedding(x) + self.position_embedding(positions))
        h = self.ln(self.blocks(h))
        logits = self.output(h)
        loss = F.cross_entropy(logits.reshape(N * T, -1), y.reshape(N * T))
        return logits, loss

    def configure_optimizers(self, weight_decay, learning_rate, betas):
        decay = [p for p in self.parameters() if p.dim() >= 2]
        no_decay = [p for p in self.parameters() if p.dim() < 2]
        groups = [{"params": decay, "weight_decay": weight_decay}, {"params": no_decay, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=learning_rate, betas=betas)

    @torch.no_grad()
    def generate(self, x, max_new_tokens, temperature=1.0):
        for _ in range(max_new_tokens):
            context = x[:, -self.context_size :]
            logits, _ = self(context, torch.zeros_like(context))
            probs = F.softmax(logits[:, -1, :] / temperature, dim=-1)
            x = torch.cat([x, torch.multinomial(probs, num_samples=1)], dim=1)
        return x


# ---- globals, helpers and boilerplate, as an exercise hands them out
batch_size = 8
context_size = 16
hidden_size = 32
n_layer = 2
n_head = 4
dropout = 0.0

max_iters = 40
learning_rate = 1e-2
weight_decay = 0.1
betas = (0.9, 0.95)
grad_clip = 1.0
gradient_accumulation_steps = 2

warmup_iters = 5
lr_decay_iters = 40
min_lr = 1e-3

log_interval = 10
eval_iters = 20
device = "cpu"

torch.manual_seed(1)
text = "the quick brown fox jumps over the lazy dog. " * 100
chars = sorted(set(text))
vocab_size = len(chars)
data = torch.tensor([chars.index(c) for c in text], dtype=torch.long)
n = int(0.9 * len(data))
splits = {"train": data[:n], "val": data[n:]}


def get_batch(split):
    d = splits[split]
    ix = torch.randint(len(d) - context_size, (batch_size,))
    x = torch.stack([d[i : i + context_size] for i in ix])
    y = torch.stack([d[i + 1 : i + 1 + context_size] for i in ix])
    return x.to(device), y.to(device)


@torch.no_grad()
def estimate_loss():
    out = {}
    model.eval()
    for split in ["train", "val"]:
        losses = torch.zeros(5)
        for k in range(5):
            X, Y = get_batch(split)
            _, loss = model(X, Y)
            losses[k] = loss.item()
        out[split] = losses.mean()
    model.train()
    return out


def get_lr(it):
    # 1) linear warmup
    if it < warmup_iters:
        return learning_rate * (it + 1) / (warmup_iters + 1)
    # 2) after the decay
    if it > lr_decay_iters:
        return min_lr
    # 3) cosine between
    decay_ratio = (it - warmup_iters) / (lr_decay_iters - warmup_iters)
    coeff = 0.5 * (1.0 + math.cos(math.pi * decay_ratio))
    return min_lr + coeff * (learning_rate - min_lr)


def main():
    global model
    model = GPT(vocab_size, context_size, hidden_size, n_layer, n_head, dropout).to(device)
    optimizer = model.configure_optimizers(weight_decay, learning_rate, betas)

    best_val_loss = float("inf")
    model.train()
    for it in range(max_iters):
        lr = get_lr(it)
        for param_group in optimizer.param_groups:
            param_group["lr"] = lr

        if it % eval_iters == 0:
            losses = estimate_loss()
            print(f"step {it}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}")
            if losses["val"] < best_val_loss:
                best_val_loss = losses["val"]
                torch.save(model.state_dict(), "checkpoint.pt")

        optimizer.zero_grad()
        train_loss = 0.0
        for _ in range(gradient_accumulation_steps):
            x, y = get_batch("train")
            logits, loss = model(x, y)
            loss = loss / gradient_accumulation_steps
            loss.backward()
            train_loss += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
        optimizer.step()

        if it % log_interval == 0:
            print(f"iter {it}: loss {train_loss:.4f}, lr {lr:.2e}")


if __name__ == "__main__":
    main()
