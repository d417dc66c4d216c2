from dataclasses import dataclass
from typing import Optional

import torch
from torch import nn


@dataclass
class CausalLMOutput:
    logits: torch.Tensor
    loss: Optional[torch.Tensor] = None
    past_key_values: Optional[tuple] = None


class Config:
    model_type = "gpt2"
    attribute_map = {'hidden_size': 'n_embd', 'max_position_embeddings': 'block_size'}

    def __init__(
        self,
        batch_size=32,
        block_size=8,
        n_embd=32,
        head_size=32,
        learning_rate=0.001,
        max_steps=5000,
        eval_interval=500,
        eval_batches=200,
        layer_norm_epsilon=1e-5,
        initializer_range=0.02,
        activation_function="relu",
        **kwargs,
    ):
        self.batch_size = batch_size
        self.block_size = block_size
        self.n_embd = n_embd
        self.head_size = head_size
        self.learning_rate = learning_rate
        self.max_steps = max_steps
        self.eval_interval = eval_interval
        self.eval_batches = eval_batches
        self.layer_norm_epsilon = layer_norm_epsilon
        self.initializer_range = initializer_range
        self.activation_function = activation_function
        for key, value in kwargs.items():
            setattr(self, self.attribute_map.get(key, key), value)

    def __getattr__(self, name):
        # only called for what is not found otherwise
        if name in type(self).attribute_map:
            return getattr(self, type(self).attribute_map[name])
        raise AttributeError(name)


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
        nn.init.normal_(self.weight, std=0.1)

    def forward(self, x):
        size_out = x.size()[:-1] + (self.nf,)
        x = x.view(-1, x.size(-1))
        x = torch.addmm(self.bias, x, self.weight) if self.bias is not None else x @ self.weight
        return x.view(size_out)


class GPT2Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embed_dim = config.hidden_size
        self.num_heads = 1
        self.head_dim = config.head_size // self.num_heads
        self.scale_attn = self.head_dim**0.5
        max_positions = config.block_size
        self.register_buffer(
            "bias",
            torch.tril(torch.ones((max_positions, max_positions), dtype=torch.bool)).view(1, 1, max_positions, max_positions),
            persistent=False,
        )
        self.c_attn = Conv1D(3 * self.num_heads * self.head_dim, self.embed_dim, bias=False)

    def _attn(self, query, key, value, attention_mask=None, head_mask=None):
        attn_weights = torch.matmul(query, key.transpose(-1, -2))
        attn_weights = attn_weights / torch.full([], self.scale_attn, dtype=attn_weights.dtype, device=attn_weights.device)

        # if only "normal" attention layer implements causal mask
        query_length, key_length = query.size(-2), key.size(-2)
        causal_mask = self.bias[:, :, key_length - query_length : key_length, :key_length]
        mask_value = torch.finfo(attn_weights.dtype).min
        # Need to be a tensor, otherwise we get error: `RuntimeError: expected scalar type float but found double`.
        mask_value = torch.full([], mask_value, dtype=attn_weights.dtype, device=attn_weights.device)
        attn_weights = torch.where(causal_mask, attn_weights, mask_value)

        if attention_mask is not None:
            attn_weights = attn_weights + attention_mask

        attn_weights = nn.functional.softmax(attn_weights, dim=-1)
        attn_weights = attn_weights.type(value.dtype)

        # Mask heads if we want to
        if head_mask is not None:
            attn_weights = attn_weights * head_mask

        attn_output = torch.matmul(attn_weights, value)
        return attn_output, attn_weights

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

    def forward(self, hidden_states, layer_past=None, attention_mask=None, use_cache=False):
        query, key, value = self.c_attn(hidden_states).split(self.num_heads * self.head_dim, dim=2)

        query = self._split_heads(query, self.num_heads, self.head_dim)
        key = self._split_heads(key, self.num_heads, self.head_dim)
        value = self._split_heads(value, self.num_heads, self.head_dim)

        if layer_past is not None:
            past_key, past_value = layer_past
            key = torch.cat((past_key, key), dim=-2)
            value = torch.cat((past_value, value), dim=-2)
        present = (key, value) if use_cache else None

        attn_output, attn_weights = self._attn(query, key, value, attention_mask)

        attn_output = self._merge_heads(attn_output, self.num_heads, self.head_dim)

        outputs = (attn_output, present)
        return outputs  # a, present


class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.block_size, config.n_embd)
        self.attn = GPT2Attention(config)
        self.lm_head = nn.Linear(config.head_size, vocab_size)

    def forward(self, input_ids, position_ids=None, labels=None):
        input_shape = input_ids.size()
        if position_ids is None:
            position_ids = torch.arange(0, input_shape[-1], dtype=torch.long, device=input_ids.device)
            position_ids = position_ids.unsqueeze(0).view(-1, input_shape[-1])
        inputs_embeds = self.wte(input_ids)
        position_embeds = self.wpe(position_ids)
        hidden_states = inputs_embeds + position_embeds
        hidden_states = self.attn(hidden_states)[0]
        lm_logits = self.lm_head(hidden_states)

        loss = None
        if labels is not None:
            loss = nn.functional.cross_entropy(lm_logits.view(-1, lm_logits.size(-1)), labels.reshape(-1))

        return CausalLMOutput(logits=lm_logits, loss=loss)

    @torch.no_grad()
    def generate(self, input_ids, max_new_tokens=20, temperature=1.0, do_sample=True, top_k=None):
        training = self.training
        self.eval()
        for _ in range(max_new_tokens):
            cropped = input_ids[:, -self.config.block_size :]
            next_token_logits = self(cropped).logits[:, -1, :] / temperature
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

    @torch.no_grad()
    def evaluate(self, split):
        self.model.eval()
        losses = [self.model(**self.get_batch(split)).loss.item() for _ in range(self.args.eval_batches)]
        self.model.train()
        return sum(losses) / len(losses)

    def train(self):
        for step in range(self.args.max_steps):
            if step % self.args.eval_interval == 0:
                print(f"Epoch {step}: avg train loss {self.evaluate('train'):.4f} | avg val loss {self.evaluate('val'):.4f}")
            outputs = self.model(**self.get_batch("train"))
            outputs.loss.backward()
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
