// Everything that does not depend on the number of channels.
#include "halo.cuh"
#include "lists.cuh"
#include "message.cuh"
#include "pairs.cuh"
#include "sums.cuh"
