"""The student in plain PyTorch: float32 features, forces by autograd, on pairs that are given; as
it is, and as TorchScript.

Started by `mlff-student bench` as: pytorch_student.py FOLDER THREADS DEVICE, where DEVICE is cpu or
cuda:N. FOLDER holds
  student.safetensors   the model, see docs/src/reference/model-files.md
  positions, shifts     float64, x y z of each atom; of each pair, added to the sender's position
  species, i, j         int64, atomic numbers; receiver and sender of each pair
Writes FOLDER/forces (float64) and one line of JSON; then, for each line "eager" or "script" on
stdin, the seconds that energy and forces took so, until the device was done. Where PyTorch cannot
use the device, the line of JSON says why, and nothing follows.
"""

import json
import math
import struct
import sys
import time

from torch.nn.functional import linear, silu

import torch


def load(path):
    """The tensors (float32) and metadata of a safetensors file."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    metadata = header.pop("__metadata__")
    dtypes = {"F32": torch.float32, "F64": torch.float64}
    tensors = {}
    for name, entry in header.items():
        start, _ = entry["data_offsets"]
        values = torch.frombuffer(
            data, dtype=dtypes[entry["dtype"]], offset=start, count=math.prod(entry["shape"])
        )
        tensors[name] = values.reshape(entry["shape"]).float()
    return tensors, metadata


def array(path, dtype):
    with open(path, "rb") as file:
        return torch.frombuffer(bytearray(file.read()), dtype=dtype)


class Student:
    def __init__(self, path, device):
        tensors, metadata = load(path)
        self.tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
        self.published = metadata["architecture"] == "published"
        self.envelope_on_basis = metadata["envelope_place"] == "basis"
        self.hidden = int(metadata["hidden"])
        self.blocks = int(metadata["blocks"])
        self.cutoff = float(metadata["cutoff"])
        self.softening = float(metadata["softening"])
        self.power = (
            int(metadata["envelope_power"]) if metadata["envelope"] == "polynomial" else None
        )
        self.shifted = metadata.get("norm") == "shifted"

    def linear(self, name, x):
        return linear(x, self.tensors[name + ".weight"], self.tensors.get(name + ".bias"))

    def mlp(self, name, x):
        return self.linear(name + ".second", silu(self.linear(name + ".first", x)))

    def layers(self, name, x):
        """Dense layers 0, 1, 2, ... with silu between them."""
        index = 0
        while f"{name}.{index}.weight" in self.tensors:
            x = self.linear(f"{name}.{index}", silu(x) if index else x)
            index += 1
        return x

    def basis(self, d):
        if "basis.frequencies" in self.tensors:
            return torch.sin(d * self.tensors["basis.frequencies"]) / d
        centers, exponents = self.tensors["basis.centers"], self.tensors["basis.exponents"]
        return torch.exp(-exponents * (d - centers) ** 2)

    def envelope(self, x, power):
        if power is None:
            return 0.5 * (torch.cos(math.pi * x) + 1)
        p = power
        return (
            1
            - (p + 1) * (p + 2) / 2 * x**p
            + p * (p + 2) * x ** (p + 1)
            - p * (p + 1) / 2 * x ** (p + 2)
        )

    def repulsion(self, z, other, d):
        """Of each pair, once for both directions together; docs/src/reference/model-files.md."""
        radii = self.tensors["repulsion.radii"]
        rho, sigma, a, b = radii[z], radii[other], z.float(), other.float()
        length = 0.46850 / (a**0.23 + b**0.23)
        terms = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))
        screening = sum(c * torch.exp(-k * d / length) for c, k in terms)
        reach = rho + sigma
        energy = 14.399645 * a * b / d * screening * self.envelope(d / reach, 6)
        return torch.where((rho > 0) & (sigma > 0) & (d < reach), energy, torch.zeros_like(energy))

    def seen(self, z, other, d):
        """The distances that filters see; docs/src/reference/model-files.md."""
        if "repulsion.core" not in self.tensors:
            return d
        radii = self.tensors["repulsion.radii"]
        rho, sigma = radii[z], radii[other]
        reach = torch.where((rho > 0) & (sigma > 0), rho + sigma, torch.zeros_like(rho))
        width = (reach * (1 - self.tensors["repulsion.core"])).clamp_min(1e-3)
        t = ((d - reach + width) / width).clamp(0, 1)
        inside = reach - width * (0.5 - t**3 * (1 - 0.5 * t))
        return torch.where(d < reach, inside, d)

    def bounded(self, x, species):
        """Energies of atoms, saturated; docs/src/reference/model-files.md."""
        if "energy_range" not in self.tensors:
            return x
        low, high = self.tensors["energy_range"][species].unbind(1)
        below, above = (low - x).clamp_min(0) / 0.5, (x - high).clamp_min(0) / 20
        return torch.clamp(x, low, high) - 0.5 * torch.tanh(below) + 20 * torch.asinh(above)

    def atomic_energies(self, species, positions, i, j, shifts):
        h, t = self.hidden, self.tensors
        # In float64, as far as positions go: their rounding would outweigh that of the network.
        r = (positions[j] + shifts - positions[i]).float()
        d = r.norm(dim=1, keepdim=True)
        u = (r / (d + self.softening))[:, :, None]
        seen = self.seen(species[i], species[j], d.squeeze(1)).unsqueeze(1)
        envelope = self.envelope(seen / self.cutoff, self.power)
        basis = self.basis(seen)
        if self.envelope_on_basis:
            basis = basis * envelope
        s = t["embedding"][species]
        v = s.new_zeros(len(species), 3, h)
        for b in range(self.blocks):
            block = f"blocks.{b}."
            phi = self.layers(block + "filter", basis)
            if not self.envelope_on_basis:
                phi = phi * envelope
            if self.published:
                f1, f2, f3 = phi.split(h, dim=1)
                sent = s[j] * f1
            else:
                sent, f2, f3 = (phi * self.mlp(block + "sender", s)[j]).split(h, dim=1)
            vectors = v[j] * f2[:, None] + u * f3[:, None]
            s = s.index_add(0, i, sent)
            v = v.index_add(0, i, vectors)
            if self.published:
                a, g1, g2 = self.mlp(block + "update", torch.cat([s, v.norm(dim=1)], 1)).split(
                    h, dim=1
                )
                s = s + a
                mixed = torch.einsum("ab,nbc->nac", t[block + "update.mixing"], v)
                v = v * g1[:, None] + mixed * g2[:, None]
            else:
                left, right = self.linear(block + "update.channel_mix", v).split(h, dim=2)
                epsilon = t[block + "update.epsilon"]
                squares = (left**2).sum(1)
                norm = (
                    torch.sqrt(squares + epsilon**2) - epsilon
                    if self.shifted
                    else torch.sqrt(squares + epsilon)
                )
                a, gate, c = self.mlp(block + "update", torch.cat([s, norm], 1)).split(h, dim=1)
                s = s + a + c * (left * right).sum(1)
                v = v + gate[:, None] * right
        energies = self.bounded(self.layers("head", s).squeeze(1), species)
        energies = energies + t["reference_energies"][species]
        if "repulsion.radii" in t:
            energies = energies.index_add(
                0, i, 0.5 * self.repulsion(species[i], species[j], d.squeeze(1))
            )
        return energies


def main():
    folder, threads, device = sys.argv[1], int(sys.argv[2]), torch.device(sys.argv[3])
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = (
            f"PyTorch {torch.__version__} finds {torch.cuda.device_count()} GPUs that it can use"
        )
        print(
            json.dumps({"version": torch.__version__, "energy": 0.0, "unusable": found}), flush=True
        )
        return
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    student = Student(folder + "/student.safetensors", device)
    positions = (
        array(folder + "/positions", torch.float64).reshape(-1, 3).to(device).requires_grad_()
    )
    shifts = array(folder + "/shifts", torch.float64).reshape(-1, 3).to(device)
    species, i, j = (
        array(f"{folder}/{name}", torch.int64).to(device) for name in ("species", "i", "j")
    )

    inputs = (species, positions, i, j, shifts)
    script = torch.jit.trace(student.atomic_energies, inputs, check_trace=False)
    programs = {"eager": student.atomic_energies, "script": script}

    def run(program):
        # Sums over all atoms in float32 would lose digits that the atoms have.
        energy = programs[program](*inputs).double().sum()
        (gradient,) = torch.autograd.grad(energy, positions)
        # Copies wait for the device; the library's results come down within its time, too.
        return energy.item(), -gradient.cpu()

    energy, forces = run("eager")
    # libtorch optimises a script during its first runs.
    for _ in range(3):
        _, again = run("script")
    if not torch.allclose(again, forces, rtol=1e-4, atol=1e-4):
        sys.exit("TorchScript does not give what PyTorch gives")
    with open(folder + "/forces", "wb") as file:
        file.write(bytes(forces.contiguous().untyped_storage()))
    print(json.dumps({"version": torch.__version__, "energy": energy}), flush=True)
    for line in sys.stdin:
        if line.strip() not in programs:
            sys.exit(f"expected one of {list(programs)}, found {line!r}")
        started = time.perf_counter()
        run(line.strip())
        print(time.perf_counter() - started, flush=True)


main()
