! Energy, forces and stress of three water molecules in a periodic cell.
!
!     ./water MODEL
!
! The C and C++ examples print the same text.
program water
  use, intrinsic :: iso_c_binding, only: c_double, c_int32_t
  use mlff_student
  implicit none

  integer(c_int32_t), parameter :: species(9) = [8, 1, 1, 8, 1, 1, 8, 1, 1]
  ! Angstrom, one atom per column
  real(c_double), parameter :: positions(3, 9) = reshape([ &
    0.353_c_double, 3.390_c_double, 1.450_c_double, & ! water 1
    0.647_c_double, 2.473_c_double, 1.340_c_double, &
    0.064_c_double, 3.661_c_double, 0.565_c_double, &
    2.058_c_double, 3.727_c_double, 3.670_c_double, & ! water 2
    2.910_c_double, 4.178_c_double, 3.557_c_double, &
    1.949_c_double, 3.207_c_double, 2.859_c_double, &
    4.188_c_double, 1.116_c_double, 3.662_c_double, & ! water 3
    3.955_c_double, 1.003_c_double, 4.597_c_double, &
    4.954_c_double, 1.711_c_double, 3.673_c_double], [3, 9])
  ! Angstrom, one lattice vector per column
  real(c_double), parameter :: cell(3, 3) = reshape([ &
    4.6_c_double, 0.0_c_double, 0.0_c_double, &
    0.3_c_double, 4.5_c_double, 0.0_c_double, &
    0.2_c_double, -0.2_c_double, 4.4_c_double], [3, 3])

  type(mlff_model_t) :: model
  type(mlff_calculator_t) :: calculator
  type(mlff_results_t) :: results
  type(mlff_options) :: options
  character(4096) :: path
  integer :: i

  if (command_argument_count() /= 1) error stop 'usage: water MODEL'
  call get_command_argument(1, path)

  call model%load(path)
  ! Float64 for comparing with the other languages; leave the options out for speed.
  options%precision = MLFF_PRECISION_DOUBLE
  call calculator%create(model, options)
  call model%destroy() ! the calculator keeps what it needs
  call calculator%compute_structure(species, positions, results, cell)

  print '(a, es24.16e2, a)', 'energy ', results%energy, ' eV'
  do i = 1, size(species)
    print '(a, i0, 3(1x, es24.16e2), a)', 'force ', i, results%forces(:, i), ' eV/A'
  end do
  do i = 1, 3
    print '(a, i0, 3(1x, es24.16e2), a)', 'stress ', i, results%stress(i, :), ' eV/A^3'
  end do
  call calculator%destroy()
end program
