# A right `positions` in the style of ng_video_lecture.
import torch
import torch.nn as nn


def positional_encoding(T, C):
    pos = torch.arange(T).view(T, 1)
    i = torch.arange(C).view(1, C)
    angles = pos / 10000.0 ** ((i - i % 2) / C)
    return torch.where(i % 2 == 0, angles.sin(), angles.cos())
