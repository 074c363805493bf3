/* Energy, forces and stress of three water molecules in a periodic cell.
 *
 *     ./water MODEL
 *
 * The C++ and Fortran examples print the same text. */
#include <mlff_student.h>
#include <stdio.h>
#include <stdlib.h>

#define ATOMS 9

static const int32_t species[ATOMS] = {8, 1, 1, 8, 1, 1, 8, 1, 1};

/* Å, x y z of each atom */
static const double positions[3 * ATOMS] = {
    0.353, 3.390, 1.450, 0.647, 2.473, 1.340, 0.064, 3.661, 0.565, /* water 1 */
    2.058, 3.727, 3.670, 2.910, 4.178, 3.557, 1.949, 3.207, 2.859, /* water 2 */
    4.188, 1.116, 3.662, 3.955, 1.003, 4.597, 4.954, 1.711, 3.673, /* water 3 */
};

/* Å, one lattice vector per row */
static const double cell[9] = {4.6, 0.0, 0.0, 0.3, 4.5, 0.0, 0.2, -0.2, 4.4};

static void check(mlff_status status) {
    if (status != MLFF_OK) {
        fprintf(stderr, "%s: %s\n", mlff_status_name(status), mlff_last_error());
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s MODEL\n", argv[0]);
        return 2;
    }

    mlff_model *model = NULL;
    check(mlff_model_load(argv[1], &model));

    /* Float64 for comparing with the other languages; leave the options out for speed. */
    mlff_options options = {0};
    options.struct_size = sizeof options;
    options.precision = MLFF_PRECISION_DOUBLE;
    mlff_calculator *calculator = NULL;
    check(mlff_calculator_new(model, &options, &calculator));
    mlff_model_free(model); /* the calculator keeps what it needs */

    mlff_structure water = {0};
    water.struct_size = sizeof water;
    water.atoms = ATOMS;
    water.species = species;
    water.positions = positions;
    water.cell = cell;
    water.periodic[0] = water.periodic[1] = water.periodic[2] = 1;

    double forces[3 * ATOMS];
    mlff_results results = {0};
    results.struct_size = sizeof results;
    results.forces = forces;
    check(mlff_calculator_compute_structure(calculator, &water, &results));

    printf("energy %24.16E eV\n", results.energy);
    for (int i = 0; i < ATOMS; ++i) {
        const double *f = forces + 3 * i;
        printf("force %d %24.16E %24.16E %24.16E eV/A\n", i + 1, f[0], f[1], f[2]);
    }
    for (int row = 0; row < 3; ++row) {
        const double *s = results.stress + 3 * row;
        printf("stress %d %24.16E %24.16E %24.16E eV/A^3\n", row + 1, s[0], s[1], s[2]);
    }

    mlff_calculator_free(calculator);
    return 0;
}
