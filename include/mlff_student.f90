! SPDX-License-Identifier: MIT OR Apache-2.0
!
! Fortran on top of mlff_student.h, in two layers: the C functions and structs under their own names
! (see mlff_student.h for units, shapes, thread safety), and mlff_model_t and mlff_calculator_t.
!
!     type(mlff_model_t) :: model
!     type(mlff_calculator_t) :: calculator
!     type(mlff_results_t) :: results
!     call model%load('water.safetensors')
!     call calculator%create(model)
!     call calculator%compute_structure(species, positions, results, cell=cell)
!
! In the second layer atoms are numbered from 1, positions and forces are (3, atoms), cell(:, k) is
! lattice vector k, and virial(a, b) and stress(a, b) have row a and column b. Every call takes stat
! and errmsg; without stat a failure ends the program with the message.
!
! Compile this file with your own program (module files fit one compiler only) and link
! -lmlff_student.
module mlff_student
  use, intrinsic :: iso_c_binding
  implicit none
  private

  ! ---- Constants of mlff_student.h ---------------------------------------------------------------

  integer(c_int32_t), parameter, public :: &
    MLFF_OK = 0, &
    MLFF_ERROR_INVALID_ARGUMENT = 1, &
    MLFF_ERROR_IO = 2, &
    MLFF_ERROR_FORMAT = 3, &
    MLFF_ERROR_UNSUPPORTED = 4, &
    MLFF_ERROR_SPECIES = 5, &
    MLFF_ERROR_NUMERIC = 6, &
    MLFF_ERROR_MEMORY = 7, &
    MLFF_ERROR_CALLBACK = 8, &
    MLFF_ERROR_STATE = 9, &
    MLFF_ERROR_INTERNAL = 10, &
    MLFF_ERROR_NO_DEVICE = 11, &
    MLFF_ERROR_DEVICE_LOST = 12, &
    MLFF_ERROR_OUTSIDE = 13, &
    MLFF_DEVICE_CPU = 0, &
    MLFF_DEVICE_CUDA = 1, &
    MLFF_ENGINE_OWN = 0, &
    MLFF_ENGINE_TORCH = 1, &
    MLFF_CHECK_WARN = 0, &
    MLFF_CHECK_REPORT = 1, &
    MLFF_CHECK_STRICT = 2, &
    MLFF_CHECK_OFF = 3, &
    MLFF_PRECISION_MIXED = 0, &
    MLFF_PRECISION_DOUBLE = 1, &
    MLFF_FILTER_TABLE = 0, &
    MLFF_FILTER_EXACT = 1, &
    MLFF_ISA_BEST = 0, &
    MLFF_ISA_PORTABLE = 1, &
    MLFF_ISA_AVX2 = 2, &
    MLFF_ISA_AVX512 = 3, &
    MLFF_ARCHITECTURE_PUBLISHED = 1, &
    MLFF_ARCHITECTURE_PAINN = 2, &
    MLFF_ARCHITECTURE_SCRIPT = 3

  ! ---- Structs of mlff_student.h; set struct_size = int(c_sizeof(struct), c_int32_t) -------------

  type, bind(C), public :: mlff_model_info
    integer(c_int32_t) :: struct_size = 0
    integer(c_int32_t) :: architecture = 0
    integer(c_int32_t) :: hidden = 0
    integer(c_int32_t) :: blocks = 0
    integer(c_int32_t) :: basis = 0
    integer(c_int32_t) :: species_count = 0
    integer(c_int64_t) :: parameters = 0
    real(c_double) :: cutoff = 0
    integer(c_int32_t) :: rotation_invariant = 0
    integer(c_int32_t) :: continuous_at_cutoff = 0
    integer(c_int32_t) :: energy_range = 0
    integer(c_int32_t) :: reserved = 0
    type(c_ptr) :: architecture_name = c_null_ptr
  end type

  type, bind(C), public :: mlff_options
    integer(c_int32_t) :: struct_size = 0
    integer(c_int32_t) :: device = MLFF_DEVICE_CPU
    integer(c_int32_t) :: device_index = 0
    integer(c_int32_t) :: precision = MLFF_PRECISION_MIXED
    integer(c_int32_t) :: filter = MLFF_FILTER_TABLE
    integer(c_int32_t) :: threads = 0
    integer(c_int32_t) :: instruction_set = MLFF_ISA_BEST
    integer(c_int32_t) :: engine = MLFF_ENGINE_OWN
    integer(c_int32_t) :: check = MLFF_CHECK_WARN
    integer(c_int32_t) :: further(7) = 0
  end type

  type, bind(C), public :: mlff_option_info
    integer(c_int32_t) :: struct_size = 0
    integer(c_int32_t) :: reserved = 0
    type(c_ptr) :: name = c_null_ptr
    type(c_ptr) :: values = c_null_ptr
    type(c_ptr) :: default_value = c_null_ptr
    type(c_ptr) :: about = c_null_ptr
  end type

  type, bind(C), public :: mlff_calculator_info
    integer(c_int32_t) :: struct_size = 0
    integer(c_int32_t) :: instruction_set = 0
    integer(c_int64_t) :: memory = 0
    integer(c_int32_t) :: threads = 0
    integer(c_int32_t) :: exchanges = 0
    real(c_double) :: seconds(7) = 0
    integer(c_int32_t) :: row_bytes = 0
    integer(c_int32_t) :: reserved = 0
  end type

  type, bind(C), public :: mlff_check
    integer(c_int32_t) :: struct_size = 0
    integer(c_int32_t) :: structures = 0
    integer(c_int32_t) :: structure = 0
    integer(c_int32_t) :: reserved = 0
    integer(c_int64_t) :: outside = 0
    integer(c_int64_t) :: overlaps = 0
    integer(c_int32_t) :: atoms(8) = -1
    integer(c_int32_t) :: pairs(16) = -1
  end type

  type, bind(C), public :: mlff_neighbor_list
    integer(c_int32_t) :: struct_size = 0
    integer(c_int32_t) :: owned = 0
    integer(c_int32_t) :: ghosts = 0
    integer(c_int32_t) :: centers = 0
    type(c_ptr) :: species = c_null_ptr
    type(c_ptr) :: ilist = c_null_ptr
    type(c_ptr) :: numneigh = c_null_ptr
    type(c_ptr) :: firstneigh = c_null_ptr
    type(c_ptr) :: owner = c_null_ptr
    real(c_double) :: list_cutoff = 0
    integer(c_int32_t) :: neighbor_mask = 0
    integer(c_int32_t) :: reserved = 0
  end type

  type, bind(C), public :: mlff_results
    integer(c_int32_t) :: struct_size = 0
    integer(c_int32_t) :: reserved = 0
    real(c_double) :: energy = 0
    real(c_double) :: virial(9) = 0
    real(c_double) :: stress(9) = 0
    type(c_ptr) :: atomic_energies = c_null_ptr
    type(c_ptr) :: forces = c_null_ptr
    type(c_ptr) :: atomic_virials = c_null_ptr
  end type

  type, bind(C), public :: mlff_structure
    integer(c_int32_t) :: struct_size = 0
    integer(c_int32_t) :: atoms = 0
    type(c_ptr) :: species = c_null_ptr
    type(c_ptr) :: positions = c_null_ptr
    type(c_ptr) :: cell = c_null_ptr
    integer(c_int32_t) :: periodic(3) = 0
    integer(c_int32_t) :: reserved = 0
  end type

  ! ---- Functions of mlff_student.h ---------------------------------------------------------------

  public :: mlff_abi_version, mlff_version, mlff_last_error, mlff_last_error_atoms, mlff_status_name
  public :: mlff_device_count
  public :: mlff_model_load, mlff_model_free, mlff_model_get_info
  public :: mlff_model_get_species, mlff_model_find_species
  public :: mlff_options_set, mlff_options_get, mlff_options_describe
  public :: mlff_calculator_new, mlff_calculator_free, mlff_calculator_get_info
  public :: mlff_calculator_get_check
  public :: mlff_calculator_set_neighbor_list, mlff_calculator_compute
  public :: mlff_calculator_compute_structure, mlff_calculator_compute_batch

  interface
    integer(c_int32_t) function mlff_abi_version() bind(C)
      import :: c_int32_t
    end function

    type(c_ptr) function mlff_version() bind(C)
      import :: c_ptr
    end function

    type(c_ptr) function mlff_last_error() bind(C)
      import :: c_ptr
    end function

    integer(c_int32_t) function mlff_last_error_atoms(atoms, capacity) bind(C)
      import :: c_int32_t
      integer(c_int32_t), intent(inout) :: atoms(*)
      integer(c_int32_t), value :: capacity
    end function

    type(c_ptr) function mlff_status_name(status) bind(C)
      import :: c_ptr, c_int32_t
      integer(c_int32_t), value :: status
    end function

    integer(c_int32_t) function mlff_device_count(device, count) bind(C)
      import :: c_int32_t
      integer(c_int32_t), value :: device
      integer(c_int32_t), intent(inout) :: count
    end function

    integer(c_int32_t) function mlff_model_load(path, model) bind(C)
      import :: c_int32_t, c_ptr, c_char
      character(kind=c_char), intent(in) :: path(*)
      type(c_ptr), intent(inout) :: model
    end function

    subroutine mlff_model_free(model) bind(C)
      import :: c_ptr
      type(c_ptr), value :: model
    end subroutine

    integer(c_int32_t) function mlff_model_get_info(model, info) bind(C)
      import :: c_int32_t, c_ptr, mlff_model_info
      type(c_ptr), value :: model
      type(mlff_model_info), intent(inout) :: info
    end function

    integer(c_int32_t) function mlff_model_get_species(model, capacity, species, count) bind(C)
      import :: c_int32_t, c_ptr
      type(c_ptr), value :: model
      integer(c_int32_t), value :: capacity
      integer(c_int32_t), intent(inout) :: species(*)
      integer(c_int32_t), intent(inout) :: count
    end function

    integer(c_int32_t) function mlff_model_find_species(model, symbol, atomic_number) bind(C)
      import :: c_int32_t, c_ptr, c_char
      type(c_ptr), value :: model
      character(kind=c_char), intent(in) :: symbol(*)
      integer(c_int32_t), intent(inout) :: atomic_number
    end function

    integer(c_int32_t) function mlff_options_set(options, name, value) bind(C)
      import :: c_int32_t, c_char, mlff_options
      type(mlff_options), intent(inout) :: options
      character(kind=c_char), intent(in) :: name(*), value(*)
    end function

    integer(c_int32_t) function mlff_options_get(options, name, value, size) bind(C)
      import :: c_int32_t, c_char, mlff_options
      type(mlff_options), intent(in) :: options
      character(kind=c_char), intent(in) :: name(*)
      character(kind=c_char), intent(inout) :: value(*)
      integer(c_int32_t), value :: size
    end function

    integer(c_int32_t) function mlff_options_describe(index, info) bind(C)
      import :: c_int32_t, mlff_option_info
      integer(c_int32_t), value :: index
      type(mlff_option_info), intent(inout) :: info
    end function

    integer(c_int32_t) function mlff_calculator_new(model, options, calculator) bind(C)
      import :: c_int32_t, c_ptr, mlff_options
      type(c_ptr), value :: model
      type(mlff_options), intent(in) :: options
      type(c_ptr), intent(inout) :: calculator
    end function

    subroutine mlff_calculator_free(calculator) bind(C)
      import :: c_ptr
      type(c_ptr), value :: calculator
    end subroutine

    integer(c_int32_t) function mlff_calculator_get_info(calculator, info) bind(C)
      import :: c_int32_t, c_ptr, mlff_calculator_info
      type(c_ptr), value :: calculator
      type(mlff_calculator_info), intent(inout) :: info
    end function

    integer(c_int32_t) function mlff_calculator_get_check(calculator, check) bind(C)
      import :: c_int32_t, c_ptr, mlff_check
      type(c_ptr), value :: calculator
      type(mlff_check), intent(inout) :: check
    end function

    integer(c_int32_t) function mlff_calculator_set_neighbor_list(calculator, list) bind(C)
      import :: c_int32_t, c_ptr, mlff_neighbor_list
      type(c_ptr), value :: calculator
      type(mlff_neighbor_list), intent(in) :: list
    end function

    integer(c_int32_t) function mlff_calculator_compute(calculator, positions, exchange, user, results) &
        bind(C)
      import :: c_int32_t, c_ptr, c_funptr, c_double, mlff_results
      type(c_ptr), value :: calculator
      real(c_double), intent(in) :: positions(*)
      type(c_funptr), value :: exchange
      type(c_ptr), value :: user
      type(mlff_results), intent(inout) :: results
    end function

    integer(c_int32_t) function mlff_calculator_compute_structure(calculator, structure, results) bind(C)
      import :: c_int32_t, c_ptr, mlff_structure, mlff_results
      type(c_ptr), value :: calculator
      type(mlff_structure), intent(in) :: structure
      type(mlff_results), intent(inout) :: results
    end function

    integer(c_int32_t) function mlff_calculator_compute_batch(calculator, count, structures, results) &
        bind(C)
      import :: c_int32_t, c_ptr, mlff_structure, mlff_results
      type(c_ptr), value :: calculator
      integer(c_int32_t), value :: count
      type(mlff_structure), intent(in) :: structures(*)
      type(mlff_results), intent(inout) :: results(*)
    end function
  end interface

  ! ---- Fortran types -----------------------------------------------------------------------------

  !> A student. Frees itself at the end of its scope; cannot be assigned.
  type, public :: mlff_model_t
    private
    type(c_ptr) :: handle = c_null_ptr
  contains
    procedure, public :: load => model_load
    procedure, public :: get_info => model_get_info
    procedure, public :: get_species => model_get_species
    procedure, public :: find_species => model_find_species
    procedure, public :: destroy => model_destroy
    procedure :: refuse_copy => model_refuse_copy
    generic, public :: assignment(=) => refuse_copy
    final :: model_final
  end type

  !> What the last compute found that the student did not learn; see mlff_check. Atoms are numbered
  !> from 1. Only the first ones are named, at most 8.
  type, public :: mlff_check_t
    !> How many atoms are outside, and the first ones, ascending.
    integer(c_int64_t) :: outside = 0
    integer, allocatable :: atoms(:)
    !> How many pairs of atoms overlap, and the first ones, (2, pairs).
    integer(c_int64_t) :: overlaps = 0
    integer, allocatable :: pairs(:, :)
  end type

  !> What a computation gives; see mlff_results.
  type, public :: mlff_results_t
    !> Sum of the owned atoms' energies (eV).
    real(c_double) :: energy = 0
    !> eV, positive pushes outward.
    real(c_double) :: virial(3, 3) = 0
    !> eV/Angstrom^3, positive = tension; zeros unless periodic in three directions.
    real(c_double) :: stress(3, 3) = 0
    !> eV, one for each owned atom.
    real(c_double), allocatable :: atomic_energies(:)
    !> eV/Angstrom, (3, owned).
    real(c_double), allocatable :: forces(:, :)
    !> eV, (3, 3, owned); not allocated where compute was not asked for it.
    real(c_double), allocatable :: atomic_virials(:, :, :)
  end type

  !> Extend it to give ghosts the rows of their owners in other processes; see mlff_exchange_fn.
  type, abstract, public :: mlff_exchange_t
  contains
    procedure(mlff_forward), deferred :: forward
  end type

  abstract interface
    !> rows(:, atom) is the row of owned atom or ghost `atom`, in units of 8 bytes; on return every
    !> ghost's row equals its owner's. stat /= 0 ends the compute with MLFF_ERROR_CALLBACK.
    subroutine mlff_forward(self, rows, stat)
      import :: mlff_exchange_t, c_int64_t
      class(mlff_exchange_t), intent(inout) :: self
      integer(c_int64_t), intent(inout) :: rows(:, :)
      integer, intent(out) :: stat
    end subroutine
  end interface
  public :: mlff_forward

  !> Evaluates one model. Frees itself at the end of its scope; cannot be assigned.
  type, public :: mlff_calculator_t
    private
    type(c_ptr) :: handle = c_null_ptr
    logical :: has_neighbor_list = .false.
    integer :: owned = 0
    integer :: ghosts = 0
  contains
    procedure, public :: create => calculator_create
    procedure, public :: get_info => calculator_get_info
    procedure, public :: get_check => calculator_get_check
    procedure, public :: set_neighbor_list => calculator_set_neighbor_list
    procedure, public :: compute => calculator_compute
    procedure, public :: compute_structure => calculator_compute_structure
    procedure, public :: destroy => calculator_destroy
    procedure :: refuse_copy => calculator_refuse_copy
    generic, public :: assignment(=) => refuse_copy
    final :: calculator_final
  end type

  !> What the callback gets as its user pointer.
  type :: exchange_box
    class(mlff_exchange_t), pointer :: exchange => null()
    integer :: atoms = 0
  end type

  public :: mlff_message

  interface
    integer(c_size_t) function strlen(string) bind(C)
      import :: c_size_t, c_ptr
      type(c_ptr), value :: string
    end function
  end interface

contains

  !> The message of this thread's last failing call.
  function mlff_message() result(message)
    character(:), allocatable :: message
    character(kind=c_char), pointer :: bytes(:)
    type(c_ptr) :: string
    integer :: i

    string = mlff_last_error()
    call c_f_pointer(string, bytes, [strlen(string)])
    allocate (character(size(bytes)) :: message)
    do i = 1, size(bytes)
      message(i:i) = bytes(i)
    end do
  end function

  ! gfortran loses the length of an optional string of deferred length that is passed on as
  ! optional, so errmsg is set by whoever got it.

  !> Hands a status to the caller, or ends the program if the caller does not take it.
  subroutine finish(status, stat)
    integer(c_int32_t), intent(in) :: status
    integer, intent(out), optional :: stat

    if (present(stat)) stat = int(status)
    if (status /= MLFF_OK .and. .not. present(stat)) error stop 'mlff_student: ' // mlff_message()
  end subroutine

  !> The message of a call that failed.
  subroutine tell(status, errmsg)
    integer(c_int32_t), intent(in) :: status
    character(:), allocatable, intent(inout) :: errmsg

    if (status /= MLFF_OK) errmsg = mlff_message()
  end subroutine

  !> As `finish`, for what this module itself refuses.
  subroutine refuse(message, stat, status)
    character(*), intent(in) :: message
    integer, intent(out), optional :: stat
    integer(c_int32_t), intent(in), optional :: status

    if (.not. present(stat)) error stop 'mlff_student: ' // message
    stat = MLFF_ERROR_INVALID_ARGUMENT
    if (present(status)) stat = status
  end subroutine

  ! ---- Models ------------------------------------------------------------------------------------

  !> Reads a file; an earlier model of this variable is freed.
  subroutine model_load(self, path, stat, errmsg)
    class(mlff_model_t), intent(inout) :: self
    character(*), intent(in) :: path
    integer, intent(out), optional :: stat
    character(:), allocatable, intent(inout), optional :: errmsg
    type(c_ptr) :: handle
    integer(c_int32_t) :: status

    handle = c_null_ptr
    status = mlff_model_load(trim(path) // c_null_char, handle)
    if (status == MLFF_OK) then
      call self%destroy()
      self%handle = handle
    end if
    if (present(errmsg)) call tell(status, errmsg)
    call finish(status, stat)
  end subroutine

  subroutine model_get_info(self, info, stat, errmsg)
    class(mlff_model_t), intent(in) :: self
    type(mlff_model_info), intent(inout) :: info
    integer, intent(out), optional :: stat
    character(:), allocatable, intent(inout), optional :: errmsg
    integer(c_int32_t) :: status

    info%struct_size = int(c_sizeof(info), c_int32_t)
    status = mlff_model_get_info(self%handle, info)
    if (present(errmsg)) call tell(status, errmsg)
    call finish(status, stat)
  end subroutine

  !> Atomic numbers that the model knows, ascending.
  subroutine model_get_species(self, species, stat, errmsg)
    class(mlff_model_t), intent(in) :: self
    integer(c_int32_t), allocatable, intent(inout) :: species(:)
    integer, intent(out), optional :: stat
    character(:), allocatable, intent(inout), optional :: errmsg
    integer(c_int32_t) :: none(1), count, status

    count = 0
    status = mlff_model_get_species(self%handle, 0_c_int32_t, none, count)
    if (status == MLFF_OK) then
      if (allocated(species)) deallocate (species)
      allocate (species(count))
      status = mlff_model_get_species(self%handle, count, species, count)
    end if
    if (present(errmsg)) call tell(status, errmsg)
    call finish(status, stat)
  end subroutine

  !> The atomic number of a chemical symbol, if the model knows it.
  subroutine model_find_species(self, symbol, atomic_number, stat, errmsg)
    class(mlff_model_t), intent(in) :: self
    character(*), intent(in) :: symbol
    integer(c_int32_t), intent(inout) :: atomic_number
    integer, intent(out), optional :: stat
    character(:), allocatable, intent(inout), optional :: errmsg
    integer(c_int32_t) :: status

    status = mlff_model_find_species(self%handle, trim(symbol) // c_null_char, atomic_number)
    if (present(errmsg)) call tell(status, errmsg)
    call finish(status, stat)
  end subroutine

  subroutine model_destroy(self)
    class(mlff_model_t), intent(inout) :: self

    call mlff_model_free(self%handle)
    self%handle = c_null_ptr
  end subroutine

  subroutine model_final(self)
    type(mlff_model_t), intent(inout) :: self

    call self%destroy()
  end subroutine

  ! Two variables with one handle would free it twice.
  subroutine model_refuse_copy(self, other)
    class(mlff_model_t), intent(inout) :: self
    type(mlff_model_t), intent(in) :: other

    if (c_associated(self%handle, other%handle)) return
    error stop 'mlff_student: a mlff_model_t cannot be assigned: pass it as an argument, or load it twice'
  end subroutine

  ! ---- Calculators -------------------------------------------------------------------------------

  !> A calculator for a model, which may end before it; an earlier one of this variable is freed.
  subroutine calculator_create(self, model, options, stat, errmsg)
    class(mlff_calculator_t), intent(inout) :: self
    type(mlff_model_t), intent(in) :: model
    type(mlff_options), intent(in), optional :: options
    integer, intent(out), optional :: stat
    character(:), allocatable, intent(inout), optional :: errmsg
    type(mlff_options) :: given
    type(c_ptr) :: handle
    integer(c_int32_t) :: status

    if (present(options)) given = options
    given%struct_size = int(c_sizeof(given), c_int32_t)
    handle = c_null_ptr
    status = mlff_calculator_new(model%handle, given, handle)
    if (status == MLFF_OK) then
      call self%destroy()
      self%handle = handle
    end if
    if (present(errmsg)) call tell(status, errmsg)
    call finish(status, stat)
  end subroutine

  subroutine calculator_get_info(self, info, stat, errmsg)
    class(mlff_calculator_t), intent(in) :: self
    type(mlff_calculator_info), intent(inout) :: info
    integer, intent(out), optional :: stat
    character(:), allocatable, intent(inout), optional :: errmsg
    integer(c_int32_t) :: status

    info%struct_size = int(c_sizeof(info), c_int32_t)
    status = mlff_calculator_get_info(self%handle, info)
    if (present(errmsg)) call tell(status, errmsg)
    call finish(status, stat)
  end subroutine

  !> What the last compute found, also one that failed with MLFF_ERROR_OUTSIDE.
  subroutine calculator_get_check(self, check, stat, errmsg)
    class(mlff_calculator_t), intent(in) :: self
    type(mlff_check_t), intent(inout) :: check
    integer, intent(out), optional :: stat
    character(:), allocatable, intent(inout), optional :: errmsg
    type(mlff_check) :: raw
    integer(c_int32_t) :: status

    raw%struct_size = int(c_sizeof(raw), c_int32_t)
    status = mlff_calculator_get_check(self%handle, raw)
    if (status == MLFF_OK) then
      check%outside = raw%outside
      check%overlaps = raw%overlaps
      check%atoms = pack(raw%atoms, raw%atoms >= 0) + 1
      check%pairs = reshape(pack(raw%pairs, raw%pairs >= 0) + 1, [2, count(raw%pairs >= 0) / 2])
    end if
    if (present(errmsg)) call tell(status, errmsg)
    call finish(status, stat)
  end subroutine

  !> Takes a full neighbor list of the first size(first) - 1 atoms, the owned ones; the atoms after
  !> them are ghosts. neighbors(first(i):first(i + 1) - 1) are the neighbors of atom i, numbered
  !> from 1. owner(k) is the owned atom that ghost k is a copy of, 0 if that belongs to another process;
  !> without owner all ghosts belong to other processes.
  subroutine calculator_set_neighbor_list(self, species, first, neighbors, list_cutoff, owner, stat, errmsg)
    class(mlff_calculator_t), intent(inout) :: self
    integer(c_int32_t), intent(in), contiguous, target :: species(:)
    integer, intent(in) :: first(:)
    integer(c_int32_t), intent(in) :: neighbors(:)
    real(c_double), intent(in) :: list_cutoff
    integer(c_int32_t), intent(in), optional :: owner(:)
    integer, intent(out), optional :: stat
    character(:), allocatable, intent(inout), optional :: errmsg
    character(*), parameter :: SIZES = 'first needs one entry for each owned atom and one more, and species one for &
      &each owned atom and ghost'
    character(*), parameter :: ASCENDING = 'first must ascend from 1 to at most size(neighbors) + 1'
    character(*), parameter :: OWNERS = 'owner needs one entry for each ghost'
    type(mlff_neighbor_list) :: list
    integer(c_int32_t), allocatable, target :: from_zero(:), lengths(:), owner_of(:)
    type(c_ptr), allocatable, target :: lists(:)
    integer(c_int32_t) :: status
    integer :: i, owned, ghosts

    owned = size(first) - 1
    ghosts = size(species) - owned
    if (owned < 0 .or. ghosts < 0) then
      if (present(errmsg)) errmsg = SIZES
      call refuse(SIZES, stat)
      return
    end if
    if (any(first(:owned) > first(2:)) .or. first(1) < 1 .or. first(owned + 1) - 1 > size(neighbors)) then
      if (present(errmsg)) errmsg = ASCENDING
      call refuse(ASCENDING, stat)
      return
    end if
    allocate (from_zero(size(neighbors)), lengths(owned), lists(owned), owner_of(ghosts))
    from_zero(:) = neighbors - 1
    do i = 1, owned
      lengths(i) = int(first(i + 1) - first(i), c_int32_t)
      lists(i) = c_null_ptr
      if (lengths(i) > 0) lists(i) = c_loc(from_zero(first(i)))
    end do
    owner_of(:) = -1
    if (present(owner)) then
      if (size(owner) /= ghosts) then
        if (present(errmsg)) errmsg = OWNERS
        call refuse(OWNERS, stat)
        return
      end if
      owner_of(:) = owner - 1
    end if

    list%struct_size = int(c_sizeof(list), c_int32_t)
    list%owned = int(owned, c_int32_t)
    list%ghosts = int(ghosts, c_int32_t)
    list%centers = list%owned
    if (size(species) > 0) list%species = c_loc(species)
    if (owned > 0) then
      list%numneigh = c_loc(lengths)
      list%firstneigh = c_loc(lists)
    end if
    if (ghosts > 0) list%owner = c_loc(owner_of)
    list%list_cutoff = list_cutoff
    status = mlff_calculator_set_neighbor_list(self%handle, list)
    if (status == MLFF_OK) then
      self%owned = owned
      self%has_neighbor_list = .true.
      self%ghosts = ghosts
    end if
    if (present(errmsg)) call tell(status, errmsg)
    call finish(status, stat)
  end subroutine

  !> Computes with the neighbor list at positions(3, owned + ghosts). results%atomic_virials is
  !> allocated where atomic_virials asks for it; that takes a little time.
  subroutine calculator_compute(self, positions, results, exchange, stat, errmsg, atomic_virials)
    class(mlff_calculator_t), intent(inout) :: self
    real(c_double), intent(in), contiguous :: positions(:, :)
    type(mlff_results_t), intent(inout) :: results
    class(mlff_exchange_t), intent(inout), optional, target :: exchange
    integer, intent(out), optional :: stat
    character(:), allocatable, intent(inout), optional :: errmsg
    logical, intent(in), optional :: atomic_virials
    character(*), parameter :: SHAPE_OF_POSITIONS = 'positions must be (3, owned + ghosts) of the list'
    character(*), parameter :: NO_NEIGHBOR_LIST = 'no neighbor list is set: call set_neighbor_list first, and again ' // &
      'after compute_structure, which replaces the list'
    type(mlff_results_t), target :: found
    type(mlff_results) :: raw
    type(exchange_box), target :: box
    type(c_funptr) :: callback
    integer(c_int32_t) :: status
    logical :: with_virials

    ! What is no calculator the library refuses.
    if (c_associated(self%handle) .and. .not. self%has_neighbor_list) then
      if (present(errmsg)) errmsg = NO_NEIGHBOR_LIST
      call refuse(NO_NEIGHBOR_LIST, stat, MLFF_ERROR_STATE)
      return
    end if
    if (size(positions, 1) /= 3 .or. size(positions, 2) /= self%owned + self%ghosts) then
      if (present(errmsg)) errmsg = SHAPE_OF_POSITIONS
      call refuse(SHAPE_OF_POSITIONS, stat)
      return
    end if
    callback = c_null_funptr
    if (present(exchange)) then
      box%exchange => exchange
      box%atoms = self%owned + self%ghosts
      callback = c_funloc(forward)
    end if
    with_virials = .false.
    if (present(atomic_virials)) with_virials = atomic_virials
    call prepare(found, self%owned, with_virials, raw)
    status = mlff_calculator_compute(self%handle, positions, callback, c_loc(box), raw)
    if (status == MLFF_OK) call take(found, raw, results)
    if (present(errmsg)) call tell(status, errmsg)
    call finish(status, stat)
  end subroutine

  !> Computes a structure without a neighbor list; replaces the list. periodic is true in all
  !> directions where a cell is given, unless it says otherwise.
  subroutine calculator_compute_structure(self, species, positions, results, cell, periodic, stat, errmsg)
    class(mlff_calculator_t), intent(inout) :: self
    integer(c_int32_t), intent(in), contiguous, target :: species(:)
    real(c_double), intent(in), contiguous, target :: positions(:, :)
    type(mlff_results_t), intent(inout) :: results
    real(c_double), intent(in), optional :: cell(3, 3)
    logical, intent(in), optional :: periodic(3)
    integer, intent(out), optional :: stat
    character(:), allocatable, intent(inout), optional :: errmsg
    character(*), parameter :: SHAPE_OF_POSITIONS = 'positions must be (3, size(species))'
    type(mlff_results_t), target :: found
    type(mlff_results) :: raw
    type(mlff_structure) :: structure
    real(c_double), target :: vectors(3, 3)
    integer(c_int32_t) :: status

    if (size(positions, 1) /= 3 .or. size(positions, 2) /= size(species)) then
      if (present(errmsg)) errmsg = SHAPE_OF_POSITIONS
      call refuse(SHAPE_OF_POSITIONS, stat)
      return
    end if
    structure%struct_size = int(c_sizeof(structure), c_int32_t)
    structure%atoms = size(species, kind=c_int32_t)
    if (size(species) > 0) then
      structure%species = c_loc(species)
      structure%positions = c_loc(positions)
    end if
    if (present(cell)) then
      vectors = cell
      structure%cell = c_loc(vectors)
      structure%periodic = 1
    end if
    if (present(periodic)) structure%periodic = merge(1_c_int32_t, 0_c_int32_t, periodic)
    call prepare(found, size(species), .true., raw)
    self%has_neighbor_list = .false.
    status = mlff_calculator_compute_structure(self%handle, structure, raw)
    if (status == MLFF_OK) call take(found, raw, results)
    if (present(errmsg)) call tell(status, errmsg)
    call finish(status, stat)
  end subroutine

  subroutine calculator_destroy(self)
    class(mlff_calculator_t), intent(inout) :: self

    call mlff_calculator_free(self%handle)
    self%handle = c_null_ptr
    self%has_neighbor_list = .false.
    self%owned = 0
    self%ghosts = 0
  end subroutine

  subroutine calculator_final(self)
    type(mlff_calculator_t), intent(inout) :: self

    call self%destroy()
  end subroutine

  subroutine calculator_refuse_copy(self, other)
    class(mlff_calculator_t), intent(inout) :: self
    type(mlff_calculator_t), intent(in) :: other

    if (c_associated(self%handle, other%handle)) return
    error stop 'mlff_student: a mlff_calculator_t cannot be assigned: pass it as an argument, or create two'
  end subroutine

  !> Room for the results of `owned` atoms, and the struct that points to it.
  subroutine prepare(found, owned, with_virials, raw)
    type(mlff_results_t), intent(inout), target :: found
    integer, intent(in) :: owned
    logical, intent(in) :: with_virials
    type(mlff_results), intent(inout) :: raw

    allocate (found%atomic_energies(owned), found%forces(3, owned))
    if (with_virials) allocate (found%atomic_virials(3, 3, owned))
    raw%struct_size = int(c_sizeof(raw), c_int32_t)
    if (owned > 0) then
      raw%atomic_energies = c_loc(found%atomic_energies)
      raw%forces = c_loc(found%forces)
      if (with_virials) raw%atomic_virials = c_loc(found%atomic_virials)
    end if
  end subroutine

  !> Moves what was found to the caller. C's matrices are stored row by row.
  subroutine take(found, raw, results)
    type(mlff_results_t), intent(inout) :: found
    type(mlff_results), intent(in) :: raw
    type(mlff_results_t), intent(inout) :: results
    integer :: i

    results%energy = raw%energy
    results%virial = transpose(reshape(raw%virial, [3, 3]))
    results%stress = transpose(reshape(raw%stress, [3, 3]))
    if (allocated(found%atomic_virials)) then
      do i = 1, size(found%atomic_virials, 3)
        found%atomic_virials(:, :, i) = transpose(found%atomic_virials(:, :, i))
      end do
    end if
    call move_alloc(found%atomic_energies, results%atomic_energies)
    call move_alloc(found%forces, results%forces)
    call move_alloc(found%atomic_virials, results%atomic_virials)
  end subroutine

  !> The C callback of an mlff_exchange_t.
  integer(c_int32_t) function forward(user, rows, row_bytes) bind(C, name='')
    type(c_ptr), value :: user
    type(c_ptr), value :: rows
    integer(c_int32_t), value :: row_bytes
    type(exchange_box), pointer :: box
    integer(c_int64_t), pointer :: values(:, :)
    integer :: stat

    call c_f_pointer(user, box)
    call c_f_pointer(rows, values, [int(row_bytes / 8), box%atoms])
    call box%exchange%forward(values, stat)
    forward = int(stat, c_int32_t)
  end function

end module mlff_student
