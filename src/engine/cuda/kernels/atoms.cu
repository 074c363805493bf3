// Dense layers: compiled for each of the usual numbers of channels, and for any.
#include "atoms.cuh"
