# A right `block` in the style of torch_encoder_layer.
import torch
import torch.nn as nn


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
