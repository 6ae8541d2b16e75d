"""The network that compares two questions token by token. engine/native/kernels/src/comparison.rs computes the same."""
import torch
import torch.nn as nn
import torch.nn.functional as F

# Beyond these a shift of an aligned token's place tells no more.
MOST_SHIFT = 3.0


class Network(nn.Module):
    """One member of the ensemble. Everything is symmetric in the two texts."""

    def __init__(self, width, extra, d=32, hidden=32, dropout=0.2, input_dropout=0.1):
        super().__init__()
        self.project = nn.Linear(width, d)
        self.key = nn.Linear(d, d, bias=False)
        nn.init.eye_(self.key.weight)
        self.log_sharpness = nn.Parameter(torch.tensor(2.0))
        self.compare = nn.Linear(3 * d + 6, hidden)
        self.combine = nn.Linear(4 * hidden + extra, hidden)
        self.output = nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(dropout)
        self.input_dropout = nn.Dropout(input_dropout)

    def encode(self, states):
        return self.project(self.input_dropout(states))

    def side(self, a, b, scores, mask_a, mask_b, same, rarity):
        scores = scores.masked_fill(~mask_b[:, None, :], -1e4)
        shares = scores.softmax(-1)
        partner = shares @ b
        places = (shares * torch.arange(b.shape[1], dtype=shares.dtype)).sum(-1)
        step = (places[:, 1:] - places[:, :-1] - 1).clamp(-MOST_SHIFT, MOST_SHIFT) / MOST_SHIFT
        step = step * (mask_a[:, 1:] & mask_a[:, :-1])
        scalars = torch.stack(
            [
                F.cosine_similarity(a, partner, dim=-1, eps=1e-6),
                (same & mask_b[:, None, :]).any(-1).float(),
                scores.max(-1).values * 0.1,
                rarity,
                F.pad(step, (1, 0)),
                F.pad(step, (0, 1)),
            ],
            -1,
        )
        compared = F.relu(self.compare(self.dropout(torch.cat([a, (a - partner).abs(), a * partner, scalars], -1))))
        compared = compared * mask_a[..., None]
        return compared.sum(1) / mask_a.sum(1, keepdim=True).clamp(min=1), compared.max(1).values

    def forward(self, projected, mask, ids, rarity, one, other, extra):
        a, b, mask_a, mask_b = projected[one], projected[other], mask[one], mask[other]
        same = ids[one][:, :, None] == ids[other][:, None, :]
        scores = F.normalize(self.key(a), dim=-1) @ F.normalize(self.key(b), dim=-1).transpose(1, 2)
        scores = scores * self.log_sharpness.exp()
        mean_a, max_a = self.side(a, b, scores, mask_a, mask_b, same, rarity[one])
        mean_b, max_b = self.side(b, a, scores.transpose(1, 2), mask_b, mask_a, same.transpose(1, 2), rarity[other])
        both = torch.cat([mean_a + mean_b, (mean_a - mean_b).abs(), max_a + max_b, torch.maximum(max_a, max_b)], -1)
        return self.output(self.dropout(F.relu(self.combine(torch.cat([self.dropout(both), extra], -1)))))[:, 0]
