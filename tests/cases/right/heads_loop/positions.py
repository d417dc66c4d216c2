# A right `positions` in the style of heads_loop.
import math

import torch
import torch.nn as nn


def positional_encoding(T, C):
    table = []
    for pos in range(T):
        row = []
        for i in range(C // 2):
            angle = pos / (10000 ** (2 * i / C))
            row.append(math.sin(angle))
            row.append(math.cos(angle))
        table.append(row)
    return torch.tensor(table)
