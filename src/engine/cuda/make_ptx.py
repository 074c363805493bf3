# SPDX-License-Identifier: MIT OR Apache-2.0
"""Compiles the kernels to PTX, as the library embeds it, and lists what each kernel needs of a GPU.

make_ptx.py ENVIRONMENT OUT: ENVIRONMENT is a Python environment with the packages nvidia-cuda-nvrtc-cu12 and
nvidia-cuda-nvcc-cu12 of the release that the Makefile pins, whose PTX drivers from R525 on read. Repeated compilations
give the same bytes. Ends with an error if a kernel spills registers.

One virtual architecture is enough: compiled for sm_80, the same source gives the same instructions.
"""

import ctypes
import re
import subprocess
import sys
from pathlib import Path

KERNELS = Path(__file__).parent / "kernels"
VIRTUAL = "compute_75"
#: GPUs whose needs are listed: Turing, A100, RTX 30 and 40, H100 and H200.
GPUS = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90"]
#: Numbers of channels with kernels of their own; 0: any.
CHANNELS = [0, 32, 64, 128]

HEADER = """\
Registers of a thread for each GPU; the most bytes of a thread's arrays in memory on any of them, of registers that it
spills, and of shared memory that a block has by itself, as ptxas counts them. Shared memory beside it is asked for at launch (shape.rs,
for `scan` structures.rs, for `sums` pass.rs).

"""


def main(environment, out):
    [packages] = Path(environment).glob("lib/python3*/site-packages/nvidia")
    nvrtc = ctypes.CDLL(packages / "cuda_nvrtc/lib/libnvrtc.so.12")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    headers = {path.name: path.read_bytes() for path in sorted(KERNELS.glob("*.cuh"))}
    rows, spilled = [], []
    for name, options in [("messages", [])] + [(f"atoms-{c}", [f"-DCHANNELS={c}"]) for c in CHANNELS]:
        source = (KERNELS / f"{name.split('-')[0]}.cu").read_bytes()
        path = out / f"{name}.ptx"
        path.write_bytes(compiled(nvrtc, source, headers, [f"--gpu-architecture={VIRTUAL}", "--std=c++17", *options]))
        print(f"{path}: {path.stat().st_size} bytes", flush=True)
        found = {gpu: resources(packages / "cuda_nvcc/bin/ptxas", path, gpu) for gpu in GPUS}
        for kernel in sorted(found[GPUS[0]]):
            needs = [found[gpu][kernel] for gpu in GPUS]
            most = [str(max(need[what] for need in needs)) for what in ("stack", "spilled", "shared")]
            rows.append([name, kernel, *(str(need["registers"]) for need in needs), *most])
            spilled += [f"{kernel} of {name} on {gpu}" for gpu, need in zip(GPUS, needs) if need["spilled"]]
    (out / "registers.txt").write_text(HEADER + table(["file", "kernel", *GPUS, "stack", "spilled", "shared"], rows))
    if spilled:
        raise SystemExit("these kernels spill registers: " + ", ".join(spilled))


def table(header, rows):
    widths = [max(len(row[k]) for row in [header, *rows]) for k in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() + "\n" for line in lines)


def resources(ptxas, path, gpu):
    """Of each kernel: registers, bytes of arrays in memory and of registers that are spilled, bytes of shared memory."""
    done = subprocess.run([ptxas, "-v", f"-arch={gpu}", path, "-o", "/dev/null"], check=True, capture_output=True, text=True)
    found, kernel = {}, None
    for line in done.stderr.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            kernel = found[match[1]] = {"stack": 0, "spilled": 0, "shared": 0}
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            kernel["stack"] = max(kernel["stack"], int(match[1]))
            kernel["spilled"] += int(match[2]) + int(match[3])
        elif match := re.search(r"Used (\d+) registers", line):
            kernel["registers"] = int(match[1])
            if shared := re.search(r"(\d+) bytes smem", line):
                kernel["shared"] = int(shared[1])
    return found


def compiled(nvrtc, source, headers, options):
    """PTX, or the end with the compiler's messages."""

    def check(code, what):
        if code != 0:
            nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
            raise SystemExit(f"{what}: {nvrtc.nvrtcGetErrorString(code).decode()}")

    def strings(values):
        return (ctypes.c_char_p * len(values))(*values)

    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    texts, names = strings(list(headers.values())), strings([name.encode() for name in headers])
    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"kernels.cu", len(headers), texts, names), "nvrtcCreateProgram")
    code = nvrtc.nvrtcCompileProgram(program, len(options), strings([option.encode() for option in options]))
    check(nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size)), "nvrtcGetProgramLogSize")
    log = ctypes.create_string_buffer(size.value)
    check(nvrtc.nvrtcGetProgramLog(program, log), "nvrtcGetProgramLog")
    if log.value:
        print(log.value.decode(), file=sys.stderr)
    check(code, "nvrtcCompileProgram")
    check(nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size)), "nvrtcGetPTXSize")
    ptx = ctypes.create_string_buffer(size.value)
    check(nvrtc.nvrtcGetPTX(program, ptx), "nvrtcGetPTX")
    return ptx.raw.rstrip(b"\0")


if __name__ == "__main__":
    main(*sys.argv[1:])
