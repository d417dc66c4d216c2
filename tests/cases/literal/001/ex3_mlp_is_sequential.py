# Document 001, exercise 3.
# "2-layer feedforward network with `hidden_size` inputs, `4*hidden_size` hiddens, and `hidden_size` outputs"
# "apply the GELU activation function to the hiddens and dropout to the outputs"
# "a class `MLP` that derives from `nn.Module`": nn.Sequential does.
from torch import nn


class MLP(nn.Sequential):
    def __init__(self, hidden_size, dropout):
        super().__init__(
            nn.Linear(hidden_size, 4 * hidden_size), nn.GELU(), nn.Linear(4 * hidden_size, hidden_size), nn.Dropout(dropout)
        )
