"""Known crystals of molecules: space groups, cells and, where they are few, coordinates.

Written down from memory of the literature and rounded, at low temperature or as they were measured;
good enough to be near where molecules lie in crystals, not for crystallography.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """A crystal: lengths (Å) and angles (degrees) of its cell, space group, and elements with
    fractional coordinates of the asymmetric unit.

    Where `basis` is empty, the packing is to be searched for, with one molecule in a general
    position. The group then has as many operations as the cell has molecules: for molecules on
    symmetry elements it is a subgroup of the crystal's own.
    """

    name: str
    smiles: str
    split: str
    group: int
    cell: tuple
    basis: str = ""
    setting: int = 1

    def sites(self) -> tuple[list[str], list[tuple[float, ...]]]:
        """Chemical symbols of the asymmetric unit, and their fractional coordinates."""
        words = [site.split() for site in self.basis.split(",")]
        return [w[0] for w in words], [tuple(map(float, w[1:])) for w in words]


def cell(
    a: float,
    b: float | None = None,
    c: float | None = None,
    alpha: float = 90.0,
    beta: float = 90.0,
    gamma: float = 90.0,
) -> tuple[float, ...]:
    """Six cell parameters (Å, degrees); one length alone is that of a cube."""
    return (a, b or a, c or a, alpha, beta, gamma)


# A crystal of `test` or `valid` is held out with all others of its molecule. `test` has one of each
# sort: no polarity, hydrogen bonds in chains and rings, aromatic ones, F, S and Cl.
# fmt: off
WITH_COORDINATES = (
    Known("carbon dioxide", "O=C=O", "test", 205, cell(5.624), "C 0 0 0, O .119 .119 .119"),
    Known("nitrogen", "N#N", "train", 205, cell(5.66), "N .056 .056 .056"),
    Known(
        "nitrous oxide", "[N-]=[N+]=O", "train", 198, cell(5.656),
        "N -.118 -.118 -.118, N -.003 -.003 -.003, O .118 .118 .118",
    ),
    Known(
        "carbon monoxide", "[C-]#[O+]", "train", 198, cell(5.64),
        "C -.0577 -.0577 -.0577, O .0577 .0577 .0577",
    ),
    Known("acetylene", "C#C", "train", 205, cell(6.105), "C .0569 .0569 .0569, H .157 .157 .157"),
    Known("ammonia", "N", "test", 198, cell(5.138), "N .2107 .2107 .2107, H .3689 .2671 .1159"),
    Known(
        "urea", "NC(N)=O", "train", 113, cell(5.565, 5.565, 4.684),
        "C 0 .5 .326, O 0 .5 .5953, N .1459 .6459 .1766, H .2575 .7575 .2827, H .1441 .6441 -.038",
    ),
    Known(
        "benzene", "c1ccccc1", "test", 61, cell(7.39, 9.42, 6.81),
        "C -.0569 .1387 -.0054, C -.1335 .046 .1264, C -.0774 -.0925 .1295,"
        "H -.0976 .2447 -.0177, H -.2409 .0794 .2218, H -.1371 -.1631 .2312",
    ),
    Known(
        "ice XI", "O", "train", 36, cell(4.465, 7.859, 7.292),
        "O 0 .6646 .0631, O .5 .8255 -.0631,"
        "H 0 .6636 .1963, H 0 .5363 .0183, H .6766 -.2252 -.0183",
    ),
    Known(
        "ice VIII", "O", "train", 141, cell(4.656, 4.656, 6.775),
        "O 0 .25 .1071, H 0 .4157 .1935", setting=2,
    ),
    # Cubic ice with the protons in order, from the geometry.
    Known("ice Ic", "O", "train", 109, cell(4.5, 4.5, 6.36), "O 0 0 0, H 0 .1722 .0943"),
    Known(
        "hydrogen fluoride", "F", "train", 36, cell(3.31, 5.22, 4.26),
        "F 0 .1254 0, H 0 .0301 .19",
    ),
    Known(
        "hydrogen chloride", "Cl", "train", 36, cell(5.828, 5.074, 5.399),
        "Cl 0 .249 0, H 0 .078 .1717",
    ),
    # Cell of the phase above 20 K, its disorder replaced by the orientation that the cube suggests.
    Known("methane", "C", "train", 216, cell(5.84), "C 0 0 0, H .1078 .1078 .1078"),
    Known(
        "triazine", "c1ncncn1", "train", 167, cell(9.647, 9.647, 7.281, gamma=120.0),
        "C .1325 0 .25, N -.1441 0 .25, H .2444 0 .25",
    ),
    Known(
        "hexamine", "C1N2CN3CN1CN(C2)C3", "train", 217, cell(6.91),
        "N .123 .123 .123, C 0 0 .238, H .088 .088 -.327",
    ),
    Known(
        "carbon disulfide", "S=C=S", "train", 64, cell(6.16, 5.38, 8.53),
        "C 0 0 0, S 0 .2304 .111",
    ),
    Known("chlorine", "ClCl", "train", 64, cell(6.145, 4.395, 8.154), "Cl 0 .1 .11"),
    Known("sulfur hexafluoride", "FS(F)(F)(F)(F)F", "train", 229, cell(5.78), "S 0 0 0, F .27 0 0"),
    Known(
        "hydrogen cyanide", "C#N", "valid", 107, cell(4.63, 4.63, 4.34),
        "C 0 0 0, N 0 0 .266, H 0 0 -.246",
    ),
    Known(
        "sulfur dioxide", "O=S=O", "train", 41, cell(6.07, 5.94, 6.14),
        "S 0 0 0, O .14 .15 .118",
    ),
    Known(
        "carbonyl sulfide", "O=C=S", "valid", 1, cell(4.063, 4.063, 4.063, 98.98, 98.98, 98.98),
        "O -.198 -.198 -.198, C 0 0 0, S .2674 .2674 .2674",
    ),
)
# Cells as measured, packings to be searched for in them.
WITH_CELLS = (
    Known("ethane", "CC", "train", 4, cell(4.226, 5.623, 5.845, beta=90.41)),
    Known("ethylene", "C=C", "train", 4, cell(4.626, 6.620, 4.067, beta=94.39)),
    Known("cyanogen", "N#CC#N", "train", 19, cell(6.31, 7.08, 6.19)),
    Known("tetrafluoromethane", "FC(F)(F)F", "train", 9, cell(8.597, 4.433, 8.381, beta=119.0)),
    Known("hydrazine", "NN", "train", 4, cell(3.56, 5.78, 4.53, beta=109.5)),
    Known("hydrogen peroxide", "OO", "train", 76, cell(4.06, 4.06, 8.00)),
    # Cell of its disordered phase.
    Known("hydrogen sulfide", "S", "train", 19, cell(5.80)),
    Known("chloromethane", "CCl", "train", 33, cell(6.495, 5.139, 7.523)),
    Known("dichloromethane", "ClCCl", "train", 14, cell(8.138, 9.495, 4.249), setting=2),
    Known("chloroform", "ClC(Cl)Cl", "test", 19, cell(7.485, 9.497, 5.841)),
    Known("methanol", "CO", "train", 19, cell(4.649, 4.929, 9.043)),
    Known("acetonitrile", "CC#N", "train", 14, cell(4.102, 8.244, 7.970, beta=100.1)),
    Known("nitromethane", "C[N+](=O)[O-]", "valid", 19, cell(5.183, 6.236, 8.518)),
    Known("formamide", "NC=O", "test", 14, cell(3.604, 9.041, 6.994, beta=100.5), setting=2),
    Known("formic acid", "O=CO", "train", 33, cell(10.241, 3.544, 5.356)),
    Known("acetic acid", "CC(=O)O", "test", 33, cell(13.151, 3.923, 5.762)),
    Known("oxalic acid", "O=C(O)C(=O)O", "train", 19, cell(6.548, 7.844, 6.086)),
    Known("succinic acid", "O=C(O)CCC(=O)O", "test", 4, cell(5.464, 8.766, 5.004, beta=93.29)),
    Known("cyanamide", "NC#N", "train", 61, cell(6.856, 6.628, 9.147)),
    Known("thiourea", "NC(N)=S", "train", 19, cell(7.655, 8.537, 5.520)),
    Known("imidazole", "c1c[nH]cn1", "test", 14, cell(7.582, 5.371, 9.790, beta=119.1)),
    Known("pyrazine", "c1cnccn1", "test", 4, cell(9.316, 5.911, 3.815)),
    Known("tetrazine", "c1nncnn1", "train", 4, cell(5.23, 5.79, 6.63, beta=115.5)),
    Known("furan", "c1ccoc1", "train", 76, cell(5.67, 5.67, 11.92)),
    Known("pyrrole", "c1cc[nH]c1", "train", 19, cell(7.289, 10.233, 5.045)),
    # Cell of its disordered phase.
    Known("thiophene", "c1ccsc1", "test", 19, cell(9.76, 7.20, 6.67)),
    Known("fluorobenzene", "Fc1ccccc1", "test", 78, cell(5.799, 5.799, 14.512)),
    Known("dichlorobenzene", "Clc1ccc(Cl)cc1", "train", 4, cell(14.754, 5.840, 4.025, beta=112.5)),
    Known("benzoquinone", "O=C1C=CC(=O)C=C1", "train", 4, cell(7.055, 6.795, 5.767, beta=101.47)),
    Known("maleic anhydride", "O=C1C=CC(=O)O1", "train", 19, cell(7.18, 11.23, 5.39)),
    Known("dioxane", "C1COCCO1", "train", 4, cell(4.580, 9.180, 5.820, beta=99.6)),
    Known("dithiane", "C1CSCCS1", "train", 4, cell(6.763, 5.464, 8.534, beta=92.67)),
    Known("cyclohexanedione", "O=C1CCC(=O)CC1", "valid", 4, cell(6.65, 6.21, 6.87, beta=99.82)),
    Known("naphthalene", "c1ccc2ccccc2c1", "train", 4, cell(8.108, 5.940, 8.647, beta=124.4)),
    Known("anthracene", "c1ccc2cc3ccccc3cc2c1", "train", 4, cell(8.414, 5.990, 11.095, beta=125.3)),
    Known("adamantane", "C1C2CC3CC1CC(C2)C3", "train", 4, cell(6.60, 6.60, 8.81)),
    Known("uracil", "O=c1cc[nH]c(=O)[nH]1", "train", 14, cell(3.655, 12.376, 11.938, beta=120.9)),
    Known("melamine", "Nc1nc(N)nc(N)n1", "train", 14, cell(7.295, 7.495, 10.606, beta=112.26)),
)
# fmt: on
CRYSTALS = WITH_COORDINATES + WITH_CELLS
