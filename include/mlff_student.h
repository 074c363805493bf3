/* CONTRACT DRAFT - the generated header replaces this file. Symbols, fields and semantics are fixed. */
#ifndef MLFF_STUDENT_H
#define MLFF_STUDENT_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define MLFF_ABI_VERSION 0x00000100u   /* major << 16 | minor << 8 | patch:  0.1.0 */

typedef int32_t mlff_status;
enum { MLFF_OK = 0, MLFF_ERROR_INVALID_ARGUMENT = 1, MLFF_ERROR_IO = 2, MLFF_ERROR_FORMAT = 3, MLFF_ERROR_UNSUPPORTED = 4,
       MLFF_ERROR_SPECIES = 5, MLFF_ERROR_NUMERIC = 6, MLFF_ERROR_MEMORY = 7, MLFF_ERROR_CALLBACK = 8, MLFF_ERROR_STATE = 9,
       MLFF_ERROR_INTERNAL = 10 /* a panic */, MLFF_ERROR_NO_DEVICE = 11, MLFF_ERROR_DEVICE_LOST = 12 };
enum { MLFF_DEVICE_CPU = 0, MLFF_DEVICE_CUDA = 1 };            /* int32_t fields */
enum { MLFF_PRECISION_MIXED = 0, MLFF_PRECISION_DOUBLE = 1 };
enum { MLFF_FILTER_TABLE = 0, MLFF_FILTER_EXACT = 1 };
enum { MLFF_ISA_BEST = 0, MLFF_ISA_PORTABLE = 1, MLFF_ISA_AVX2 = 2, MLFF_ISA_AVX512 = 3 };
enum { MLFF_ARCHITECTURE_PUBLISHED = 1, MLFF_ARCHITECTURE_PAINN = 2 };

typedef struct mlff_model mlff_model;            /* immutable, shareable between threads; calculators keep it alive */
typedef struct mlff_calculator mlff_calculator;  /* workspace on one device, one per thread */

uint32_t    mlff_abi_version(void);
const char *mlff_version(void);                  /* "0.1.0", static */
const char *mlff_last_error(void);               /* this thread's last failing call; "" before any; never NULL */
const char *mlff_status_name(mlff_status status);/* "MLFF_ERROR_IO", static */

mlff_status mlff_model_load(const char *path, mlff_model **model);
void        mlff_model_free(mlff_model *model);

typedef struct mlff_model_info {   /* out; caller sets struct_size */
  uint32_t struct_size;
  int32_t  architecture;           /* MLFF_ARCHITECTURE_* */
  uint32_t hidden;
  uint32_t blocks;
  uint32_t basis;
  uint32_t species_count;
  uint64_t parameters;
  double   cutoff;                 /* A */
  int32_t  rotation_invariant;     /* 0 or 1: property of the architecture */
  int32_t  continuous_at_cutoff;   /* 0 or 1 */
} mlff_model_info;
mlff_status mlff_model_get_info(const mlff_model *model, mlff_model_info *info);
/* atomic numbers the model knows, ascending; writes at most capacity; *count = how many there are. species may be NULL if capacity 0 */
mlff_status mlff_model_get_species(const mlff_model *model, uint32_t capacity, int32_t *species, uint32_t *count);
/* atomic number for a chemical symbol ("O" -> 8); MLFF_ERROR_SPECIES if it is no element, or the model lacks it */
mlff_status mlff_model_find_species(const mlff_model *model, const char *symbol, int32_t *atomic_number);

typedef struct mlff_options {      /* zero-filled but for struct_size = defaults; NULL = defaults */
  uint32_t struct_size;
  int32_t  device;
  int32_t  device_index;
  int32_t  precision;
  int32_t  filter;
  uint32_t threads;                /* 0 = 1 thread */
  int32_t  instruction_set;
  uint32_t reserved;               /* must be 0 */
} mlff_options;
mlff_status mlff_calculator_new(const mlff_model *model, const mlff_options *options, mlff_calculator **calculator);
void        mlff_calculator_free(mlff_calculator *calculator);

typedef struct mlff_calculator_info {  /* out */
  uint32_t struct_size;
  int32_t  instruction_set;        /* in use; 0 for precision double */
  uint64_t memory;                 /* bytes allocated by this calculator */
  uint32_t threads;
  uint32_t exchanges;              /* exchange callbacks per compute */
  double   seconds[6];             /* spent since creation in: topology, pairs (distances), messages (pair kernels), atoms (dense layers), exchange, rest */
} mlff_calculator_info;
mlff_status mlff_calculator_get_info(const mlff_calculator *calculator, mlff_calculator_info *info);

typedef struct mlff_topology {
  uint32_t struct_size;
  int32_t  owned;                  /* nlocal */
  int32_t  ghosts;                 /* nghost */
  int32_t  centers;                /* inum */
  const int32_t *species;          /* owned + ghosts atomic numbers; <= 0: not part of this model */
  const int32_t *ilist;            /* centers entries; NULL: atoms 0..centers-1 */
  const int32_t *numneigh;         /* by ATOM index, as in LAMMPS */
  const int32_t *const *firstneigh;/* by ATOM index, as in LAMMPS */
  const int32_t *owner;            /* ghosts entries, -1 = on another rank; or NULL: all on other ranks */
  double   list_cutoff;            /* A; list and ghost shell are complete up to here; >= model cutoff */
  uint32_t neighbor_mask;          /* bits of an entry that are its index (LAMMPS NEIGHMASK); 0 = all */
  uint32_t reserved;
} mlff_topology;
mlff_status mlff_calculator_set_topology(mlff_calculator *calculator, const mlff_topology *topology);

/* rows: (owned + ghosts) rows of row_bytes bytes each (a multiple of 8), in the order of the topology; on entry owners' rows are filled,
   on return every ghost's row must equal its owner's. Non-zero return -> MLFF_ERROR_CALLBACK. Called calculator_info.exchanges times per compute. */
typedef int32_t (*mlff_exchange_fn)(void *user, void *rows, uint32_t row_bytes);
typedef struct mlff_results {      /* out, caller sets struct_size and the pointers it wants; untouched on error */
  uint32_t struct_size;
  uint32_t reserved;
  double   energy;                 /* eV, owned atoms */
  double   virial[9];              /* eV, row by row, positive pushes outward; symmetric part = -dE/dstrain */
  double   stress[9];              /* eV/A^3, symmetric, positive = tension; structure calls with 3 periodic directions only, else zeros */
  double  *atomic_energies;        /* owned, or NULL */
  double  *forces;                 /* owned x 3, or NULL; assigned, not added */
  double  *atomic_virials;         /* owned x 9, or NULL; sum = virial */
} mlff_results;
/* positions: (owned + ghosts) x 3, A. exchange NULL where no ghost lives on another rank */
mlff_status mlff_calculator_compute(mlff_calculator *calculator, const double *positions, mlff_exchange_fn exchange, void *user, mlff_results *results);

typedef struct mlff_structure {
  uint32_t struct_size;
  int32_t  atoms;
  const int32_t *species;          /* atoms; all must be known */
  const double  *positions;        /* atoms x 3, A, inside the cell or not */
  const double  *cell;             /* 9, rows are lattice vectors, A; NULL = none */
  int32_t  periodic[3];
  uint32_t reserved;
} mlff_structure;
mlff_status mlff_calculator_compute_structure(mlff_calculator *calculator, const mlff_structure *structure, mlff_results *results);
mlff_status mlff_calculator_compute_batch(mlff_calculator *calculator, uint32_t count, const mlff_structure *structures, mlff_results *results);
#ifdef __cplusplus
}
#endif
#endif
