/* Runs out of memory at many places, and goes on.
 *
 *     ./memory MODEL SIDE PRECISION
 *
 * Every call is tried with an address space that is at first hardly larger than what is in use and
 * grows until the call succeeds. Until then it must give MLFF_ERROR_MEMORY. */
#define _XOPEN_SOURCE 700
#include <mlff_student.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MOST_ATOMS (9 * 8 * 8 * 8)
#define NEIGHBORS 60

static const int32_t water[9] = {8, 1, 1, 8, 1, 1, 8, 1, 1};
static const double places[27] = {0.353, 3.390, 1.450, 0.647, 2.473, 1.340, 0.064, 3.661, 0.565,
                                  2.058, 3.727, 3.670, 2.910, 4.178, 3.557, 1.949, 3.207, 2.859,
                                  4.188, 1.116, 3.662, 3.955, 1.003, 4.597, 4.954, 1.711, 3.673};
static const double small[9] = {4.6, 0.0, 0.0, 0.3, 4.5, 0.0, 0.2, -0.2, 4.4};

/* A cube of `side` cells in each direction. */
static int side, atoms, precision;
static mlff_model *model;
static mlff_calculator *calculator;
static int32_t species[MOST_ATOMS];
static double positions[3 * MOST_ATOMS];
static double cell[9];
static double forces[3 * MOST_ATOMS];
static int32_t lists[MOST_ATOMS][NEIGHBORS];
static const int32_t *firstneigh[MOST_ATOMS];
static int32_t numneigh[MOST_ATOMS];

static const char *path;

static mlff_status load(void) { return mlff_model_load(path, &model); }

static mlff_status new_calculator(void) {
    mlff_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.precision = precision;
    return mlff_calculator_new(model, &options, &calculator);
}

static mlff_status set_neighbor_list(void) {
    mlff_neighbor_list list;
    memset(&list, 0, sizeof list);
    list.struct_size = sizeof list;
    list.owned = list.centers = atoms;
    list.species = species;
    list.numneigh = numneigh;
    list.firstneigh = firstneigh;
    list.list_cutoff = 5.0;
    return mlff_calculator_set_neighbor_list(calculator, &list);
}

static double energy;

static mlff_status compute_with(int with_structure) {
    mlff_results results;
    memset(&results, 0, sizeof results);
    results.struct_size = sizeof results;
    results.forces = forces;
    mlff_status status;
    if (with_structure) {
        mlff_structure structure;
        memset(&structure, 0, sizeof structure);
        structure.struct_size = sizeof structure;
        structure.atoms = atoms;
        structure.species = species;
        structure.positions = positions;
        structure.cell = cell;
        structure.periodic[0] = structure.periodic[1] = structure.periodic[2] = 1;
        status = mlff_calculator_compute_structure(calculator, &structure, &results);
    } else {
        status = mlff_calculator_compute(calculator, positions, NULL, NULL, &results);
    }
    energy = results.energy;
    return status;
}

static mlff_status compute(void) { return compute_with(0); }

static mlff_status compute_structure(void) { return compute_with(1); }

static void under_limits(const char *name, mlff_status (*call)(void)) {
    int attempts = 0;
    for (rlim_t extra = 0; extra < (rlim_t)1 << 30; extra += (rlim_t)1 << 18) {
        unsigned long pages = 0;
        FILE *statm = fopen("/proc/self/statm", "r");
        if (statm == NULL || fscanf(statm, "%lu", &pages) != 1) {
            exit(2);
        }
        fclose(statm);
        struct rlimit limit;
        getrlimit(RLIMIT_AS, &limit);
        const rlim_t before = limit.rlim_cur;
        limit.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + extra;
        setrlimit(RLIMIT_AS, &limit);
        const mlff_status status = call();
        limit.rlim_cur = before;
        setrlimit(RLIMIT_AS, &limit);
        if (status == MLFF_OK) {
            printf("%s: succeeded after %d times without memory\n", name, attempts);
            return;
        }
        if (status != MLFF_ERROR_MEMORY || strstr(mlff_last_error(), "not enough memory") == NULL) {
            printf("%s: %s: %s\n", name, mlff_status_name(status), mlff_last_error());
            exit(1);
        }
        ++attempts;
    }
    printf("%s: never enough\n", name);
    exit(1);
}

int main(int argc, char **argv) {
    side = argc == 4 ? atoi(argv[2]) : 0;
    atoms = 9 * side * side * side;
    if (side < 1 || atoms > MOST_ATOMS) {
        return 2;
    }
    precision = strcmp(argv[3], "double") == 0 ? MLFF_PRECISION_DOUBLE : MLFF_PRECISION_MIXED;
    setvbuf(stdout, NULL, _IONBF, 0);
    int atom = 0;
    for (int image = 0; image < side * side * side; ++image) {
        const int at[3] = {image % side, image / side % side, image / side / side};
        for (int k = 0; k < 9; ++k, ++atom) {
            species[atom] = water[k];
            for (int axis = 0; axis < 3; ++axis) {
                positions[3 * atom + axis] = places[3 * k + axis] + at[0] * small[axis] +
                                             at[1] * small[3 + axis] + at[2] * small[6 + axis];
            }
        }
    }
    for (int i = 0; i < 9; ++i) {
        cell[i] = side * small[i];
    }
    /* Any full list will do: the nearest by number. */
    for (int i = 0; i < atoms; ++i) {
        firstneigh[i] = lists[i];
        for (int j = i - NEIGHBORS / 2; j <= i + NEIGHBORS / 2; ++j) {
            if (j != i && j >= 0 && j < atoms) {
                lists[i][numneigh[i]++] = j;
            }
        }
    }
    path = argv[1];
    under_limits("mlff_model_load", load);

    under_limits("mlff_calculator_new", new_calculator);
    under_limits("mlff_calculator_set_neighbor_list", set_neighbor_list);
    under_limits("mlff_calculator_compute", compute);
    const double expected = energy;
    under_limits("mlff_calculator_compute_structure", compute_structure);

    /* Nothing that was tried has left a trace. */
    if (set_neighbor_list() != MLFF_OK || compute() != MLFF_OK || energy != expected) {
        printf("afterwards: energy %.17g, before %.17g, %s\n", energy, expected, mlff_last_error());
        return 1;
    }
    mlff_calculator_free(calculator);
    mlff_model_free(model);
    return 0;
}
