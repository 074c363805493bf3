"""A long run keeps no memory."""

import re

from harness import cases, deck, run


# What the first rank has in memory now, not the most it ever had. The shell's parent is LAMMPS.
RESIDENT = "shell 'grep VmRSS /proc/$PPID/status'\n"


def long_run(structure, model_name, first, rest):
    return deck(structure, style="", model_name=model_name) + f"""
velocity all create 300 11
fix 1 all nve
fix 2 all langevin 300 300 0.1 42
timestep 0.0002
neigh_modify every 1 delay 0 check yes
compute pa all pe/atom
compute sa all stress/atom NULL
compute s all reduce sum c_pa c_sa[1]
thermo_style custom step temp pe press c_s[1] c_s[2]
thermo 100
run {first}
{RESIDENT}run {rest}
{RESIDENT}"""


def growth(finished):
    """MiB that the first rank grew by between the two readings."""
    resident = [int(kib) for kib in re.findall(r"VmRSS:\s+(\d+) kB", finished.output)]
    assert len(resident) == 2
    return (resident[1] - resident[0]) / 1024


def test_langevin_run_of_20000_steps_does_not_grow(tmp_path):
    molecule = cases("painn-32-bessel")["H2O"]
    finished = run(tmp_path, long_run(molecule, "painn-32-bessel", 1000, 19000), molecule, timeout=300)
    assert growth(finished) < 1.0
    rebuilt = [int(m) for m in re.findall(r"Neighbor list builds = (\d+)", finished.output)]
    assert rebuilt[-1] > 10


def test_new_lists_on_two_ranks_do_not_grow(tmp_path):
    # Atoms at rest, so that nothing needs more room than before; a new list in every step.
    water = cases("painn-32-bessel")["water-periodic-81"]
    text = deck(water, style="", model_name="painn-32-bessel") + f"""
neigh_modify every 1 delay 0 check no
run 100
{RESIDENT}run 1000
{RESIDENT}"""
    finished = run(tmp_path, text, water, ranks=2, timeout=300)
    assert growth(finished) < 0.25
    assert "Neighbor list builds = 1000" in finished.output


def test_memory_of_the_calculator_is_part_of_what_lammps_reports(tmp_path):
    water = cases("student-21k")["water-periodic-81"]
    used = []
    for name in ("student-21k", "student-427k"):
        finished = run(tmp_path / name, deck(water, style="", model_name=name) + "run 0 post no\n", water)
        used.append(float(re.search(r"memory allocation \(min/avg/max\) = ([\d.]+)", finished.output).group(1)))
    # 128 channels instead of 32, three blocks instead of two.
    assert used[1] > used[0] + 1.0
