import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset


class Config:
    batch_size = 32
    block_size = 8
    n_embd = 32
    n_head = 4
    learning_rate = 0.001
    max_steps = 5000
    eval_interval = 500
    eval_batches = 200


class MultiHeadAttention(nn.Module):
    def __init__(self, d_in, d_out, context_length, num_heads, qkv_bias=False):
        super().__init__()
        assert d_out % num_heads == 0, "d_out must be divisible by num_heads"

        self.d_out = d_out
        self.num_heads = num_heads
        self.head_dim = d_out // num_heads  # Reduce the projection dim to match desired output dim

        self.W_query = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_key = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_value = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.register_buffer(
            "mask",
            torch.triu(torch.ones(context_length, context_length), diagonal=1),
        )

    def forward(self, x):
        b, num_tokens, d_in = x.shape

        keys = self.W_key(x)  # Shape: (b, num_tokens, d_out)
        queries = self.W_query(x)
        values = self.W_value(x)

        # We implicitly split the matrix by adding a `num_heads` dimension
        # Unroll last dim: (b, num_tokens, d_out) -> (b, num_tokens, num_heads, head_dim)
        keys = keys.view(b, num_tokens, self.num_heads, self.head_dim)
        values = values.view(b, num_tokens, self.num_heads, self.head_dim)
        queries = queries.view(b, num_tokens, self.num_heads, self.head_dim)

        # Transpose: (b, num_tokens, num_heads, head_dim) -> (b, num_heads, num_tokens, head_dim)
        keys = keys.transpose(1, 2)
        queries = queries.transpose(1, 2)
        values = values.transpose(1, 2)

        # Compute scaled dot-product attention with a causal mask
        attn_scores = queries @ keys.transpose(2, 3)  # Dot product for each head

        # Original mask truncated to the number of tokens and converted to boolean
        mask_bool = self.mask.bool()[:num_tokens, :num_tokens]

        # Use the mask to fill attention scores
        attn_scores.masked_fill_(mask_bool, -torch.inf)

        attn_weights = torch.softmax(attn_scores / keys.shape[-1]**0.5, dim=-1)

        # Shape: (b, num_tokens, num_heads, head_dim)
        context_vec = (attn_weights @ values).transpose(1, 2)

        # Combine heads, where self.d_out = self.num_heads * self.head_dim
        context_vec = context_vec.contiguous().view(b, num_tokens, self.d_out)

        return context_vec


class FeedForward(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(cfg["emb_dim"], cfg["emb_dim"]),
            nn.ReLU(),
        )

    def forward(self, x):
        return self.layers(x)


class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        cfg = {
            "vocab_size": vocab_size,
            "context_length": config.block_size,
            "emb_dim": config.n_embd,
            "n_heads": config.n_head,
            "qkv_bias": False,
        }
        self.context_length = cfg["context_length"]
        self.tok_emb = nn.Embedding(cfg["vocab_size"], cfg["emb_dim"])
        self.pos_emb = nn.Embedding(cfg["context_length"], cfg["emb_dim"])
        self.att = MultiHeadAttention(
            d_in=cfg["emb_dim"],
            d_out=cfg["emb_dim"],
            context_length=cfg["context_length"],
            num_heads=cfg["n_heads"],
            qkv_bias=cfg["qkv_bias"],
        )
        self.ff = FeedForward(cfg)
        self.out_head = nn.Linear(cfg["emb_dim"], cfg["vocab_size"])

    def forward(self, in_idx):
        batch_size, seq_len = in_idx.shape
        tok_embeds = self.tok_emb(in_idx)
        pos_embeds = self.pos_emb(torch.arange(seq_len, device=in_idx.device))
        x = tok_embeds + pos_embeds  # Shape [batch_size, num_tokens, emb_size]
        x = self.att(x)
        x = self.ff(x)
        logits = self.out_head(x)
        return logits

    def generate(self, idx, max_new_tokens, temperature=1.0, top_k=None, eos_id=None):
        return generate(self, idx, max_new_tokens, self.context_length, temperature, top_k, eos_id)


def generate(model, idx, max_new_tokens, context_size, temperature=0.0, top_k=None, eos_id=None):
    was_training = model.training
    model.eval()
    # For-loop: Get logits, and only focus on last time step
    for _ in range(max_new_tokens):
        idx_cond = idx[:, -context_size:]
        with torch.no_grad():
            logits = model(idx_cond)
        logits = logits[:, -1, :]

        # Filter logits with top_k sampling
        if top_k is not None:
            top_logits, _ = torch.topk(logits, top_k)
            min_val = top_logits[:, -1:]
            logits = torch.where(logits < min_val, torch.tensor(float("-inf")).to(logits.device), logits)

        # Apply temperature scaling
        if temperature > 0.0:
            logits = logits / temperature

            # Apply softmax to get probabilities
            probs = torch.softmax(logits, dim=-1)  # (batch_size, vocab_size)

            # Sample from the distribution
            idx_next = torch.multinomial(probs, num_samples=1)  # (batch_size, 1)

        # Otherwise same as before: get idx of the vocab entry with the highest logits value
        else:
            idx_next = torch.argmax(logits, dim=-1, keepdim=True)  # (batch_size, 1)

        if eos_id is not None and (idx_next == eos_id).all():  # Stop generating early if end-of-sequence token is encountered
            break

        # Same as before: append sampled index to the running sequence
        idx = torch.cat((idx, idx_next), dim=1)  # (batch_size, num_tokens+1)

    model.train(was_training)
    return idx


class GPTDataset(Dataset):
    def __init__(self, token_ids, max_length, samples):
        self.token_ids = token_ids
        self.max_length = max_length
        self.samples = samples

    def __len__(self):
        return self.samples

    def __getitem__(self, _):
        i = torch.randint(len(self.token_ids) - self.max_length, ()).item()
        return self.token_ids[i:i + self.max_length], self.token_ids[i + 1:i + self.max_length + 1]


def calc_loss_batch(input_batch, target_batch, model):
    logits = model(input_batch)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), target_batch.flatten())


def calc_loss_loader(data_loader, model):
    total_loss = 0.
    with torch.no_grad():
        for input_batch, target_batch in data_loader:
            total_loss += calc_loss_batch(input_batch, target_batch, model).item()
    return total_loss / len(data_loader)


def train_model_simple(model, train_ids, val_ids, config):
    def loader(ids, batches):
        return DataLoader(GPTDataset(ids, config.block_size, batches * config.batch_size), batch_size=config.batch_size)

    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate)
    for global_step, (input_batch, target_batch) in enumerate(loader(train_ids, config.max_steps)):
        # Optional evaluation step
        if global_step % config.eval_interval == 0:
            model.eval()
            train_loss = calc_loss_loader(loader(train_ids, config.eval_batches), model)
            val_loss = calc_loss_loader(loader(val_ids, config.eval_batches), model)
            print(f"Epoch {global_step}: avg train loss {train_loss:.4f} | avg val loss {val_loss:.4f}")
            model.train()
        optimizer.zero_grad()  # Reset loss gradients from previous batch iteration
        loss = calc_loss_batch(input_batch, target_batch, model)
        loss.backward()  # Calculate loss gradients
        optimizer.step()  # Update model weights using loss gradients


if __name__ == "__main__":
    torch.manual_seed(123)
    config = Config()
    with open("input.txt", "r", encoding="utf-8") as f:
        text_data = f.read()
    vocab = {token: integer for integer, token in enumerate(sorted(set(text_data)))}
    int_to_str = {i: s for s, i in vocab.items()}
    token_ids = torch.tensor([vocab[s] for s in text_data])
    split_idx = int(0.90 * len(token_ids))

    model = GPT(config, len(vocab))
    train_model_simple(model, token_ids[:split_idx], token_ids[split_idx:], config)

    out = model.generate(torch.zeros(1, 1, dtype=torch.long), max_new_tokens=500)
    print("\nSampling 500 tokens from a trained model: ")
    print("".join(int_to_str[i] for i in out.squeeze(0).tolist()))
