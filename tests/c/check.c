/* What a calculator does where its student learned nothing.
 *
 *     ./check MODEL
 *
 * Writes two lines to stderr: those of the calculator with the default options. */
#include <mlff_student.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void require(int holds, const char *what) {
    if (!holds) {
        printf("FAILED %s (%s)\n", what, mlff_last_error());
        ++failures;
    }
}

static mlff_model *model;

/* A water molecule; and one squeezed to half its size. Its oxygen and first hydrogen are 0.4
 * angstrom apart, where half of the sum of their radii is 0.485. */
static const int32_t species[3] = {8, 1, 1};
static const double sound[9] = {0.0, 0.0, 0.0, 0.96, 0.0, 0.0, -0.24, 0.93, 0.0};
static const double broken[9] = {0.0, 0.0, 0.0, 0.4, 0.0, 0.0, -0.15, 0.5, 0.0};
static const int32_t list_0[2] = {1, 2};
static const int32_t list_1[2] = {0, 2};
static const int32_t list_2[2] = {0, 1};
static const int32_t numneigh[3] = {2, 2, 2};
static const int32_t *const firstneigh[3] = {list_0, list_1, list_2};

static double forces[9];

static mlff_results empty(void) {
    mlff_results results;
    memset(&results, 0, sizeof results);
    results.struct_size = sizeof results;
    results.energy = 77.0;
    results.forces = forces;
    forces[0] = 77.0;
    return results;
}

static int untouched(const mlff_results *results) {
    return results->energy == 77.0 && forces[0] == 77.0;
}

static mlff_structure structure(const double *positions) {
    mlff_structure value;
    memset(&value, 0, sizeof value);
    value.struct_size = sizeof value;
    value.atoms = 3;
    value.species = species;
    value.positions = positions;
    return value;
}

static void set_neighbor_list(mlff_calculator *calculator) {
    mlff_neighbor_list list;
    memset(&list, 0, sizeof list);
    list.struct_size = sizeof list;
    list.owned = list.centers = 3;
    list.species = species;
    list.numneigh = numneigh;
    list.firstneigh = firstneigh;
    list.list_cutoff = 6.0;
    require(mlff_calculator_set_neighbor_list(calculator, &list) == MLFF_OK, "a list");
}

static mlff_calculator *calculator_with(int32_t check) {
    mlff_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.check = check;
    mlff_calculator *calculator = NULL;
    require(mlff_calculator_new(model, &options, &calculator) == MLFF_OK, "a calculator");
    return calculator;
}

static mlff_check check_of(const mlff_calculator *calculator) {
    mlff_check check;
    memset(&check, 0, sizeof check);
    check.struct_size = sizeof check;
    require(mlff_calculator_get_check(calculator, &check) == MLFF_OK, "get_check");
    return check;
}

static int nothing(const mlff_calculator *calculator) {
    const mlff_check check = check_of(calculator);
    return check.structures == 0 && check.outside == 0 && check.overlaps == 0 &&
           check.atoms[0] == -1 && check.pairs[0] == -1;
}

/* The pair, and at least one atom outside. */
static int both(const mlff_calculator *calculator) {
    const mlff_check check = check_of(calculator);
    const int pair = check.overlaps == 1 && check.pairs[0] == 0 && check.pairs[1] == 1;
    return check.structures == 1 && check.outside > 0 && check.atoms[0] >= 0 &&
           check.atoms[7] == -1 && pair && check.pairs[2] == -1;
}

static mlff_status compute(mlff_calculator *calculator, const double *positions) {
    mlff_results results = empty();
    const mlff_status status = mlff_calculator_compute(calculator, positions, NULL, NULL, &results);
    require((status == MLFF_OK) != untouched(&results), "results are untouched on error alone");
    return status;
}

static mlff_status compute_structure(mlff_calculator *calculator, const double *positions) {
    const mlff_structure water = structure(positions);
    mlff_results results = empty();
    const mlff_status status = mlff_calculator_compute_structure(calculator, &water, &results);
    require((status == MLFF_OK) != untouched(&results), "results are untouched on error alone");
    return status;
}

/* Warns once, and tells whoever asks. */
static void warn(void) {
    mlff_calculator *calculator = calculator_with(MLFF_CHECK_WARN);
    require(nothing(calculator), "nothing before the first compute");
    for (int again = 0; again < 3; ++again) {
        require(compute_structure(calculator, broken) == MLFF_OK && both(calculator), "warn");
    }
    require(compute_structure(calculator, sound) == MLFF_OK && nothing(calculator), "sound water");
    mlff_calculator_free(calculator);
}

/* Looks for overlaps once with each list, and for atoms outside in each step. */
static void report(void) {
    mlff_calculator *calculator = calculator_with(MLFF_CHECK_REPORT);
    set_neighbor_list(calculator);
    require(compute(calculator, broken) == MLFF_OK && both(calculator), "the first step");
    require(compute(calculator, broken) == MLFF_OK, "the second step");
    const mlff_check check = check_of(calculator);
    require(check.overlaps == 0 && check.pairs[0] == -1, "overlaps are not looked for again");
    require(check.outside > 0, "atoms outside are");
    set_neighbor_list(calculator);
    require(compute(calculator, broken) == MLFF_OK && both(calculator), "with the next list");
    require(compute(calculator, sound) == MLFF_OK && nothing(calculator), "sound water");
    mlff_calculator_free(calculator);
}

static void strict(void) {
    mlff_calculator *calculator = calculator_with(MLFF_CHECK_STRICT);
    set_neighbor_list(calculator);
    /* An error until the positions are others. */
    for (int again = 0; again < 2; ++again) {
        require(compute(calculator, broken) == MLFF_ERROR_OUTSIDE && both(calculator), "strict");
        require(strstr(mlff_last_error(), "atoms 0 and 1") != NULL, "the message names the pair");
        require(strstr(mlff_last_error(), "check to warn") != NULL, "the message says what to do");
    }
    require(compute(calculator, sound) == MLFF_OK && nothing(calculator), "sound water");
    require(compute_structure(calculator, broken) == MLFF_ERROR_OUTSIDE && both(calculator),
            "a strict structure");

    const mlff_structure structures[3] = {structure(sound), structure(broken), structure(broken)};
    mlff_results results[3] = {empty(), empty(), empty()};
    require(mlff_calculator_compute_batch(calculator, 3, structures, results) == MLFF_ERROR_OUTSIDE,
            "a strict batch");
    require(strstr(mlff_last_error(), "structure 1, the first of 2: ") != NULL, "which structure");
    require(untouched(&results[0]) && untouched(&results[1]), "a strict batch writes nothing");
    const mlff_check check = check_of(calculator);
    require(check.structures == 2 && check.structure == 1 && check.overlaps == 1, "of the batch");
    mlff_calculator_free(calculator);
}

static void off(void) {
    mlff_calculator *calculator = calculator_with(MLFF_CHECK_OFF);
    set_neighbor_list(calculator);
    require(compute(calculator, broken) == MLFF_OK && nothing(calculator), "off");
    require(compute_structure(calculator, broken) == MLFF_OK && nothing(calculator), "off");
    mlff_calculator_free(calculator);
}

int main(int argc, char **argv) {
    if (argc < 2 || mlff_model_load(argv[1], &model) != MLFF_OK) {
        return 2;
    }
    mlff_model_info info;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    require(mlff_model_get_info(model, &info) == MLFF_OK && info.energy_range == 1, "a range");
    warn();
    report();
    strict();
    off();
    mlff_model_free(model);
    printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
