/* Molecular dynamics with the caller's own neighbor list: the two steps of an MD code.
 *
 *     ./md MODEL [STEPS]
 *
 * Three water molecules in a periodic cell, velocity Verlet at constant energy. Periodic images
 * are ghosts with a known owner, so no exchange between processes is needed. The list reaches a
 * skin beyond the cutoff and is built anew when an atom has moved half of it. */
#include <math.h>
#include <mlff_student.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATOMS 9
#define IMAGES 343 /* 7 x 7 x 7 cells are enough for cutoff + skin up to 8 Å */
#define MOST (ATOMS * IMAGES)

static const int32_t species[ATOMS] = {8, 1, 1, 8, 1, 1, 8, 1, 1};
static const double cell[9] = {4.6, 0.0, 0.0, 0.3, 4.5, 0.0, 0.2, -0.2, 4.4};

/* Å, Å/fs, eV/Å; x y z of the owned atoms, then of their images */
static double positions[3 * MOST] = {
    0.353, 3.390, 1.450, 0.647, 2.473, 1.340, 0.064, 3.661, 0.565, /* water 1 */
    2.058, 3.727, 3.670, 2.910, 4.178, 3.557, 1.949, 3.207, 2.859, /* water 2 */
    4.188, 1.116, 3.662, 3.955, 1.003, 4.597, 4.954, 1.711, 3.673, /* water 3 */
};
static double velocities[3 * ATOMS];
static double forces[3 * ATOMS];

static const double skin = 0.5;                 /* Å */
static const double step = 0.25;                /* fs */
static const double acceleration = 9.648533e-3; /* Å/fs² for 1 eV/Å on 1 u */

/* What the neighbor list consists of. */
static int32_t ghosts;
static int32_t all_species[MOST];
static int32_t owner[MOST];        /* by ghost */
static double shift[3 * MOST];     /* by ghost: the lattice vector from its owner to it */
static int32_t lists[ATOMS][MOST]; /* by atom */
static int32_t numneigh[ATOMS];
static const int32_t *firstneigh[ATOMS];
static double built_at[3 * ATOMS];

static void check(mlff_status status) {
    if (status != MLFF_OK) {
        fprintf(stderr, "%s: %s\n", mlff_status_name(status), mlff_last_error());
        exit(1);
    }
}

static double distance(const double *a, const double *b) {
    const double x = b[0] - a[0], y = b[1] - a[1], z = b[2] - a[2];
    return sqrt(x * x + y * y + z * z);
}

static void move_ghosts(void) {
    for (int k = 0; k < ghosts; ++k) {
        for (int axis = 0; axis < 3; ++axis) {
            positions[3 * (ATOMS + k) + axis] =
                positions[3 * owner[k] + axis] + shift[3 * k + axis];
        }
    }
}

static int near_an_atom(const double *position, double reach) {
    for (int i = 0; i < ATOMS; ++i) {
        if (distance(positions + 3 * i, position) <= reach) {
            return 1;
        }
    }
    return 0;
}

/* Brings atoms that left the cell back into it: images reach only so far. The cell's vectors lie
 * along x, in the xy plane and anywhere. */
static void wrap(void) {
    for (int atom = 0; atom < ATOMS; ++atom) {
        for (int vector = 2; vector >= 0; --vector) {
            const double cells = floor(positions[3 * atom + vector] / cell[4 * vector]);
            for (int axis = 0; axis < 3; ++axis) {
                positions[3 * atom + axis] -= cells * cell[3 * vector + axis];
            }
        }
    }
}

static void build_list(mlff_calculator *calculator, double reach) {
    wrap();
    ghosts = 0;
    for (int image = 0; image < IMAGES; ++image) {
        const int cells[3] = {image % 7 - 3, image / 7 % 7 - 3, image / 49 - 3};
        if (cells[0] == 0 && cells[1] == 0 && cells[2] == 0) {
            continue;
        }
        for (int atom = 0; atom < ATOMS; ++atom) {
            double *to = shift + 3 * ghosts;
            double *position = positions + 3 * (ATOMS + ghosts);
            for (int axis = 0; axis < 3; ++axis) {
                to[axis] =
                    cells[0] * cell[axis] + cells[1] * cell[3 + axis] + cells[2] * cell[6 + axis];
                position[axis] = positions[3 * atom + axis] + to[axis];
            }
            if (near_an_atom(position, reach)) {
                owner[ghosts++] = atom;
            }
        }
    }
    for (int j = 0; j < ATOMS + ghosts; ++j) {
        all_species[j] = species[j < ATOMS ? j : owner[j - ATOMS]];
    }
    for (int i = 0; i < ATOMS; ++i) {
        numneigh[i] = 0;
        firstneigh[i] = lists[i];
        for (int j = 0; j < ATOMS + ghosts; ++j) {
            if (j != i && distance(positions + 3 * i, positions + 3 * j) <= reach) {
                lists[i][numneigh[i]++] = j;
            }
        }
    }
    memcpy(built_at, positions, sizeof built_at);

    mlff_neighbor_list list = {0};
    list.struct_size = sizeof list;
    list.owned = ATOMS;
    list.ghosts = ghosts;
    list.centers = ATOMS;
    list.species = all_species;
    list.numneigh = numneigh;
    list.firstneigh = firstneigh;
    list.owner = owner;
    list.list_cutoff = reach;
    check(mlff_calculator_set_neighbor_list(calculator, &list));
}

static int list_is_old(void) {
    for (int i = 0; i < ATOMS; ++i) {
        if (distance(positions + 3 * i, built_at + 3 * i) > skin / 2) {
            return 1;
        }
    }
    return 0;
}

static double mass(int atom) { return species[atom] == 8 ? 15.999 : 1.008; }

static void kick(void) {
    for (int k = 0; k < 3 * ATOMS; ++k) {
        velocities[k] += 0.5 * step * acceleration * forces[k] / mass(k / 3);
    }
}

static double kinetic_energy(void) {
    double sum = 0.0;
    for (int k = 0; k < 3 * ATOMS; ++k) {
        sum += 0.5 * mass(k / 3) * velocities[k] * velocities[k] / acceleration;
    }
    return sum;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s MODEL [STEPS]\n", argv[0]);
        return 2;
    }
    const int steps = argc > 2 ? atoi(argv[2]) : 40;

    mlff_model *model = NULL;
    check(mlff_model_load(argv[1], &model));
    mlff_model_info info = {0};
    info.struct_size = sizeof info;
    check(mlff_model_get_info(model, &info));
    const double reach = info.cutoff + skin;
    if (reach > 8.0) {
        fprintf(stderr, "this example has too few images for a cutoff of %g\n", info.cutoff);
        return 1;
    }
    mlff_calculator *calculator = NULL;
    check(mlff_calculator_new(model, NULL, &calculator));
    mlff_model_free(model);

    mlff_results results = {0};
    results.struct_size = sizeof results;
    results.forces = forces;

    build_list(calculator, reach);
    check(mlff_calculator_compute(calculator, positions, NULL, NULL, &results));
    for (int now = 0;; ++now) {
        const double kinetic = kinetic_energy();
        if (now % 10 == 0 || now == steps) {
            printf("step %d potential %.9f kinetic %.9f total %.9f eV\n", now, results.energy,
                   kinetic, results.energy + kinetic);
        }
        if (now == steps) {
            break;
        }
        kick();
        for (int k = 0; k < 3 * ATOMS; ++k) {
            positions[k] += step * velocities[k];
        }
        if (list_is_old()) {
            build_list(calculator, reach);
        } else {
            move_ghosts();
        }
        check(mlff_calculator_compute(calculator, positions, NULL, NULL, &results));
        kick();
    }
    mlff_calculator_free(calculator);
    return 0;
}
