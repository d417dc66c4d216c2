# Document 002, as a plain script that trains as soon as it is read: Task 1: "Implement a single self-attention head. Use it to process the token encodings"
# "If the head size is equal to the size of the embeddings, the learning rate is `0.001`"
import torch
import torch.nn as nn
from torch.nn import functional as F

batch_size = 32
block_size = 8
n_embd = 32
learning_rate = 0.001
epochs = 5000
eval_interval = 500
eval_iters = 200
head_size = 32


class Head(nn.Module):
    """A single self-attention head."""

    def __init__(self):
        super().__init__()
        self.key = nn.Linear(n_embd, head_size, bias=False)
        self.query = nn.Linear(n_embd, head_size, bias=False)
        self.value = nn.Linear(n_embd, head_size, bias=False)
        self.register_buffer("tril", torch.tril(torch.ones(block_size, block_size)))

    def forward(self, x):
        B, T, C = x.shape
        k = self.key(x)
        q = self.query(x)
        v = self.value(x)
        weights = q @ k.transpose(-2, -1) * k.shape[-1] ** -0.5
        weights = weights.masked_fill(self.tril[:T, :T] == 0, float("-inf"))
        weights = F.softmax(weights, dim=-1)
        return weights @ v


class GPT(nn.Module):
    def __init__(self, vocab_size):
        super().__init__()
        self.block_size = block_size
        self.token_embedding_table = nn.Embedding(vocab_size, n_embd)
        self.position_embedding_table = nn.Embedding(block_size, n_embd)
        self.sa_head = Head()
        self.lm_head = nn.Linear(head_size, vocab_size)

    def forward(self, idx, targets=None):
        B, T = idx.shape
        x = self.token_embedding_table(idx) + self.position_embedding_table(torch.arange(T, device=idx.device))
        x = self.sa_head(x)
        logits = self.lm_head(x)
        loss = None
        if targets is not None:
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return logits, loss

    def generate(self, idx, max_new_tokens):
        for _ in range(max_new_tokens):
            logits, _ = self(idx[:, -self.block_size :])
            probs = F.softmax(logits[:, -1, :], dim=-1)
            idx = torch.cat((idx, torch.multinomial(probs, num_samples=1)), dim=1)
        return idx


def load_text(path="input.txt"):
    with open(path, encoding="utf-8") as file:
        return file.read()


def get_batch(data):
    starts = torch.randint(len(data) - block_size, (batch_size,))
    x = torch.stack([data[i : i + block_size] for i in starts])
    y = torch.stack([data[i + 1 : i + block_size + 1] for i in starts])
    return x, y


@torch.no_grad()
def estimate_loss(model, data):
    model.eval()
    losses = []
    for _ in range(eval_iters):
        x, y = get_batch(data)
        losses.append(model(x, y)[1].item())
    model.train()
    return sum(losses) / len(losses)


torch.manual_seed(42)
text = load_text()
chars = sorted(set(text))
stoi = {c: i for i, c in enumerate(chars)}
data = torch.tensor([stoi[c] for c in text])
n = int(0.9 * len(data))
train_data, val_data = data[:n], data[n:]

model = GPT(len(chars))
optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
for epoch in range(epochs):
    if epoch % eval_interval == 0:
        train_loss, val_loss = estimate_loss(model, train_data), estimate_loss(model, val_data)
        print(f"Epoch {epoch}: avg train loss {train_loss:.4f} | avg val loss {val_loss:.4f}")
    x, y = get_batch(train_data)
    loss = model(x, y)[1]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

print("\nSampling 500 tokens from a trained model: ")
model.eval()
sample = model.generate(torch.zeros((1, 1), dtype=torch.long), 500)[0].tolist()
print("".join(chars[i] for i in sample))
