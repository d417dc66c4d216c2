from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass
class Config:
    batch_size: int = 32
    block_size: int = 8
    n_embd: int = 32
    n_head: int = 4
    n_layer: int = 3
    learning_rate: float = 0.001
    max_steps: int = 5000
    eval_interval: int = 500
    eval_batches: int = 200


class Conv1D(nn.Module):
    """
    A linear layer, its weight transposed.

    Args:
        nf (`int`): The number of output features.
        nx (`int`): The number of input features.
    """

    def __init__(self, nf, nx, bias=True):
        super().__init__()
        self.nf = nf
        self.weight = nn.Parameter(torch.empty(nx, nf))
        self.bias = nn.Parameter(torch.zeros(nf)) if bias else None
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x):
        size_out = x.size()[:-1] + (self.nf,)
        x = x.view(-1, x.size(-1))
        x = torch.addmm(self.bias, x, self.weight) if self.bias is not None else x @ self.weight
        return x.view(size_out)


class GPT2Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embed_dim = config.n_embd
        self.num_heads = config.n_head
        self.head_dim = self.embed_dim // self.num_heads
        self.scale_attn = self.head_dim**0.5
        self.c_attn = Conv1D(3 * self.num_heads * self.head_dim, self.embed_dim)
        self.c_proj = Conv1D(self.embed_dim, self.embed_dim)

    def _attn(self, query, key, value, attention_mask=None):
        # sdpa divides by the root of head_dim
        attn_output = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask, is_causal=attention_mask is None
        )
        return attn_output, None

    def _split_heads(self, tensor, num_heads, attn_head_size):
        """
        Splits hidden_size dim into attn_head_size and num_heads
        """
        new_shape = tensor.size()[:-1] + (num_heads, attn_head_size)
        tensor = tensor.view(new_shape)
        return tensor.permute(0, 2, 1, 3)  # (batch, head, seq_length, head_features)

    def _merge_heads(self, tensor, num_heads, attn_head_size):
        """
        Merges attn_head_size dim and num_attn_heads dim into hidden_size
        """
        tensor = tensor.permute(0, 2, 1, 3).contiguous()
        new_shape = tensor.size()[:-2] + (num_heads * attn_head_size,)
        return tensor.view(new_shape)

    def forward(self, hidden_states, attention_mask=None):
        query, key, value = self.c_attn(hidden_states).split(self.num_heads * self.head_dim, dim=2)

        query = self._split_heads(query, self.num_heads, self.head_dim)
        key = self._split_heads(key, self.num_heads, self.head_dim)
        value = self._split_heads(value, self.num_heads, self.head_dim)

        attn_output, attn_weights = self._attn(query, key, value, attention_mask)

        attn_output = self._merge_heads(attn_output, self.num_heads, self.head_dim)
        attn_output = self.c_proj(attn_output)

        return (attn_output, attn_weights)


class GPT2MLP(nn.Module):
    def __init__(self, intermediate_size, config):
        super().__init__()
        embed_dim = config.n_embd
        self.c_fc = Conv1D(intermediate_size, embed_dim)
        self.c_proj = Conv1D(embed_dim, intermediate_size)
        self.act = nn.ReLU()

    def forward(self, hidden_states):
        hidden_states = self.c_fc(hidden_states)
        hidden_states = self.act(hidden_states)
        hidden_states = self.c_proj(hidden_states)
        return hidden_states


class GPT2Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd)
        self.attn = GPT2Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd)
        inner_dim = 4 * config.n_embd
        self.mlp = GPT2MLP(inner_dim, config)

    def forward(self, hidden_states, attention_mask=None):
        residual = hidden_states
        hidden_states = self.ln_1(hidden_states)
        attn_outputs = self.attn(hidden_states, attention_mask=attention_mask)
        attn_output = attn_outputs[0]  # output_attn: a, present
        # residual connection
        hidden_states = attn_output + residual

        residual = hidden_states
        hidden_states = self.ln_2(hidden_states)
        feed_forward_hidden_states = self.mlp(hidden_states)
        # residual connection
        hidden_states = residual + feed_forward_hidden_states
        return hidden_states


class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.block_size, config.n_embd)
        self.h = nn.ModuleList([GPT2Block(config) for _ in range(config.n_layer)])
        self.ln_f = nn.LayerNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, vocab_size)

        self.apply(self._init_weights)

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            module.weight.data.normal_(mean=0.0, std=0.02)
            module.bias.data.zero_()
        elif isinstance(module, nn.Embedding):
            module.weight.data.normal_(mean=0.0, std=0.02)

    def forward(self, input_ids, position_ids=None):
        input_shape = input_ids.size()
        if position_ids is None:
            position_ids = torch.arange(0, input_shape[-1], dtype=torch.long, device=input_ids.device)
            position_ids = position_ids.unsqueeze(0).view(-1, input_shape[-1])
        inputs_embeds = self.wte(input_ids)
        position_embeds = self.wpe(position_ids)
        hidden_states = inputs_embeds + position_embeds
        for block in self.h:
            hidden_states = block(hidden_states)
        hidden_states = self.ln_f(hidden_states)
        lm_logits = self.lm_head(hidden_states)
        return lm_logits

    @torch.no_grad()
    def generate(self, input_ids, max_new_tokens=20, temperature=1.0, do_sample=True, top_k=None):
        training = self.training
        self.eval()
        for _ in range(max_new_tokens):
            cropped = input_ids[:, -self.config.block_size :]
            next_token_logits = self(cropped)[:, -1, :] / temperature
            if top_k is not None:
                smallest = torch.topk(next_token_logits, min(top_k, next_token_logits.size(-1)))[0][..., -1, None]
                next_token_logits = next_token_logits.masked_fill(next_token_logits < smallest, -float("inf"))
            if do_sample:
                probs = nn.functional.softmax(next_token_logits, dim=-1)
                next_tokens = torch.multinomial(probs, num_samples=1).squeeze(1)
            else:
                next_tokens = torch.argmax(next_token_logits, dim=-1)
            input_ids = torch.cat([input_ids, next_tokens[:, None]], dim=-1)
        self.train(training)
        return input_ids


class Trainer:
    def __init__(self, model, args, data):
        self.model = model
        self.args = args
        self.data = data
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate)

    def get_batch(self, split):
        data = self.data[split]
        starts = torch.randint(len(data) - self.args.block_size, (self.args.batch_size,)).tolist()
        input_ids = torch.stack([data[i : i + self.args.block_size] for i in starts])
        labels = torch.stack([data[i + 1 : i + 1 + self.args.block_size] for i in starts])
        return {"input_ids": input_ids, "labels": labels}

    def compute_loss(self, split):
        batch = self.get_batch(split)
        logits = self.model(batch["input_ids"])
        return F.cross_entropy(logits.reshape(-1, logits.size(-1)), batch["labels"].reshape(-1))

    @torch.no_grad()
    def evaluate(self, split):
        self.model.eval()
        losses = [self.compute_loss(split).item() for _ in range(self.args.eval_batches)]
        self.model.train()
        return sum(losses) / len(losses)

    def train(self):
        for step in range(self.args.max_steps):
            if step % self.args.eval_interval == 0 or step == self.args.max_steps - 1:
                print(f"Epoch {step}: avg train loss {self.evaluate('train'):.4f} | avg val loss {self.evaluate('val'):.4f}")
            self.compute_loss("train").backward()
            self.optimizer.step()
            self.optimizer.zero_grad()


def main():
    torch.manual_seed(42)
    with open("input.txt", encoding="utf-8") as f:
        text = f.read()
    vocab = {ch: i for i, ch in enumerate(sorted(set(text)))}
    ids = torch.tensor([vocab[ch] for ch in text])
    n = int(0.9 * len(ids))
    config = Config()
    model = GPT(config, len(vocab))
    Trainer(model, config, {"train": ids[:n], "val": ids[n:]}).train()
    output = model.generate(torch.zeros(1, 1, dtype=torch.long), max_new_tokens=500)
    symbols = list(vocab)
    print("\nSampling 500 tokens from a trained model: ")
    print("".join(symbols[i] for i in output[0].tolist()))


if __name__ == "__main__":
    main()
