"""Makes the models of this folder: python make.py (needs torch)."""

import json
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "examples/python"))

from torchscript import CUTOFF, SPECIES, Morse  # noqa: E402

GOOD = {"cutoff": CUTOFF, "species": SPECIES, "dtype": "float64"}


class OtherUse(Morse):
    def forward(self, species, positions, pairs, shifts):
        r = positions[pairs[1]] + shifts - positions[pairs[0]]
        return positions.square().sum() + r.square().sum()


class ThreeArguments(torch.nn.Module):
    def forward(self, species, positions, pairs):
        return positions.sum()


class TwoResults(torch.nn.Module):
    def forward(self, species, positions, pairs, shifts):
        return positions.sum(), shifts.sum()


class Total(torch.nn.Module):
    """One number, for all atoms."""

    def __init__(self):
        super().__init__()
        self.pairs = Morse()

    def forward(self, species, positions, pairs, shifts):
        return self.pairs(species, positions, pairs, shifts).sum()


class DetachedWeights(torch.nn.Module):
    """Weights have gradients of their own, so the energy has one although positions have lost
    theirs.
    """

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))

    def forward(self, species, positions, pairs, shifts):
        r = positions[pairs[1]] + shifts - positions[pairs[0]]
        return (self.weight * r.detach()).sum()


class Detached(torch.nn.Module):
    def forward(self, species, positions, pairs, shifts):
        return (positions[pairs[1]] + shifts - positions[pairs[0]]).sum().detach()


def save(model, name, description=GOOD):
    torch.jit.script(model).save(
        HERE / name, _extra_files={"mlff_student.json": json.dumps(description)}
    )


save(Morse().double(), "morse.pt")
save(Total(), "total-float32.pt", {"cutoff": CUTOFF, "species": SPECIES})
save(DetachedWeights(), "detached-weights.pt")
save(OtherUse().double(), "other-use-of-positions.pt")
save(ThreeArguments(), "three-arguments.pt")
save(TwoResults(), "two-results.pt")
save(Detached(), "detached.pt")
save(Detached(), "no-species.pt", GOOD | {"species": []})
save(Detached(), "unknown-key.pt", {"cutof": CUTOFF, "species": SPECIES})
