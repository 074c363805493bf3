"""A potential of one's own as TorchScript, saved so that LAMMPS, the C API and the tool take it
(docs/src/reference/torchscript.md).

python torchscript.py morse.pt        # needs torch and nothing else
mlff-student eval morse.pt structures.xyz
"""

import json
import sys

import torch

CUTOFF = 5.0  # Å
SPECIES = ["H", "O"]


class Morse(torch.nn.Module):
    """Morse pairs of hydrogen and oxygen, smooth at the cutoff: a stand-in for any network."""

    def __init__(self):
        super().__init__()
        self.cutoff = CUTOFF
        # Depth (eV), steepness (1/Å) and distance (Å), by the sum of atomic numbers: 2, 9 or 16.
        self.register_buffer(
            "depth",
            torch.zeros(17).index_put((torch.tensor([2, 9, 16]),), torch.tensor([0.02, 0.2, 0.05])),
        )
        self.register_buffer("steepness", torch.full((17,), 1.5))
        self.register_buffer(
            "distance", torch.full((17,), 2.0).index_put((torch.tensor([9]),), torch.tensor([1.8]))
        )

    def forward(self, species, positions, pairs, shifts):
        """Energy of each atom (eV): species N (int64), positions N x 3 (Å), pairs 2 x P (int64),
        shifts P x 3 (Å).
        """
        i, j = pairs[0], pairs[1]
        # The only way in which positions may enter.
        r = positions[j] + shifts - positions[i]
        d = r.square().sum(1).sqrt()
        kind = species[i] + species[j]
        well = torch.exp(-self.steepness[kind] * (d - self.distance[kind]))
        x = d / self.cutoff
        envelope = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
        # Each pair stands in the list in both directions.
        energy = 0.5 * self.depth[kind] * (well * well - 2 * well) * envelope
        return torch.zeros_like(positions[:, 0]).index_add(0, i, energy)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} MODEL.pt")
    model = torch.jit.script(Morse().double())
    description = {
        "cutoff": CUTOFF,
        "species": SPECIES,
        "dtype": "float64",
        "metadata": {"licence": "MIT"},
    }
    model.save(sys.argv[1], _extra_files={"mlff_student.json": json.dumps(description)})
