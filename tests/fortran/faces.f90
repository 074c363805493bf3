! What the Fortran module's own types do.
!
!     ./faces MODEL
module test_exchange
  use, intrinsic :: iso_c_binding, only: c_int64_t
  use mlff_student, only: mlff_exchange_t
  implicit none

  !> Atom 4 is a ghost of atom 1.
  type, extends(mlff_exchange_t) :: copy_t
    integer :: calls = 0
    integer :: fail_at = 0
  contains
    procedure :: forward
  end type

contains

  subroutine forward(self, rows, stat)
    class(copy_t), intent(inout) :: self
    integer(c_int64_t), intent(inout) :: rows(:, :)
    integer, intent(out) :: stat

    rows(:, 4) = rows(:, 1)
    self%calls = self%calls + 1
    stat = merge(1, 0, self%calls == self%fail_at)
  end subroutine
end module

program faces
  use, intrinsic :: iso_c_binding
  use mlff_student
  use test_exchange
  implicit none

  integer(c_int32_t), parameter :: species(4) = [8, 1, 1, 8]
  real(c_double), parameter :: positions(3, 4) = reshape([ &
    0.0_c_double, 0.0_c_double, 0.0_c_double, &
    0.96_c_double, 0.0_c_double, 0.0_c_double, &
    -0.24_c_double, 0.93_c_double, 0.0_c_double, &
    6.5_c_double, 0.0_c_double, 0.0_c_double], [3, 4])
  integer, parameter :: first(4) = [1, 3, 6, 8]
  integer(c_int32_t), parameter :: neighbors(7) = [2, 3, 1, 3, 4, 1, 2]

  type(mlff_model_t) :: model
  type(mlff_calculator_t) :: calculator, refusing
  type(mlff_model_info) :: info
  type(mlff_calculator_info) :: used
  type(mlff_options) :: options, strict
  type(mlff_check_t) :: check
  type(mlff_results_t) :: alone, found
  type(copy_t) :: exchange
  integer(c_int32_t), allocatable :: known(:)
  integer(c_int32_t) :: number
  character(4096) :: path
  character(:), allocatable :: message
  real(c_double) :: cell(3, 3), near(3, 3)
  integer :: stat, failures, i

  failures = 0
  call get_command_argument(1, path)

  call model%load('missing.pt', stat, message)
  call expect(MLFF_ERROR_IO, 'missing.pt')
  call model%load(path)
  call model%get_info(info)
  call require(info%blocks == 2 .and. abs(info%cutoff - 5) < 1e-12_c_double, 'info of the 21k student')
  call model%get_species(known)
  call require(size(known) == info%species_count .and. known(1) == 1, 'species')
  call model%find_species('Cl', number)
  call require(number == 17, 'find_species')
  call model%find_species('Og', number, stat, message)
  call expect(MLFF_ERROR_SPECIES, 'Og')
  call require(number == 17, 'untouched on error')

  options%device = MLFF_DEVICE_CUDA
  options%struct_size = int(c_sizeof(options), c_int32_t)
  call require(mlff_options_set(options, 'precision'//c_null_char, 'double'//c_null_char) == MLFF_OK &
      .and. options%precision == MLFF_PRECISION_DOUBLE, 'an option by its name')
  call calculator%create(model, options, stat, message)
  call expect(MLFF_ERROR_UNSUPPORTED, 'device cpu')
  options%device = MLFF_DEVICE_CPU
  call calculator%compute_structure(species(:3), positions(:, :3), alone, stat=stat, errmsg=message)
  call expect(MLFF_ERROR_INVALID_ARGUMENT, 'calculator')
  call calculator%create(model, options)
  call calculator%get_info(used)

  call calculator%compute_structure(species(:3), positions(:, :3), alone)
  call require(abs(sum(alone%atomic_energies) - alone%energy) < 1e-12_c_double, 'atomic energies')
  call require(maxval(abs(sum(alone%atomic_virials, 3) - alone%virial)) < 1e-12_c_double, 'atomic virials')
  call require(all(shape(alone%forces) == [3, 3]), 'shape of the forces')
  ! Oxygen and the first hydrogen, 0.4 Angstrom apart: half of the sum of their radii is 0.485.
  near = positions(:, :3)
  near(1, 2) = 0.4_c_double
  call calculator%get_check(check)
  call require(check%overlaps == 0 .and. size(check%pairs, 2) == 0, 'no overlaps in water')
  call require(check%outside == 0 .and. size(check%atoms) == 0, 'no atom outside in water')
  strict%check = MLFF_CHECK_STRICT
  call refusing%create(model, strict)
  call model%destroy()
  call refusing%compute_structure(species(:3), near, found, stat=stat, errmsg=message)
  call expect(MLFF_ERROR_OUTSIDE, 'atoms 0 and 1')
  call refusing%get_check(check)
  call require(check%overlaps == 1 .and. all(shape(check%pairs) == [2, 1]), 'one pair')
  call require(all(check%pairs(:, 1) == [1, 2]), 'atoms are numbered from 1')
  call require(check%outside == size(check%atoms), 'all atoms outside are named')
  call refusing%compute_structure(species(:3), positions(:, :3), found)
  call refusing%destroy()
  call refusing%get_check(check, stat, message)
  call expect(MLFF_ERROR_INVALID_ARGUMENT, 'calculator')
  call calculator%compute_structure(species(:2), positions(:, :3), found, stat=stat, errmsg=message)
  call expect(MLFF_ERROR_INVALID_ARGUMENT, 'size(species)')
  cell = 0
  do i = 1, 3
    cell(i, i) = 9
  end do
  call calculator%compute_structure(species(:3), positions(:, :3), found, cell)
  call require(abs(found%stress(1, 1)) > 0, 'stress in a cell')
  ! Tension pulls inward where the virial pushes outward.
  call require(maxval(abs(found%stress + (found%virial + transpose(found%virial)) / (2 * 9.0_c_double**3))) &
    < 1e-14_c_double, 'stress = -virial / volume')
  call calculator%compute_structure(species(:3), positions(:, :3), found, cell, [.true., .false., .true.])
  call require(.not. maxval(abs(found%stress)) > 0, 'no stress for a slab')

  call calculator%set_neighbor_list(species, first, neighbors, 4.0_c_double, stat=stat, errmsg=message)
  call expect(MLFF_ERROR_INVALID_ARGUMENT, '5')
  call calculator%set_neighbor_list(species, first - 1, neighbors, 6.0_c_double, stat=stat, errmsg=message)
  call expect(MLFF_ERROR_INVALID_ARGUMENT, 'first must')
  call calculator%set_neighbor_list(species, first, neighbors + 9, 6.0_c_double, stat=stat, errmsg=message)
  call expect(MLFF_ERROR_INVALID_ARGUMENT, 'out of range')
  call calculator%set_neighbor_list(species, first, neighbors, 6.0_c_double)
  call calculator%compute(positions, found, stat=stat, errmsg=message)
  call expect(MLFF_ERROR_INVALID_ARGUMENT, 'exchange')
  call calculator%compute(positions, found, exchange)
  call require(exchange%calls == used%exchanges, 'number of exchanges')
  call require(abs(found%energy - alone%energy) < 1e-10_c_double, 'energy with a list')
  call require(maxval(abs(found%forces - alone%forces)) < 1e-10_c_double, 'forces with a list')
  call require(.not. allocated(found%atomic_virials), 'no virials of atoms unless asked for')
  call calculator%compute(positions, found, exchange, atomic_virials=.true.)
  call require(maxval(abs(found%atomic_virials - alone%atomic_virials)) < 1e-10_c_double, 'virials with a list')
  exchange%calls = 0
  exchange%fail_at = 2
  call calculator%compute(positions, found, exchange, stat, message)
  call expect(MLFF_ERROR_CALLBACK, 'returned 1')
  call calculator%compute(positions(:, :3), found, exchange, stat, message)
  call expect(MLFF_ERROR_INVALID_ARGUMENT, 'owned + ghosts')
  ! Refused, but the list is gone for this face, whatever the library still holds.
  call calculator%compute_structure(species(:3), positions(:, :3), found, periodic=[.true., .true., .true.], &
    stat=stat, errmsg=message)
  call expect(MLFF_ERROR_INVALID_ARGUMENT, 'cell')
  call calculator%compute(positions(:, :1), found, exchange, stat, message)
  call expect(MLFF_ERROR_STATE, 'set_neighbor_list')
  call calculator%destroy()
  call calculator%destroy()

  print '(i0, a)', failures, ' failures'
  if (failures > 0) error stop 1

contains

  subroutine require(holds, what)
    logical, intent(in) :: holds
    character(*), intent(in) :: what

    if (holds) return
    print '(2a)', 'FAILED ', what
    failures = failures + 1
  end subroutine

  subroutine expect(status, words)
    integer(c_int32_t), intent(in) :: status
    character(*), intent(in) :: words

    call require(stat == status, 'status of ' // words)
    call require(len(message) < 400 .and. index(message, words) > 0, 'no "' // words // '" in "' // message // '"')
  end subroutine
end program
