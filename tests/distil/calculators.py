"""Calculators that fail in every way a teacher can fail, and cheap ones."""

import time

import numpy as np
from ase.calculators.calculator import CalculationFailed, Calculator
from ase.calculators.lj import LennardJones


class Given(Calculator):
    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, energy=0.0, forces=lambda n: np.zeros((n, 3)), error=None):
        super().__init__()
        self.energy, self.forces, self.error = energy, forces, error

    def calculate(self, atoms=None, properties=(), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        if self.error:
            raise self.error
        self.results = {
            "energy": self.energy,
            "forces": self.forces(len(atoms)),
            "stress": np.zeros(6),
        }


def unconverged():
    return Given(error=CalculationFailed("no self-consistency"))


def program_error():
    return Given(error=NameError("a misspelt name"))


def no_memory():
    return Given(error=RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))


def no_stress():
    calculator = Given()
    calculator.implemented_properties = ["energy", "forces"]
    return calculator


def nan_forces():
    return Given(forces=lambda n: np.full((n, 3), np.nan))


def infinite_energy():
    return Given(energy=np.inf)


def transposed_forces():
    return Given(forces=lambda n: np.zeros((3, n)))


def cheap():
    return LennardJones(sigma=1.0, epsilon=0.01, rc=4.0)


class Slow(LennardJones):
    def calculate(self, *arguments, **options):
        time.sleep(0.05)
        super().calculate(*arguments, **options)


def slow():
    return Slow(sigma=1.0, epsilon=0.01, rc=4.0)


def zero():
    return Given()
