# A right `gpt` in the style of torch_encoder_layer.
import math

import torch
import torch.nn as nn
from torch.nn import functional as F


class Block(nn.TransformerEncoderLayer):
    """PyTorch's layer, pre-LN, without the dropout between the linear layers."""

    def __init__(self, d_model, nhead, dropout):
        super().__init__(
            d_model, nhead, 4 * d_model, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.dropout = nn.Dropout(0.0)

    def forward(self, x):
        T = x.size(1)
        mask = torch.triu(torch.ones(T, T, dtype=torch.bool, device=x.device), diagonal=1)
        return super().forward(x, src_mask=mask)


class GPT(nn.Module):
    def __init__(self, vocab_size, context_size, d_model, num_layers, nhead, dropout):
        super().__init__()
        self.context_size = context_size
        self.token_embedding = nn.Embedding(vocab_size, d_model)
        self.position_embedding = nn.Embedding(context_size, d_model)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(*[Block(d_model, nhead, dropout) for _ in range(num_layers)])
        self.norm = nn.LayerNorm(d_model)
        self.output = nn.Linear(d_model, vocab_size, bias=False)
        self.output.weight = self.token_embedding.weight
        self.apply(self._init_weights)
        for pn, p in self.named_parameters():
            if pn.endswith("linear2.weight"):
                torch.nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * num_layers))

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                torch.nn.init.zeros_(module.bias)
        elif isinstance(module, nn.MultiheadAttention):
            torch.nn.init.normal_(module.in_proj_weight, mean=0.0, std=0.02)
            torch.nn.init.zeros_(module.in_proj_bias)

    def forward(self, x, y=None):
        pos = torch.arange(x.shape[1], device=x.device)
        h = self.token_embedding(x) + self.position_embedding(pos)
        h = self.dropout(h)
        h = self.layers(h)
        logits = self.output(self.norm(h))
        loss = None
        if y is not None:
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), y.reshape(-1))
        return logits, loss

    def configure_optimizers(self, weight_decay, learning_rate, betas):
        param_dict = {pn: p for pn, p in self.named_parameters() if p.requires_grad}
        decay_params = [p for n, p in param_dict.items() if p.dim() >= 2]
        nodecay_params = [p for n, p in param_dict.items() if p.dim() < 2]
        optim_groups = [
            {"params": decay_params, "weight_decay": weight_decay},
            {"params": nodecay_params, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(optim_groups, lr=learning_rate, betas=betas)

    def generate(self, x, max_new_tokens, temperature=1.0):
        training = self.training
        self.eval()
        with torch.no_grad():
            for _ in range(max_new_tokens):
                logits = self(x[:, -self.context_size :])[0][:, -1]
                distribution = torch.distributions.categorical.Categorical(logits=logits / temperature)
                x = torch.cat([x, distribution.sample().unsqueeze(-1)], dim=-1)
        self.train(training)
        return x
