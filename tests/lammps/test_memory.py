"""A long run keeps no memory."""

import re

from harness import cases, deck, run


def test_langevin_run_of_20000_steps_does_not_grow(tmp_path):
    molecule = cases("painn-32-bessel")["H2O"]
    text = deck(molecule, style="", model_name="painn-32-bessel") + """
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
run 1000
info memory
run 19000
info memory
"""
    finished = run(tmp_path, text, molecule, timeout=300)
    resident = [float(m) for m in re.findall(r"Maximum resident set size: ([\d.]+) Mbyte", finished.output)]
    assert len(resident) == 2
    assert resident[1] - resident[0] < 1.0
    rebuilt = [int(m) for m in re.findall(r"Neighbor list builds = (\d+)", finished.output)]
    assert rebuilt[-1] > 10


def test_memory_of_the_calculator_is_part_of_what_lammps_reports(tmp_path):
    water = cases("student-21k")["water-periodic-81"]
    used = []
    for name in ("student-21k", "student-427k"):
        finished = run(tmp_path / name, deck(water, style="", model_name=name) + "run 0 post no\n", water)
        used.append(float(re.search(r"memory allocation \(min/avg/max\) = ([\d.]+)", finished.output).group(1)))
    # 128 channels instead of 32, three blocks instead of two.
    assert used[1] > used[0] + 1.0
