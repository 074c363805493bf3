/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Generated from src/c_api by `MLFF_UPDATE_HEADER=1 cargo test --test c_api header`: edit there. */

/**
 * Distilled machine-learned force fields: energies, forces and virials for molecular dynamics.
 *
 *     mlff_model *model = NULL;
 *     mlff_calculator *calculator = NULL;
 *     if (mlff_model_load("water.safetensors", &model) != MLFF_OK ||
 *         mlff_calculator_new(model, NULL, &calculator) != MLFF_OK) {
 *         fprintf(stderr, "%s\n", mlff_last_error());
 *         return 1;
 *     }
 *     mlff_model_free(model);
 *     mlff_results results = {0};
 *     results.struct_size = sizeof results;
 *     results.forces = forces;
 *     ... at every rebuild of the neighbor list:
 *     mlff_calculator_set_neighbor_list(calculator, &list);
 *     ... at every step:
 *     mlff_calculator_compute(calculator, positions, exchange, user, &results);
 *     ... or, without a neighbor list:
 *     mlff_calculator_compute_structure(calculator, &structure, &results);
 *     mlff_calculator_free(calculator);
 *
 * Units: angstrom, electronvolt, eV/Å; virials in eV, positive where the system pushes outward;
 * stress in eV/Å³, positive for tension. Matrices are stored row by row, positions as x y z of one
 * atom after the other. Atoms are numbered from 0. Strings are UTF-8, file names as the system has
 * them.
 *
 * Errors: fallible functions return an mlff_status; mlff_last_error() says what was expected, what
 * was found and what to do. Outputs are untouched on error and the handles stay usable, except
 * after MLFF_ERROR_INTERNAL, a bug. No Rust panic leaves the library.
 *
 * Structs: zero-fill them and set struct_size = sizeof(the struct). Later versions add fields at
 * the end, for which zero means what the version before did. A struct longer than the library
 * knows is accepted if the excess is zero. Fields named reserved must be 0.
 *
 * Ownership: the caller owns what mlff_model_load() and mlff_calculator_new() give and frees it
 * with the matching function. Nothing else is to be freed, and no pointer that the caller passes
 * is kept after a call returns.
 *
 * Threads: a model may be used by any number of threads, a calculator by one at a time.
 */

#ifndef MLFF_STUDENT_H
#define MLFF_STUDENT_H

#include <stdint.h>

/**
 * The header's version: major << 16 | minor << 8 | patch. Compare its major part, the upper 16
 * bits, with mlff_abi_version().
 *
 * @since 0.1.0
 */
#define MLFF_ABI_VERSION (1 << 8)

/**
 * Success. @since 0.1.0
 */
#define MLFF_OK 0

/**
 * An argument is out of range, null or inconsistent with another. @since 0.1.0
 */
#define MLFF_ERROR_INVALID_ARGUMENT 1

/**
 * A file could not be read. @since 0.1.0
 */
#define MLFF_ERROR_IO 2

/**
 * A file was read but is not a model that this version understands. @since 0.1.0
 */
#define MLFF_ERROR_FORMAT 3

/**
 * This build, processor or model cannot do what was asked. @since 0.1.0
 */
#define MLFF_ERROR_UNSUPPORTED 4

/**
 * The model does not know a chemical element. @since 0.1.0
 */
#define MLFF_ERROR_SPECIES 5

/**
 * NaN, infinity, atoms at one place, a degenerate cell. @since 0.1.0
 */
#define MLFF_ERROR_NUMERIC 6

/**
 * Memory ran out; the handles are still usable. @since 0.1.0
 */
#define MLFF_ERROR_MEMORY 7

/**
 * An exchange callback returned something other than 0. @since 0.1.0
 */
#define MLFF_ERROR_CALLBACK 8

/**
 * Calls in the wrong order, or a calculator used by two calls at a time. @since 0.1.0
 */
#define MLFF_ERROR_STATE 9

/**
 * A bug in this library. The calculator of the call cannot be used any more, only freed.
 * @since 0.1.0
 */
#define MLFF_ERROR_INTERNAL 10

/**
 * There is no such device. @since 0.1.0
 */
#define MLFF_ERROR_NO_DEVICE 11

/**
 * A device stopped working: no calculator of this process can use it until the process is started
 * again. @since 0.1.0
 */
#define MLFF_ERROR_DEVICE_LOST 12

/**
 * With MLFF_CHECK_STRICT: atoms where the student learned nothing, or atoms that overlap.
 * mlff_calculator_get_check() says which. @since 0.1.0
 */
#define MLFF_ERROR_OUTSIDE 13

/**
 * The processor. @since 0.1.0
 */
#define MLFF_DEVICE_CPU 0

/**
 * An NVIDIA GPU, Turing or newer; its driver is all that is needed (R525 or newer).
 * MLFF_ENGINE_TORCH needs a libtorch with CUDA too. @since 0.1.0
 */
#define MLFF_DEVICE_CUDA 1

/**
 * The architecture of the students published in 2025: not invariant under rotation, not
 * continuous at the cutoff. @since 0.1.0
 */
#define MLFF_ARCHITECTURE_PUBLISHED 1

/**
 * PaiNN (arXiv 2102.03150). @since 0.1.0
 */
#define MLFF_ARCHITECTURE_PAINN 2

/**
 * A TorchScript model of any network, evaluated by libtorch (MLFF_ENGINE_TORCH). @since 0.1.0
 */
#define MLFF_ARCHITECTURE_SCRIPT 3

/**
 * This library's kernels; libtorch for TorchScript models, which they cannot evaluate.
 * @since 0.1.0
 */
#define MLFF_ENGINE_OWN 0

/**
 * libtorch, on one process: plain tensor operations and automatic differentiation, slow, for
 * comparison. Needs libmlff_student_torch.so beside this library or named by the environment
 * variable MLFF_STUDENT_TORCH. @since 0.1.0
 */
#define MLFF_ENGINE_TORCH 1

/**
 * Features and filters in float32; positions, distances, energies and virial sums in float64.
 * @since 0.1.0
 */
#define MLFF_PRECISION_MIXED 0

/**
 * All in float64: slow, for checking. @since 0.1.0
 */
#define MLFF_PRECISION_DOUBLE 1

/**
 * Filters interpolated in a table. @since 0.1.0
 */
#define MLFF_FILTER_TABLE 0

/**
 * Filters computed anew for every pair: slow, for checking. @since 0.1.0
 */
#define MLFF_FILTER_EXACT 1

/**
 * The widest instructions that this processor has. @since 0.1.0
 */
#define MLFF_ISA_BEST 0

/**
 * Instructions that every processor has. @since 0.1.0
 */
#define MLFF_ISA_PORTABLE 1

/**
 * AVX2 with FMA. @since 0.1.0
 */
#define MLFF_ISA_AVX2 2

/**
 * AVX-512 F. @since 0.1.0
 */
#define MLFF_ISA_AVX512 3

/**
 * A line on stderr, once for atoms outside and once for overlaps in a calculator's life.
 * @since 0.1.0
 */
#define MLFF_CHECK_WARN 0

/**
 * Nothing is said: the caller asks, with mlff_calculator_get_check(). @since 0.1.0
 */
#define MLFF_CHECK_REPORT 1

/**
 * The compute fails with MLFF_ERROR_OUTSIDE. @since 0.1.0
 */
#define MLFF_CHECK_STRICT 2

/**
 * Nothing is checked. @since 0.1.0
 */
#define MLFF_CHECK_OFF 3

/**
 * Evaluates one model on one device; holds its workspace.
 *
 * Made by mlff_calculator_new(), freed by mlff_calculator_free(). One call at a time: a second
 * one, from another thread or from within an exchange callback, gets MLFF_ERROR_STATE. Make one
 * for each thread that calls.
 *
 * @since 0.1.0
 */
typedef struct mlff_calculator mlff_calculator;

/**
 * A student (architecture and weights), or a TorchScript model. Immutable; any number of threads
 * may use one at a time.
 *
 * Made by mlff_model_load(), freed by mlff_model_free(). Calculators keep what they need of it,
 * so the model and its calculators may be freed in any order.
 *
 * @since 0.1.0
 */
typedef struct mlff_model mlff_model;

/**
 * Outcome of a call: MLFF_OK or one of MLFF_ERROR_*. Numbers are never used again for another
 * meaning; later versions may add some.
 *
 * @since 0.1.0
 */
typedef int32_t mlff_status;

/**
 * What a model is. Set struct_size, then call mlff_model_get_info().
 *
 * @since 0.1.0
 */
typedef struct mlff_model_info {
    /**
     * In: sizeof(mlff_model_info).
     */
    uint32_t struct_size;
    /**
     * MLFF_ARCHITECTURE_*.
     */
    int32_t architecture;
    /**
     * Channels of each atom's features. This, blocks, basis and parameters are 0 for
     * MLFF_ARCHITECTURE_SCRIPT, whose network is not looked at, and so are both flags below.
     */
    uint32_t hidden;
    /**
     * Message-passing blocks.
     */
    uint32_t blocks;
    /**
     * Radial basis functions.
     */
    uint32_t basis;
    /**
     * Elements, see mlff_model_get_species().
     */
    uint32_t species_count;
    /**
     * Trainable parameters.
     */
    uint64_t parameters;
    /**
     * Pairs up to this distance interact (Å).
     */
    double cutoff;
    /**
     * 0 or 1: whether the architecture makes the energy independent of orientation.
     */
    int32_t rotation_invariant;
    /**
     * 0 or 1: whether the architecture makes the energy continuous where pairs cross the cutoff.
     */
    int32_t continuous_at_cutoff;
    /**
     * 0 or 1: whether the model says which energies atoms have in its training data. Beyond them
     * energies saturate, and atoms far outside are found (mlff_check); without it they are not.
     */
    int32_t energy_range;
    /**
     * 0.
     */
    int32_t reserved;
    /**
     * The architecture's name, for example "painn"; the library's, as long as it is loaded.
     */
    const char *architecture_name;
} mlff_model_info;

/**
 * How a calculator evaluates its model. Zero-filled but for struct_size: the defaults. Fields may
 * be set directly or with mlff_options_set().
 *
 * @since 0.1.0
 */
typedef struct mlff_options {
    /**
     * sizeof(mlff_options).
     */
    uint32_t struct_size;
    /**
     * MLFF_DEVICE_*.
     */
    int32_t device;
    /**
     * Which of several devices of this kind; 0 for the processor.
     */
    int32_t device_index;
    /**
     * MLFF_PRECISION_*. This, filter and instruction_set mean nothing for TorchScript models,
     * which have a precision of their own.
     */
    int32_t precision;
    /**
     * MLFF_FILTER_*.
     */
    int32_t filter;
    /**
     * Threads; 0 means 1, which suits one process for each core. On a GPU they mean nothing, and
     * with MLFF_PRECISION_DOUBLE only mlff_calculator_compute_batch() uses more than one. They do
     * not follow a fork: in the child a calculator of several threads, or of a GPU, is
     * MLFF_ERROR_STATE.
     */
    uint32_t threads;
    /**
     * MLFF_ISA_*; other than MLFF_ISA_BEST for tests. Ignored with MLFF_PRECISION_DOUBLE.
     */
    int32_t instruction_set;
    /**
     * MLFF_ENGINE_*.
     */
    int32_t engine;
    /**
     * MLFF_CHECK_*: what is done where the student is taken for what it did not learn, see
     * mlff_check.
     */
    int32_t check;
    /**
     * 0. Room for options of later versions, which mlff_options_set() sets by name.
     */
    int32_t further[7];
} mlff_options;

/**
 * One option by its name, see mlff_options_describe(). Texts are the library's and live as long
 * as it is loaded.
 *
 * @since 0.1.0
 */
typedef struct mlff_option_info {
    /**
     * In: sizeof(mlff_option_info).
     */
    uint32_t struct_size;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * What mlff_options_set() calls it; NULL behind the last option.
     */
    const char *name;
    /**
     * Its values: words between bars (mixed|double), where N stands for a number.
     */
    const char *values;
    /**
     * The value that zero-filled options have.
     */
    const char *default_value;
    /**
     * What it decides, without a full stop.
     */
    const char *about;
} mlff_option_info;

/**
 * What a calculator uses. Set struct_size, then call mlff_calculator_get_info().
 *
 * @since 0.1.0
 */
typedef struct mlff_calculator_info {
    /**
     * In: sizeof(mlff_calculator_info).
     */
    uint32_t struct_size;
    /**
     * MLFF_ISA_* in use; 0 with MLFF_PRECISION_DOUBLE, on a GPU and with libtorch.
     */
    int32_t instruction_set;
    /**
     * Bytes allocated by this calculator, without the model. In float64 and with libtorch: about
     * as many as the last computation took, without what libtorch allocates.
     */
    uint64_t memory;
    /**
     * Threads that were asked for; 1 on a GPU.
     */
    uint32_t threads;
    /**
     * How often each mlff_calculator_compute() calls the exchange callback that it is given.
     */
    uint32_t exchanges;
    /**
     * Wall time since the calculator was made (s) in: neighbor lists (and taking positions), pairs
     * (distances), messages forward, messages in reverse (pair kernels), atoms (dense layers),
     * exchange (callbacks), rest. On a GPU pairs, messages and atoms are in the rest, in float64
     * all but lists and exchange, with libtorch all but lists and pairs. Batches on several
     * threads are left out.
     */
    double seconds[7];
    /**
     * No row that the exchange callback gets is longer (bytes): what buffers have to hold for each
     * atom.
     */
    uint32_t row_bytes;
    /**
     * 0.
     */
    uint32_t reserved;
} mlff_calculator_info;

/**
 * What the last compute of a calculator found that its student did not learn. Set struct_size,
 * then call mlff_calculator_get_check().
 *
 * Atoms outside: what the network gives them is far below or above the energies of atoms of their
 * element in its training data (0.25 eV below, 5 eV above). They are looked for in every compute,
 * if mlff_model_info.energy_range is 1 and with MLFF_ENGINE_OWN.
 *
 * Overlaps: pairs of atoms nearer to each other than half of the sum of their covalent radii. They
 * are looked for in the first mlff_calculator_compute() after each
 * mlff_calculator_set_neighbor_list(), and in structures; of other computes there are none here.
 * Each pair counts once, also where its atoms are on two processes: there one of the two has it.
 *
 * Atoms go by the caller's numbers, from 0. With a neighbor list a ghost goes by its owner where
 * that is known, else by its own index.
 *
 * @since 0.1.0
 */
typedef struct mlff_check {
    /**
     * In: sizeof(mlff_check).
     */
    uint32_t struct_size;
    /**
     * In how many structures something was found: 0 or 1, or more of a batch.
     */
    uint32_t structures;
    /**
     * The first of these structures, from 0, which all below is about; 0 but of a batch.
     */
    uint32_t structure;
    /**
     * In: 0.
     */
    uint32_t reserved;
    /**
     * How many atoms are outside.
     */
    uint64_t outside;
    /**
     * How many pairs overlap.
     */
    uint64_t overlaps;
    /**
     * The first 8 atoms outside, ascending; -1 where there are fewer.
     */
    int32_t atoms[8];
    /**
     * The first 8 pairs that overlap, two atoms each, one pair behind the other; -1 where there
     * are fewer.
     */
    int32_t pairs[16];
} mlff_check;

/**
 * A full neighbor list: for each owned atom all atoms within `list_cutoff`, each pair in both
 * atoms' lists, an atom's own periodic images included.
 *
 * Owned atoms are those whose energy this process computes, numbered from 0. Ghosts are copies of
 * atoms, periodic images or atoms of other processes, numbered after the owned ones.
 *
 * Everything is copied: nothing is borrowed after mlff_calculator_set_neighbor_list() returns.
 *
 * @since 0.1.0
 */
typedef struct mlff_neighbor_list {
    /**
     * sizeof(mlff_neighbor_list).
     */
    uint32_t struct_size;
    /**
     * Owned atoms (LAMMPS: nlocal). 0 is normal for a process among several.
     */
    int32_t owned;
    /**
     * Ghosts (LAMMPS: nghost).
     */
    int32_t ghosts;
    /**
     * Entries of `ilist` (LAMMPS: inum).
     */
    int32_t centers;
    /**
     * Atomic numbers, owned + ghosts entries; 0 or less: not part of this model. May be NULL
     * without atoms, as may all arrays.
     */
    const int32_t *species;
    /**
     * Which owned atoms have a list, `centers` entries; NULL: atoms 0 to centers - 1. Must hold
     * every owned atom that is part of the model.
     */
    const int32_t *ilist;
    /**
     * Lengths of the lists, indexed by ATOM, as in LAMMPS; read only at atoms in `ilist`.
     */
    const int32_t *numneigh;
    /**
     * The lists: indices of owned atoms and ghosts, indexed by ATOM, as in LAMMPS; read only at
     * atoms in `ilist`.
     */
    const int32_t *const *firstneigh;
    /**
     * For each ghost the owned atom it is a copy of, or -1 if that belongs to another process;
     * NULL: all ghosts belong to other processes. Where no ghost does, no exchange is needed.
     */
    const int32_t *owner;
    /**
     * The distance up to which the list and the ghosts are complete (Å); at least the model's
     * cutoff. May be larger: pairs beyond the model's cutoff are skipped at every step.
     */
    double list_cutoff;
    /**
     * Bits of a list's entry that are its index (LAMMPS: NEIGHMASK); 0: all.
     */
    uint32_t neighbor_mask;
    /**
     * 0.
     */
    uint32_t reserved;
} mlff_neighbor_list;

/**
 * Copies rows of atoms' features to their ghosts in other processes (LAMMPS: forward_comm).
 *
 * Called on the thread that called mlff_calculator_compute(), mlff_calculator_info.exchanges times
 * per compute on every process, also on one without atoms: it may hold collective communication.
 * After an error a process makes no further calls, and others may be waiting for it: end the run
 * (MPI_Abort). The callback must not use the calculator that calls it, and must not be left by a
 * C++ exception or longjmp: catch, return non-zero, rethrow after the call.
 *
 * @param user what the caller gave to mlff_calculator_compute()
 * @param rows owned + ghosts rows of row_bytes bytes, in the order of the neighbor list, without
 *     gaps, at an address that is a multiple of 8; on entry the owned atoms' rows are filled, on
 *     return every ghost's row must equal its owner's, bit by bit. Valid during the call
 * @param row_bytes a multiple of 8, at most mlff_calculator_info.row_bytes; differs from call to
 *     call, equal on all processes whose calculators have the same model and options
 * @return 0, or anything else to make the compute end with MLFF_ERROR_CALLBACK
 *
 * @since 0.1.0
 */
typedef int32_t (*mlff_exchange_fn)(void *user, void *rows, uint32_t row_bytes);

/**
 * What a computation gives. Zero-fill it, set struct_size and the pointers to what is wanted. On
 * error nothing is written. Ready to be used again for the next call.
 *
 * @since 0.1.0
 */
typedef struct mlff_results {
    /**
     * In: sizeof(mlff_results).
     */
    uint32_t struct_size;
    /**
     * In: 0.
     */
    uint32_t reserved;
    /**
     * Out: sum of the owned atoms' energies (eV).
     */
    double energy;
    /**
     * Out: -sum of r (x) dE/dr over the pairs of owned atoms (eV), row by row, half of a pair's
     * for each of its atoms that is owned; positive pushes outward, as in LAMMPS. Its symmetric
     * part is -dE/dstrain. With several processes, the sum over them is the system's.
     */
    double virial[9];
    /**
     * Out: stress of a structure that is periodic in three directions (eV/Å³), row by row,
     * symmetric, positive = tension: dE/dstrain / volume. Zeros otherwise, and always from
     * mlff_calculator_compute(), which knows no volume.
     */
    double stress[9];
    /**
     * In: NULL, or room for the energy of each owned atom (eV). Atoms that the student does not
     * know (species 0 or less in the neighbor list) have 0 here and below.
     */
    double *atomic_energies;
    /**
     * In: NULL, or room for the force on each owned atom, -dE/dr, x y z (eV/Å); assigned, not
     * added.
     */
    double *forces;
    /**
     * In: NULL, which saves time in mlff_calculator_compute(), or room for each owned atom's part
     * of the virial, 9 values each (eV): half of each of its pairs, so that the sum over all atoms
     * of all processes is the virial.
     */
    double *atomic_virials;
} mlff_results;

/**
 * Atoms, and a cell where they repeat.
 *
 * @since 0.1.0
 */
typedef struct mlff_structure {
    /**
     * sizeof(mlff_structure).
     */
    uint32_t struct_size;
    /**
     * Number of atoms.
     */
    int32_t atoms;
    /**
     * Atomic number of each atom; the model must know all of them.
     */
    const int32_t *species;
    /**
     * Positions, x y z of each atom, inside the cell or not (Å).
     */
    const double *positions;
    /**
     * Lattice vectors, 9 values, one vector per row (Å); may be NULL where nothing repeats. Any
     * right-handed triclinic cell, smaller than the cutoff or not. Vectors of directions that do
     * not repeat may be zero.
     */
    const double *cell;
    /**
     * 0 or 1 for each lattice vector: whether the structure repeats along it.
     */
    int32_t periodic[3];
    /**
     * 0.
     */
    uint32_t reserved;
} mlff_structure;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The MLFF_ABI_VERSION that the loaded library was built with. Its major part must equal the
 * header's.
 *
 * Thread-safe; cannot fail.
 *
 * @since 0.1.0
 */
uint32_t mlff_abi_version(void);

/**
 * The loaded library's version as text, for example "0.1.0".
 *
 * Thread-safe; cannot fail.
 *
 * @return a string that lives as long as the process; do not free it
 *
 * @since 0.1.0
 */
const char *mlff_version(void);

/**
 * What went wrong in this thread's last failing call: what was expected, what was found, what to
 * do. UTF-8. Successful calls and the free functions do not change it.
 *
 * Thread-safe: each thread has its own; cannot fail.
 *
 * @return a string of at most 4095 bytes, "" before any failure, never NULL; it belongs to the
 *     library and is valid until this thread's next failing call or its end: copy it to keep it
 *
 * @since 0.1.0
 */
const char *mlff_last_error(void);

/**
 * The atoms that mlff_last_error() names, for callers whose users know other numbers: in the
 * message's order, as the caller counts them, from 0 (with a neighbor list owned atoms, then
 * ghosts).
 *
 * Thread-safe: each thread has its own; cannot fail.
 *
 * @param atoms out: the first of them; not written behind capacity; NULL with capacity 0
 * @param capacity length of atoms; no message names more than 24
 * @return how many there are; 0 where the message names none
 *
 * @since 0.1.0
 */
uint32_t mlff_last_error_atoms(int32_t *atoms, uint32_t capacity);

/**
 * The name of a status, for example "MLFF_ERROR_IO".
 *
 * Thread-safe; cannot fail.
 *
 * @param status any number
 * @return a string that lives as long as the process; "unknown mlff_status" for other numbers
 *
 * @since 0.1.0
 */
const char *mlff_status_name(mlff_status status);

/**
 * Counts the devices of a kind, so that processes on one machine can share them out.
 *
 * Thread-safe.
 *
 * @param device MLFF_DEVICE_*
 * @param count out: 1 for MLFF_DEVICE_CPU; for MLFF_DEVICE_CUDA the number of GPUs that the driver
 *     shows to this process, 0 where there is no driver, or where the library was built without
 *     GPUs. Untouched on error
 * @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT, or, if the driver is broken, MLFF_ERROR_NO_DEVICE
 *     or MLFF_ERROR_UNSUPPORTED
 *
 * @since 0.1.0
 */
mlff_status mlff_device_count(int32_t device, uint32_t *count);

/**
 * Loads a student from a file (safetensors, a PyTorch checkpoint, ONNX or TorchScript), or a
 * TorchScript model of any network that was saved with a description
 * (docs/src/reference/torchscript.md). No code from the file is run here; that of a TorchScript
 * model runs, in libtorch, in calculators. The file is not needed afterwards.
 *
 * Thread-safe.
 *
 * @param path the file's name, zero-terminated, as the operating system has it
 * @param model out: the new model; the caller owns it and frees it with mlff_model_free().
 *     Untouched on error
 * @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT (a null pointer), MLFF_ERROR_IO, MLFF_ERROR_FORMAT,
 *     MLFF_ERROR_NUMERIC (weights that are not finite), MLFF_ERROR_UNSUPPORTED or
 *     MLFF_ERROR_MEMORY
 *
 * @since 0.1.0
 */
mlff_status mlff_model_load(const char *path, struct mlff_model **model);

/**
 * Frees a model. Its calculators stay usable. NULL is allowed.
 *
 * Not to be called while another thread uses this handle; does not change mlff_last_error().
 *
 * @param model the caller's model, not to be used afterwards; or NULL
 *
 * @since 0.1.0
 */
void mlff_model_free(struct mlff_model *model);

/**
 * Describes a model.
 *
 * Thread-safe.
 *
 * @param model borrowed for the call
 * @param info in: struct_size; out: the rest, untouched on error
 * @return MLFF_OK or MLFF_ERROR_INVALID_ARGUMENT
 *
 * @since 0.1.0
 */
mlff_status mlff_model_get_info(const struct mlff_model *model, struct mlff_model_info *info);

/**
 * Lists the elements that a model knows, as atomic numbers, ascending.
 *
 * Thread-safe.
 *
 * @param model borrowed for the call
 * @param capacity how many entries `species` has room for; no more are written
 * @param species out: atomic numbers; may be NULL if capacity is 0
 * @param count out: how many there are, which may be more than `capacity`
 * @return MLFF_OK or MLFF_ERROR_INVALID_ARGUMENT
 *
 * @since 0.1.0
 */
mlff_status mlff_model_get_species(const struct mlff_model *model,
                                   uint32_t capacity,
                                   int32_t *species,
                                   uint32_t *count);

/**
 * Finds the atomic number that belongs to a chemical symbol.
 *
 * Thread-safe.
 *
 * @param model borrowed for the call
 * @param symbol zero-terminated, in the usual case: "O", "Cl"
 * @param atomic_number out: for example 8; untouched on error
 * @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT, or MLFF_ERROR_SPECIES if this is no element or one
 *     that the model does not know
 *
 * @since 0.1.0
 */
mlff_status mlff_model_find_species(const struct mlff_model *model,
                                    const char *symbol,
                                    int32_t *atomic_number);

/**
 * Sets an option by its name, to a value given as a word: precision to double, device to cuda:1.
 * mlff_options_describe() lists names and values.
 *
 * Thread-safe for different options.
 *
 * @param options the caller's, with struct_size set; untouched on error
 * @param name zero-terminated
 * @param value zero-terminated
 * @return MLFF_OK or MLFF_ERROR_INVALID_ARGUMENT (no option of this name, no such value)
 *
 * @since 0.1.0
 */
mlff_status mlff_options_set(struct mlff_options *options, const char *name, const char *value);

/**
 * Gives the value of an option as a word.
 *
 * Thread-safe.
 *
 * @param options borrowed for the call; NULL means the defaults
 * @param name zero-terminated
 * @param value out: the word, zero-terminated; untouched on error
 * @param size bytes that value holds; 32 are enough
 * @return MLFF_OK or MLFF_ERROR_INVALID_ARGUMENT (no option of this name, or value is too short)
 *
 * @since 0.1.0
 */
mlff_status mlff_options_get(const struct mlff_options *options,
                             const char *name,
                             char *value,
                             uint32_t size);

/**
 * Describes the options one by one: a program that lists them, or takes them from its users, needs
 * no change for new ones.
 *
 * Thread-safe.
 *
 * @param index from 0; behind the last option, info.name is NULL
 * @param info in: struct_size; out: the rest, untouched on error
 * @return MLFF_OK or MLFF_ERROR_INVALID_ARGUMENT
 *
 * @since 0.1.0
 */
mlff_status mlff_options_describe(uint32_t index, struct mlff_option_info *info);

/**
 * Makes a calculator for a model; tables are made here.
 *
 * Thread-safe.
 *
 * @param model borrowed for the call; may be freed while the calculator lives
 * @param options borrowed for the call; NULL means the defaults
 * @param calculator out: the new calculator; the caller owns it and frees it with
 *     mlff_calculator_free(). Untouched on error
 * @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT, MLFF_ERROR_UNSUPPORTED (instructions that the
 *     processor lacks; MLFF_PRECISION_DOUBLE or MLFF_FILTER_EXACT on a GPU with MLFF_ENGINE_OWN; a
 *     GPU before Turing, a driver before R525, a student that is too wide or deep for GPUs, or a
 *     library built without them; libmlff_student_torch.so not there or of another version),
 *     MLFF_ERROR_FORMAT (libtorch cannot read a TorchScript model), MLFF_ERROR_MEMORY,
 *     MLFF_ERROR_NO_DEVICE (no driver, or no GPU of that number), MLFF_ERROR_DEVICE_LOST
 *
 * @since 0.1.0
 */
mlff_status mlff_calculator_new(const struct mlff_model *model,
                                const struct mlff_options *options,
                                struct mlff_calculator **calculator);

/**
 * Frees a calculator. NULL is allowed.
 *
 * Not to be called while another call uses this handle; does not change mlff_last_error().
 *
 * @param calculator the caller's calculator, not to be used afterwards; or NULL
 *
 * @since 0.1.0
 */
void mlff_calculator_free(struct mlff_calculator *calculator);

/**
 * Describes a calculator.
 *
 * One call at a time for each calculator.
 *
 * @param calculator borrowed for the call
 * @param info in: struct_size; out: the rest, untouched on error
 * @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT or MLFF_ERROR_STATE
 *
 * @since 0.1.0
 */
mlff_status mlff_calculator_get_info(const struct mlff_calculator *calculator,
                                     struct mlff_calculator_info *info);

/**
 * Says what the last compute of a calculator found, also one that failed with MLFF_ERROR_OUTSIDE.
 * After any other failure, before the first compute and with MLFF_CHECK_OFF nothing was found.
 *
 * One call at a time for each calculator.
 *
 * @param calculator borrowed for the call
 * @param check in: struct_size; out: the rest, untouched on error
 * @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT or MLFF_ERROR_STATE
 *
 * @since 0.1.0
 */
mlff_status mlff_calculator_get_check(const struct mlff_calculator *calculator,
                                      struct mlff_check *check);

/**
 * Takes a neighbor list: checks and copies it. Call it when the list, the species or the order of
 * atoms changed, then mlff_calculator_compute() at every step.
 *
 * One call at a time for each calculator.
 *
 * @param calculator borrowed for the call
 * @param list borrowed for the call
 * @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT (among others: an index out of range, a list that
 *     is not full, a list_cutoff below the model's), MLFF_ERROR_SPECIES, MLFF_ERROR_MEMORY,
 *     MLFF_ERROR_STATE, or MLFF_ERROR_UNSUPPORTED (MLFF_ENGINE_TORCH, and a ghost that another
 *     process owns). After an error the list before stays in use
 *
 * @since 0.1.0
 */
mlff_status mlff_calculator_set_neighbor_list(struct mlff_calculator *calculator,
                                              const struct mlff_neighbor_list *list);

/**
 * Computes at new positions with the list of mlff_calculator_set_neighbor_list().
 *
 * One call at a time for each calculator. With several processes, all of them call it.
 *
 * @param calculator borrowed for the call
 * @param positions x y z of the owned atoms, then of the ghosts (Å); borrowed for the call; may be
 *     NULL without atoms
 * @param exchange see mlff_exchange_fn; may be NULL where no ghost belongs to another process
 * @param user passed to `exchange`; may be NULL
 * @param results in: struct_size and pointers; out: the results, untouched on error
 * @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT, MLFF_ERROR_NUMERIC (a position that is NaN or
 *     infinite, two atoms at one place, energy or forces that are not finite), MLFF_ERROR_MEMORY,
 *     MLFF_ERROR_CALLBACK, MLFF_ERROR_STATE (no neighbor list is set, or a structure was computed
 *     since), MLFF_ERROR_UNSUPPORTED (a driver that cannot compile the kernels),
 *     MLFF_ERROR_DEVICE_LOST, MLFF_ERROR_OUTSIDE (with MLFF_CHECK_STRICT, when all exchanges are
 *     done), or, from a TorchScript model that is not as docs/src/reference/torchscript.md
 *     describes, MLFF_ERROR_FORMAT or MLFF_ERROR_INVALID_ARGUMENT
 *
 * @since 0.1.0
 */
mlff_status mlff_calculator_compute(struct mlff_calculator *calculator,
                                    const double *positions,
                                    mlff_exchange_fn exchange,
                                    void *user,
                                    struct mlff_results *results);

/**
 * Computes a structure from its positions and cell alone. Replaces the calculator's neighbor list:
 * whatever this returns, set one again before mlff_calculator_compute().
 *
 * One call at a time for each calculator.
 *
 * @param calculator borrowed for the call
 * @param structure borrowed for the call
 * @param results in: struct_size and pointers, arrays for all atoms; out: the results, untouched
 *     on error
 * @return MLFF_OK, MLFF_ERROR_INVALID_ARGUMENT, MLFF_ERROR_SPECIES, MLFF_ERROR_NUMERIC (also a
 *     degenerate or left-handed cell), MLFF_ERROR_MEMORY, MLFF_ERROR_STATE, or another one of
 *     mlff_calculator_compute()
 *
 * @since 0.1.0
 */
mlff_status mlff_calculator_compute_structure(struct mlff_calculator *calculator,
                                              const struct mlff_structure *structure,
                                              struct mlff_results *results);

/**
 * Computes several structures, for all of them or, on error, for none. Replaces the calculator's
 * neighbor list, as mlff_calculator_compute_structure() does.
 *
 * Small structures (up to 768 atoms in all, 65,536 on a GPU, 16,384 of a student in libtorch) are
 * computed together, one such group on each thread, so this takes less time than single calls; the
 * results are the same, on a processor bit by bit. TorchScript models compute one structure at a
 * time.
 *
 * One call at a time for each calculator.
 *
 * @param calculator borrowed for the call
 * @param count number of structures; 0 is allowed
 * @param structures `count` structs with the same struct_size, which is also the distance from one
 *     to the next; borrowed for the call; may be NULL if count is 0
 * @param results likewise `count` results; out: untouched on error
 * @return as mlff_calculator_compute_structure(); mlff_last_error() names the structure
 *
 * @since 0.1.0
 */
mlff_status mlff_calculator_compute_batch(struct mlff_calculator *calculator,
                                          uint32_t count,
                                          const struct mlff_structure *structures,
                                          struct mlff_results *results);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MLFF_STUDENT_H */
