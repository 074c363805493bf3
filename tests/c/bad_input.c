/* Calls the C API in every wrong way that a caller can.
 *
 *     ./bad_input MODEL DIRECTORY_OF_BAD_FILES
 *
 * Each wrong call must give its status and a message that names what is wrong, leave the outputs as
 * they were, and leave the calculator able to give the same energy, bit by bit, as before. */
#include <math.h>
#include <mlff_student.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

/* ---- What is right --------------------------------------------------------------------------- */

static mlff_model *model;
static mlff_calculator *calculator;

/* One water molecule, and a ghost of its oxygen that is beyond the cutoff. */
static const int32_t species[4] = {8, 1, 1, 8};
static const double positions[12] = {0.0,   0.0,  0.0, 0.96, 0.0, 0.0,
                                     -0.24, 0.93, 0.0, 6.5,  0.0, 0.0};
static const int32_t list_0[2] = {1, 2};
static const int32_t list_1[2] = {0, 2};
static const int32_t list_2[2] = {0, 1};
static const int32_t numneigh[3] = {2, 2, 2};
static const int32_t *const firstneigh[3] = {list_0, list_1, list_2};
static const int32_t owner[1] = {0};

static double energies[3], forces[9], virials[27];
static mlff_results results;

static mlff_options options(void) {
    mlff_options value;
    memset(&value, 0, sizeof value);
    value.struct_size = sizeof value;
    return value;
}

static mlff_neighbor_list good_list(void) {
    mlff_neighbor_list value;
    memset(&value, 0, sizeof value);
    value.struct_size = sizeof value;
    value.owned = 3;
    value.ghosts = 1;
    value.centers = 3;
    value.species = species;
    value.numneigh = numneigh;
    value.firstneigh = firstneigh;
    value.owner = owner;
    value.list_cutoff = 5.0;
    return value;
}

static mlff_structure structure(void) {
    mlff_structure value;
    memset(&value, 0, sizeof value);
    value.struct_size = sizeof value;
    value.atoms = 3;
    value.species = species;
    value.positions = positions;
    return value;
}

static void reset(void) {
    for (int i = 0; i < 3; ++i) energies[i] = 77.0;
    for (int i = 0; i < 9; ++i) forces[i] = 77.0;
    for (int i = 0; i < 27; ++i) virials[i] = 77.0;
    memset(&results, 0, sizeof results);
    results.struct_size = sizeof results;
    results.energy = 77.0;
    results.virial[0] = results.stress[0] = 77.0;
    results.atomic_energies = energies;
    results.forces = forces;
    results.atomic_virials = virials;
}

static int untouched(void) {
    int same = results.energy == 77.0 && results.virial[0] == 77.0 && results.stress[0] == 77.0;
    for (int i = 0; i < 3; ++i) same = same && energies[i] == 77.0;
    for (int i = 0; i < 9; ++i) same = same && forces[i] == 77.0;
    for (int i = 0; i < 27; ++i) same = same && virials[i] == 77.0;
    return same;
}

static double energy(void) {
    const mlff_neighbor_list list = good_list();
    reset();
    if (mlff_calculator_set_neighbor_list(calculator, &list) != MLFF_OK ||
        mlff_calculator_compute(calculator, positions, NULL, NULL, &results) != MLFF_OK) {
        printf("FAILED what is right: %s\n", mlff_last_error());
        ++failures;
        return 0.0;
    }
    const double found = results.energy;
    reset();
    return found;
}

/* ---- What is wrong --------------------------------------------------------------------------- */

static double reference;

static void expect(mlff_status status, mlff_status expected, const char *words, const char *what) {
    const char *message = mlff_last_error();
    if (status != expected) {
        printf("FAILED %s: expected %s, found %s (%s)\n", what, mlff_status_name(expected),
               mlff_status_name(status), message);
        ++failures;
    } else if (strstr(message, words) == NULL) {
        printf("FAILED %s: no \"%s\" in \"%s\"\n", what, words, message);
        ++failures;
    }
    if (!untouched()) {
        printf("FAILED %s: outputs were written\n", what);
        ++failures;
    }
    if (calculator != NULL) {
        const double again = energy();
        if (memcmp(&again, &reference, sizeof again) != 0) {
            printf("FAILED %s: the energy is %.17g afterwards, before %.17g\n", what, again,
                   reference);
            ++failures;
        }
    }
    reset();
}

#define WRONG(call, expected, words) expect(call, expected, words, #call)

static void load(const char *path, mlff_status expected, const char *words) {
    mlff_model *out = (mlff_model *)&failures;
    expect(mlff_model_load(path, &out), expected, words, path);
    if (out != (mlff_model *)&failures) {
        printf("FAILED %s: the model pointer was written\n", path);
        ++failures;
    }
}

static void bad_files(const char *directory) {
    static const struct {
        const char *name;
        mlff_status status;
    } files[] = {
        {"missing.safetensors", MLFF_ERROR_IO},
        {"directory.pt", MLFF_ERROR_IO},
        {"empty.safetensors", MLFF_ERROR_FORMAT},
        {"empty.pt", MLFF_ERROR_FORMAT},
        {"truncated.pt", MLFF_ERROR_FORMAT},
        {"truncated.onnx", MLFF_ERROR_FORMAT},
        {"truncated.safetensors", MLFF_ERROR_FORMAT},
        {"text.pt", MLFF_ERROR_FORMAT},
        {"code.pt", MLFF_ERROR_FORMAT},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; ++i) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", directory, files[i].name);
        load(path, files[i].status, files[i].name);
    }
    mlff_model *out = NULL;
    WRONG(mlff_model_load(NULL, &out), MLFF_ERROR_INVALID_ARGUMENT, "path is a null pointer");
    WRONG(mlff_model_load("model.pt", NULL), MLFF_ERROR_INVALID_ARGUMENT,
          "model is a null pointer");
}

static void models(void) {
    mlff_model_info info;
    memset(&info, 0, sizeof info);
    WRONG(mlff_model_get_info(model, &info), MLFF_ERROR_INVALID_ARGUMENT,
          "sizeof(mlff_model_info)");
    info.struct_size = sizeof info - 1;
    WRONG(mlff_model_get_info(model, &info), MLFF_ERROR_INVALID_ARGUMENT,
          "sizeof(mlff_model_info)");
    info.struct_size = sizeof info;
    WRONG(mlff_model_get_info(NULL, &info), MLFF_ERROR_INVALID_ARGUMENT, "model is a null pointer");
    WRONG(mlff_model_get_info(model, NULL), MLFF_ERROR_INVALID_ARGUMENT,
          "mlff_model_info is a null");

    uint32_t count = 0;
    int32_t one = 77;
    WRONG(mlff_model_get_species(NULL, 0, NULL, &count), MLFF_ERROR_INVALID_ARGUMENT, "model");
    WRONG(mlff_model_get_species(model, 1, NULL, &count), MLFF_ERROR_INVALID_ARGUMENT, "species");
    WRONG(mlff_model_get_species(model, 0, NULL, NULL), MLFF_ERROR_INVALID_ARGUMENT, "count");
    WRONG(mlff_model_find_species(model, "Xx", &one), MLFF_ERROR_SPECIES, "\"Xx\"");
    WRONG(mlff_model_find_species(model, "o", &one), MLFF_ERROR_SPECIES, "\"o\"");
    WRONG(mlff_model_find_species(model, "\xff\xfe", &one), MLFF_ERROR_SPECIES,
          "no chemical symbol");
    WRONG(mlff_model_find_species(model, "Og", &one), MLFF_ERROR_SPECIES, "Og (atomic number 118)");
    WRONG(mlff_model_find_species(model, NULL, &one), MLFF_ERROR_INVALID_ARGUMENT, "symbol");
    WRONG(mlff_model_find_species(model, "O", NULL), MLFF_ERROR_INVALID_ARGUMENT, "atomic_number");
    if (one != 77) {
        printf("FAILED: an unknown symbol wrote an atomic number\n");
        ++failures;
    }
}

static void new_calculator(mlff_options value, mlff_status expected, const char *words) {
    mlff_calculator *out = (mlff_calculator *)&failures;
    expect(mlff_calculator_new(model, &value, &out), expected, words, words);
    if (out != (mlff_calculator *)&failures) {
        printf("FAILED %s: the calculator pointer was written\n", words);
        ++failures;
    }
}

static void calculators(void) {
    const mlff_options good = options();
    mlff_options bad = good;
    bad.struct_size = 0;
    new_calculator(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_options.struct_size is 0");
    bad = good;
    bad.struct_size = 0xdeadbeef;
    new_calculator(bad, MLFF_ERROR_INVALID_ARGUMENT, "sizeof(mlff_options)");
    bad = good;
    bad.device = MLFF_DEVICE_CUDA;
    new_calculator(bad, MLFF_ERROR_NO_DEVICE, "use device cpu");
    bad.precision = MLFF_PRECISION_DOUBLE;
    new_calculator(bad, MLFF_ERROR_UNSUPPORTED, "precision mixed only");
    bad = good;
    bad.device = 2;
    new_calculator(bad, MLFF_ERROR_INVALID_ARGUMENT, "MLFF_DEVICE_CUDA (1)");
    bad = good;
    bad.device_index = 1;
    new_calculator(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_options.device_index is 1");
    bad = good;
    bad.precision = -1;
    new_calculator(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_options.precision is -1");
    bad = good;
    bad.filter = 2;
    new_calculator(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_options.filter is 2");
    bad = good;
    bad.instruction_set = 9;
    new_calculator(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_options.instruction_set is 9");
    bad = good;
    bad.threads = 1000000;
    new_calculator(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_options.threads is 1000000");
    bad = good;
    bad.engine = 2;
    new_calculator(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_options.engine is 2");
    bad = good;
    bad.check = 4;
    new_calculator(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_options.check is 4");
    bad = good;
    bad.further[0] = 1;
    new_calculator(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_options.further is [1, 0");

    mlff_calculator *out = NULL;
    WRONG(mlff_calculator_new(NULL, &good, &out), MLFF_ERROR_INVALID_ARGUMENT, "model is a null");
    WRONG(mlff_calculator_new(model, &good, NULL), MLFF_ERROR_INVALID_ARGUMENT,
          "calculator is a null");

    mlff_calculator_info info;
    memset(&info, 0, sizeof info);
    WRONG(mlff_calculator_get_info(calculator, &info), MLFF_ERROR_INVALID_ARGUMENT,
          "struct_size is 0");
    WRONG(mlff_calculator_get_info(NULL, &info), MLFF_ERROR_INVALID_ARGUMENT,
          "calculator is a null");
    WRONG(mlff_calculator_get_info(calculator, NULL), MLFF_ERROR_INVALID_ARGUMENT, "null pointer");

    mlff_check check;
    memset(&check, 0, sizeof check);
    WRONG(mlff_calculator_get_check(calculator, &check), MLFF_ERROR_INVALID_ARGUMENT,
          "struct_size is 0");
    check.struct_size = sizeof check;
    WRONG(mlff_calculator_get_check(NULL, &check), MLFF_ERROR_INVALID_ARGUMENT,
          "calculator is a null");
    WRONG(mlff_calculator_get_check(calculator, NULL), MLFF_ERROR_INVALID_ARGUMENT, "null pointer");
    check.reserved = 1;
    WRONG(mlff_calculator_get_check(calculator, &check), MLFF_ERROR_INVALID_ARGUMENT,
          "reserved is 1");
}

static void named_options(void) {
    mlff_options value = options();
    WRONG(mlff_options_set(&value, "precison", "double"), MLFF_ERROR_INVALID_ARGUMENT,
          "the nearest is 'precision'");
    WRONG(mlff_options_set(&value, "precision", "single"), MLFF_ERROR_INVALID_ARGUMENT,
          "precision must be mixed or double, found 'single'");
    WRONG(mlff_options_set(&value, "threads", "0"), MLFF_ERROR_INVALID_ARGUMENT, "found '0'");
    WRONG(mlff_options_set(&value, "device", "cuda:x"), MLFF_ERROR_INVALID_ARGUMENT, "cuda:x");
    WRONG(mlff_options_set(&value, NULL, "double"), MLFF_ERROR_INVALID_ARGUMENT, "name is a null");
    WRONG(mlff_options_set(&value, "check", NULL), MLFF_ERROR_INVALID_ARGUMENT, "value is a null");
    WRONG(mlff_options_set(NULL, "check", "off"), MLFF_ERROR_INVALID_ARGUMENT, "mlff_options is");
    const mlff_options good = options();
    if (memcmp(&value, &good, sizeof good) != 0) {
        printf("FAILED: a wrong word changed the options\n");
        ++failures;
    }
    value.check = 9;
    WRONG(mlff_options_set(&value, "precision", "double"), MLFF_ERROR_INVALID_ARGUMENT,
          "mlff_options.check is 9");
    char word[4] = "77";
    WRONG(mlff_options_get(&good, "precision", word, 5), MLFF_ERROR_INVALID_ARGUMENT,
          "at least 6 bytes");
    WRONG(mlff_options_get(&good, "speed", word, 4), MLFF_ERROR_INVALID_ARGUMENT, "'speed'");
    WRONG(mlff_options_get(&good, "check", NULL, 9), MLFF_ERROR_INVALID_ARGUMENT,
          "value is a null");
    if (strcmp(word, "77") != 0) {
        printf("FAILED: a word was written where it has no room\n");
        ++failures;
    }
    mlff_option_info info;
    memset(&info, 0, sizeof info);
    WRONG(mlff_options_describe(0, &info), MLFF_ERROR_INVALID_ARGUMENT, "sizeof(mlff_option_info)");
    WRONG(mlff_options_describe(0, NULL), MLFF_ERROR_INVALID_ARGUMENT,
          "mlff_option_info is a null");
}

/* A caller of the first version, whose options end before `check`. */
static void older_structs(void) {
    mlff_options older = options();
    older.struct_size = 32;
    older.check = 4;
    mlff_calculator *out = NULL;
    if (mlff_calculator_new(model, &older, &out) != MLFF_OK) {
        printf("FAILED shorter options: %s\n", mlff_last_error());
        ++failures;
    }
    mlff_calculator_free(out);
}

/* A caller of a later version, whose struct has more fields. */
static void newer_structs(void) {
    struct {
        mlff_options known;
        uint32_t unknown[2];
    } newer;
    memset(&newer, 0, sizeof newer);
    newer.known.struct_size = sizeof newer;
    mlff_calculator *out = NULL;
    if (mlff_calculator_new(model, &newer.known, &out) != MLFF_OK) {
        printf("FAILED a newer struct with zeros: %s\n", mlff_last_error());
        ++failures;
    }
    mlff_calculator_free(out);
    out = NULL;
    newer.unknown[1] = 1u << 24;
    char words[64];
    snprintf(words, sizeof words, "byte %zu is not zero", sizeof(mlff_options) + 7);
    WRONG(mlff_calculator_new(model, &newer.known, &out), MLFF_ERROR_INVALID_ARGUMENT, words);
}

static void set(mlff_neighbor_list value, mlff_status expected, const char *words) {
    expect(mlff_calculator_set_neighbor_list(calculator, &value), expected, words, words);
    /* Refused once more, and the list before is still in use; with a list there is no stress. */
    mlff_calculator_set_neighbor_list(calculator, &value);
    const mlff_status after = mlff_calculator_compute(calculator, positions, NULL, NULL, &results);
    int good = after == MLFF_OK && memcmp(&results.energy, &reference, sizeof reference) == 0;
    for (int k = 0; k < 9; ++k) good = good && results.stress[k] == 0.0;
    if (!good) {
        printf("FAILED %s: the list before is no longer in use (%s)\n", words,
               mlff_status_name(after));
        ++failures;
    }
    reset();
}

static void neighbor_lists(void) {
    const mlff_neighbor_list good = good_list();
    mlff_neighbor_list bad = good;
    bad.struct_size = 8;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_neighbor_list.struct_size is 8");
    bad = good;
    bad.owned = -1;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_neighbor_list.owned is -1");
    bad = good;
    bad.ghosts = -7;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_neighbor_list.ghosts is -7");
    bad = good;
    bad.centers = -1;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_neighbor_list.centers is -1");
    bad = good;
    bad.centers = 4;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_neighbor_list.centers is 4");
    bad = good;
    bad.species = NULL;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_neighbor_list.species is a null pointer");
    bad = good;
    bad.numneigh = NULL;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_neighbor_list.numneigh is a null pointer");
    bad = good;
    bad.firstneigh = NULL;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_neighbor_list.firstneigh is a null pointer");
    bad = good;
    bad.reserved = 3;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_neighbor_list.reserved is 3");
    bad = good;
    bad.list_cutoff = 4.9;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "needs 5 \xc3\x85");
    bad.list_cutoff = (double)NAN;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "reach NaN");

    const int32_t unknown[4] = {8, 1, 118, 8};
    bad = good;
    bad.species = unknown;
    set(bad, MLFF_ERROR_SPECIES, "Og");
    const int32_t outside[4] = {8, 1, 1000, 8};
    bad.species = outside;
    set(bad, MLFF_ERROR_SPECIES, "1000");

    const int32_t ilist_outside[3] = {0, 1, 3};
    bad = good;
    bad.ilist = ilist_outside;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_neighbor_list.ilist[2] is 3");
    const int32_t ilist_negative[3] = {0, -1, 2};
    bad.ilist = ilist_negative;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_neighbor_list.ilist[1] is -1");
    const int32_t ilist_twice[3] = {0, 1, 1};
    bad.ilist = ilist_twice;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "center 1 has two neighbor lists");

    const int32_t negative[3] = {2, -3, 2};
    bad = good;
    bad.numneigh = negative;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "atom 1: an entry of mlff_neighbor_list.numneigh is -3");
    const int32_t *const no_list[3] = {list_0, list_1, NULL};
    bad = good;
    bad.firstneigh = no_list;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT,
        "atom 2: an entry of mlff_neighbor_list.firstneigh is a null");

    const int32_t far[2] = {1, 4};
    const int32_t *const far_lists[3] = {far, list_1, list_2};
    bad = good;
    bad.firstneigh = far_lists;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "neighbor 4");
    const int32_t below[2] = {1, -2};
    const int32_t *const below_lists[3] = {below, list_1, list_2};
    bad.firstneigh = below_lists;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "out of range");
    /* 4 with a special bit is still 4. */
    const int32_t masked[2] = {1, 4 | 1 << 30};
    const int32_t *const masked_lists[3] = {masked, list_1, list_2};
    bad.firstneigh = masked_lists;
    bad.neighbor_mask = 0x1FFFFFFF;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "neighbor 4");

    /* A half list. */
    const int32_t half[3] = {2, 1, 0};
    const int32_t half_1[1] = {2};
    const int32_t *const half_lists[3] = {list_0, half_1, NULL};
    bad = good;
    bad.numneigh = half;
    bad.firstneigh = half_lists;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "not full");
    /* A neighbor that is part of the model, but has no list. */
    bad = good;
    bad.centers = 2;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "has no neighbor list");

    const int32_t far_owner[1] = {3};
    bad = good;
    bad.owner = far_owner;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "ghost 0 names atom 3 as its owner");
    const int32_t other_owner[1] = {1};
    bad.owner = other_owner;
    set(bad, MLFF_ERROR_INVALID_ARGUMENT, "give both the same");

    WRONG(mlff_calculator_set_neighbor_list(calculator, NULL), MLFF_ERROR_INVALID_ARGUMENT,
          "null pointer");
    WRONG(mlff_calculator_set_neighbor_list(NULL, &good), MLFF_ERROR_INVALID_ARGUMENT,
          "null pointer");
}

static void computes(void) {
    const double nan_ = (double)NAN, infinity = (double)INFINITY;
    double bad[12];
    memcpy(bad, positions, sizeof bad);
    bad[4] = nan_;
    WRONG(mlff_calculator_compute(calculator, bad, NULL, NULL, &results), MLFF_ERROR_NUMERIC,
          "atom 1");
    memcpy(bad, positions, sizeof bad);
    bad[11] = infinity;
    WRONG(mlff_calculator_compute(calculator, bad, NULL, NULL, &results), MLFF_ERROR_NUMERIC,
          "inf");
    memcpy(bad, positions, sizeof bad);
    memcpy(bad + 6, bad, 3 * sizeof bad[0]);
    WRONG(mlff_calculator_compute(calculator, bad, NULL, NULL, &results), MLFF_ERROR_NUMERIC,
          "same place");
    WRONG(mlff_calculator_compute(calculator, NULL, NULL, NULL, &results),
          MLFF_ERROR_INVALID_ARGUMENT, "positions is a null pointer");
    WRONG(mlff_calculator_compute(NULL, positions, NULL, NULL, &results),
          MLFF_ERROR_INVALID_ARGUMENT, "calculator is a null pointer");
    WRONG(mlff_calculator_compute(calculator, positions, NULL, NULL, NULL),
          MLFF_ERROR_INVALID_ARGUMENT, "results is a null pointer");
    results.struct_size = 0;
    WRONG(mlff_calculator_compute(calculator, positions, NULL, NULL, &results),
          MLFF_ERROR_INVALID_ARGUMENT, "sizeof(mlff_results)");
    results.reserved = 1;
    WRONG(mlff_calculator_compute(calculator, positions, NULL, NULL, &results),
          MLFF_ERROR_INVALID_ARGUMENT, "mlff_results.reserved is 1");
    memcpy(&results.forces, "\1\0\0\0\0\0\0\0", sizeof results.forces);
    WRONG(mlff_calculator_compute(calculator, positions, NULL, NULL, &results),
          MLFF_ERROR_INVALID_ARGUMENT, "mlff_results.forces is 0x1");
}

/* ---- Order of calls, callbacks --------------------------------------------------------------- */

static void order(void) {
    mlff_calculator *fresh = NULL;
    mlff_calculator *const usual = calculator;
    if (mlff_calculator_new(model, NULL, &fresh) != MLFF_OK) {
        printf("FAILED a calculator with default options: %s\n", mlff_last_error());
        ++failures;
        return;
    }
    WRONG(mlff_calculator_compute(fresh, positions, NULL, NULL, &results), MLFF_ERROR_STATE,
          "mlff_calculator_set_neighbor_list first");
    /* A structure's own list must not be taken for the caller's. */
    const mlff_structure water = structure();
    if (mlff_calculator_compute_structure(fresh, &water, &results) != MLFF_OK) {
        printf("FAILED a structure: %s\n", mlff_last_error());
        ++failures;
    }
    reset();
    WRONG(mlff_calculator_compute(fresh, positions, NULL, NULL, &results), MLFF_ERROR_STATE,
          "mlff_calculator_set_neighbor_list first");
    mlff_calculator_free(fresh);
    calculator = usual;
}

struct callback {
    int calls;
    int fail_at;
    mlff_status inner;
};

static int32_t forward(void *user, void *rows, uint32_t row_bytes) {
    struct callback *callback = user;
    if (row_bytes % 8 != 0) {
        printf("FAILED: a row has %u bytes\n", row_bytes);
        ++failures;
    }
    /* The ghost is a copy of atom 0. */
    memcpy((char *)rows + 3 * (size_t)row_bytes, rows, row_bytes);
    mlff_results inner;
    memset(&inner, 0, sizeof inner);
    inner.struct_size = sizeof inner;
    callback->inner = mlff_calculator_compute(calculator, positions, NULL, NULL, &inner);
    return ++callback->calls == callback->fail_at ? -5 : 0;
}

static void callbacks(void) {
    /* Within the list's cutoff one hydrogen sees the ghost, which belongs to another process. */
    const int32_t more[3] = {2, 3, 2};
    const int32_t more_1[3] = {0, 2, 3};
    const int32_t *const more_lists[3] = {list_0, more_1, list_2};
    mlff_neighbor_list remote = good_list();
    remote.owner = NULL;
    remote.numneigh = more;
    remote.firstneigh = more_lists;
    remote.list_cutoff = 6.0;
    mlff_calculator_info info;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    if (mlff_calculator_set_neighbor_list(calculator, &remote) != MLFF_OK ||
        mlff_calculator_get_info(calculator, &info) != MLFF_OK) {
        printf("FAILED to set a list with a ghost of another process: %s\n", mlff_last_error());
        ++failures;
        return;
    }
    WRONG(mlff_calculator_compute(calculator, positions, NULL, NULL, &results),
          MLFF_ERROR_INVALID_ARGUMENT, "exchange");
    for (int fail_at = 1; fail_at <= (int)info.exchanges; ++fail_at) {
        struct callback callback = {0, 0, MLFF_OK};
        callback.fail_at = fail_at;
        mlff_calculator_set_neighbor_list(calculator, &remote);
        WRONG(mlff_calculator_compute(calculator, positions, forward, &callback, &results),
              MLFF_ERROR_CALLBACK, "returned -5");
        if (callback.calls != fail_at) {
            printf("FAILED: %d calls after failure %d\n", callback.calls, fail_at);
            ++failures;
        }
        if (callback.inner != MLFF_ERROR_STATE) {
            printf("FAILED: a call from within the callback gave %d\n", callback.inner);
            ++failures;
        }
    }
    struct callback callback = {0, 0, MLFF_OK};
    mlff_calculator_set_neighbor_list(calculator, &remote);
    if (mlff_calculator_compute(calculator, positions, forward, &callback, &results) != MLFF_OK ||
        fabs(results.energy - reference) > 1e-9 || callback.calls != (int)info.exchanges) {
        printf("FAILED: with the callback the energy is %.17g after %d calls, without %.17g\n",
               results.energy, callback.calls, reference);
        ++failures;
    }
    reset();
}

/* ---- Structures ------------------------------------------------------------------------------ */

static void compute(mlff_structure value, mlff_status expected, const char *words) {
    expect(mlff_calculator_compute_structure(calculator, &value, &results), expected, words, words);
}

static void structures(void) {
    static const double cube[9] = {9, 0, 0, 0, 9, 0, 0, 0, 9};
    static const double flat[9] = {9, 0, 0, 0, 9, 0, 9, 9, 0};
    static const double left[9] = {0, 9, 0, 9, 0, 0, 0, 0, 9};
    const double nan_cell[9] = {9, 0, 0, 0, (double)NAN, 0, 0, 0, 9};
    mlff_structure good = structure();
    good.cell = cube;
    good.periodic[0] = good.periodic[1] = good.periodic[2] = 1;
    mlff_structure bad = good;
    bad.struct_size = 47;
    compute(bad, MLFF_ERROR_INVALID_ARGUMENT, "sizeof(mlff_structure)");
    bad = good;
    bad.atoms = -1;
    compute(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_structure.atoms is -1");
    bad = good;
    bad.species = NULL;
    compute(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_structure.species is a null");
    bad = good;
    bad.positions = NULL;
    compute(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_structure.positions is a null");
    bad = good;
    bad.cell = NULL;
    compute(bad, MLFF_ERROR_INVALID_ARGUMENT, "lattice vectors");
    bad = good;
    bad.periodic[1] = 17;
    compute(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_structure.periodic[1] is 17");
    bad = good;
    bad.reserved = 1;
    compute(bad, MLFF_ERROR_INVALID_ARGUMENT, "mlff_structure.reserved is 1");
    bad = good;
    bad.cell = flat;
    compute(bad, MLFF_ERROR_NUMERIC, "lattice vectors");
    bad.cell = left;
    compute(bad, MLFF_ERROR_NUMERIC, "left-handed");
    bad.cell = nan_cell;
    compute(bad, MLFF_ERROR_NUMERIC, "NaN");
    const int32_t none[3] = {8, 0, 1};
    bad = good;
    bad.species = none;
    compute(bad, MLFF_ERROR_SPECIES, "atom 1");
    const int32_t unknown[3] = {8, 1, 118};
    bad.species = unknown;
    compute(bad, MLFF_ERROR_SPECIES, "atom 2");
    const double nowhere[9] = {0, 0, 0, 1, 0, 0, (double)INFINITY, 0, 0};
    bad = good;
    bad.positions = nowhere;
    compute(bad, MLFF_ERROR_NUMERIC, "atom 2");
    /* The image of one atom on another. */
    const double together[9] = {0, 0, 0, 1, 0, 0, 9, 0, 0};
    bad.positions = together;
    compute(bad, MLFF_ERROR_NUMERIC, "same place");
    WRONG(mlff_calculator_compute_structure(calculator, NULL, &results),
          MLFF_ERROR_INVALID_ARGUMENT, "mlff_structure is a null pointer");
    WRONG(mlff_calculator_compute_structure(calculator, &good, NULL), MLFF_ERROR_INVALID_ARGUMENT,
          "results is a null pointer");
}

static void batches(void) {
    mlff_structure both[2];
    mlff_results out[2];
    both[0] = both[1] = structure();
    const int32_t unknown[3] = {8, 1, 118};
    both[1].species = unknown;
    reset();
    out[0] = out[1] = results;
    WRONG(mlff_calculator_compute_batch(calculator, 2, both, out), MLFF_ERROR_SPECIES,
          "structure 1");
    if (out[0].energy != 77.0) {
        printf("FAILED: a batch with an error wrote the first result\n");
        ++failures;
    }
    both[1] = both[0];
    both[1].struct_size = sizeof both[1] + 8;
    WRONG(mlff_calculator_compute_batch(calculator, 2, both, out), MLFF_ERROR_INVALID_ARGUMENT,
          "element 1");
    both[1].struct_size = sizeof both[1];
    out[1].struct_size = 3;
    WRONG(mlff_calculator_compute_batch(calculator, 2, both, out), MLFF_ERROR_INVALID_ARGUMENT,
          "element 1: mlff_results.struct_size is 3");
    WRONG(mlff_calculator_compute_batch(calculator, 1, NULL, out), MLFF_ERROR_INVALID_ARGUMENT,
          "null pointer");
    WRONG(mlff_calculator_compute_batch(calculator, 1, both, NULL), MLFF_ERROR_INVALID_ARGUMENT,
          "results is a null pointer");
    if (mlff_calculator_compute_batch(calculator, 0, NULL, NULL) != MLFF_OK) {
        printf("FAILED an empty batch: %s\n", mlff_last_error());
        ++failures;
    }
}

/* A process without atoms has no arrays. */
static void nothing(void) {
    mlff_neighbor_list none;
    memset(&none, 0, sizeof none);
    none.struct_size = sizeof none;
    none.list_cutoff = 5.0;
    results.atomic_energies = results.forces = results.atomic_virials = NULL;
    if (mlff_calculator_set_neighbor_list(calculator, &none) != MLFF_OK ||
        mlff_calculator_compute(calculator, NULL, NULL, NULL, &results) != MLFF_OK ||
        results.energy != 0.0 || results.virial[0] != 0.0) {
        printf("FAILED without atoms: energy %g, %s\n", results.energy, mlff_last_error());
        ++failures;
    }
    reset();
}

/* ---- The last error -------------------------------------------------------------------------- */

static void *another_thread(void *unused) {
    (void)unused;
    return mlff_last_error()[0] == '\0' ? NULL : &failures;
}

static void last_error(void) {
    int32_t one = 0;
    mlff_model_find_species(model, "Xx", &one);
    char before[256];
    snprintf(before, sizeof before, "%s", mlff_last_error());
    mlff_model_find_species(model, "O", &one);
    energy();
    mlff_model_free(NULL);
    mlff_calculator_free(NULL);
    if (strcmp(before, mlff_last_error()) != 0) {
        printf("FAILED: success changed the last error to %s\n", mlff_last_error());
        ++failures;
    }
    pthread_t thread;
    void *found = &failures;
    if (pthread_create(&thread, NULL, another_thread, NULL) != 0 ||
        pthread_join(thread, &found) != 0 || found != NULL) {
        printf("FAILED: another thread sees this thread's error\n");
        ++failures;
    }
    uint32_t devices = 7;
    WRONG(mlff_device_count(9, &devices), MLFF_ERROR_INVALID_ARGUMENT, "device is 9");
    WRONG(mlff_device_count(MLFF_DEVICE_CPU, NULL), MLFF_ERROR_INVALID_ARGUMENT, "count");
    if (devices != 7 || mlff_device_count(MLFF_DEVICE_CPU, &devices) != MLFF_OK || devices != 1 ||
        mlff_device_count(MLFF_DEVICE_CUDA, &devices) != MLFF_OK) {
        printf("FAILED: mlff_device_count()\n");
        ++failures;
    }
    if (mlff_abi_version() != MLFF_ABI_VERSION || strcmp(mlff_version(), "0.1.0") != 0) {
        printf("FAILED: the header's version is not the library's\n");
        ++failures;
    }
    if (strcmp(mlff_status_name(-3), "unknown mlff_status") != 0 ||
        strcmp(mlff_status_name(MLFF_ERROR_DEVICE_LOST), "MLFF_ERROR_DEVICE_LOST") != 0) {
        printf("FAILED: names of statuses\n");
        ++failures;
    }
}

int main(int argc, char **argv) {
    if (argc != 3 || mlff_last_error()[0] != '\0') {
        return 2;
    }
    reset();
    bad_files(argv[2]);
    if (mlff_model_load(argv[1], &model) != MLFF_OK) {
        printf("FAILED %s\n", mlff_last_error());
        return 1;
    }
    const mlff_options good = options();
    if (mlff_calculator_new(model, &good, &calculator) != MLFF_OK) {
        printf("FAILED %s\n", mlff_last_error());
        return 1;
    }
    reference = energy();

    models();
    calculators();
    named_options();
    older_structs();
    newer_structs();
    neighbor_lists();
    computes();
    order();
    callbacks();
    structures();
    batches();
    nothing();
    last_error();

    /* The model first: the calculator keeps what it needs. */
    mlff_model_free(model);
    expect(mlff_calculator_set_neighbor_list(calculator, NULL), MLFF_ERROR_INVALID_ARGUMENT,
           "null pointer", "after the model was freed");
    mlff_calculator_free(calculator);
    printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
