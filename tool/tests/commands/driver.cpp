// NVIDIA's driver for tests without it: what the library calls of it, one GPU that runs kernels by
// the shim. Calls of work need a context, as the real ones do; at the end of the process the
// caller's must be the one it was.

#include <dlfcn.h>
#include <unistd.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace {

using Launch = const char *(*)(const char *, const char *, const unsigned *, unsigned, size_t,
                               const void *, size_t);
using Work = std::vector<std::function<void()>>;

enum Code { SUCCESS = 0, INVALID_IMAGE = 200, INVALID_CONTEXT = 201, NOT_FOUND = 500 };

struct Module {
    std::string name, ptx;
};
struct Function {
    std::string module, name;
    size_t size;
};

int callers_context, primary_context;
/// Of this thread, the one in use behind the others. Without a destructor, since the end looks at
/// it.
thread_local void *contexts[8] = {&callers_context};
thread_local int context = 0;
Work *captured = nullptr;
int graphs_launched = 0;

/// MLFF_TEST_DRIVER_FAILS holds CALL=CODE.
int asked_for(const char *call) {
    const char *const fails = std::getenv("MLFF_TEST_DRIVER_FAILS");
    const size_t length = std::strlen(call);
    return fails && !std::strncmp(fails, call, length) && fails[length] == '='
               ? std::atoi(fails + length + 1)
               : SUCCESS;
}

int entered() { return contexts[context] == &primary_context ? SUCCESS : INVALID_CONTEXT; }

int ask(std::function<void()> work) {
    if (const int code = entered())
        return code;
    if (captured)
        captured->push_back(work);
    else
        work();
    return SUCCESS;
}

Launch shim() {
    static const Launch launch = [] {
        const char *const path = std::getenv("MLFF_TEST_DRIVER_SHIM");
        void *const library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
        return library ? reinterpret_cast<Launch>(dlsym(library, "mlff_shim_launch")) : nullptr;
    }();
    return launch;
}

struct AtExit {
    ~AtExit() {
        std::fprintf(stderr, "driver: %d graphs launched\n", graphs_launched);
        if (context != 0 || contexts[0] != &callers_context) {
            std::fprintf(stderr, "driver: the caller's context is another one\n");
            _exit(3);
        }
    }
} at_exit;

}  // namespace

extern "C" {
int cuInit(unsigned) { return asked_for("cuInit"); }
int cuDriverGetVersion(int *version) {
    *version = 12020;
    return asked_for("cuDriverGetVersion");
}
int cuGetErrorString(int code, const char **text) {
    static thread_local std::string kept;
    kept = "the test's error " + std::to_string(code);
    *text = kept.c_str();
    return SUCCESS;
}
int cuDeviceGetCount(int *count) { return *count = 1, SUCCESS; }
int cuDeviceGet(int *device, int) { return *device = 0, SUCCESS; }
int cuDeviceGetName(char *name, int length, int) {
    return std::snprintf(name, length, "a processor"), SUCCESS;
}
int cuDeviceGetAttribute(int *value, int attribute, int) {
    // Multiprocessors, compute capability, shared memory of a block.
    const std::map<int, int> values{{16, 1}, {75, 9}, {76, 0}, {97, 227 * 1024}};
    return *value = values.at(attribute), SUCCESS;
}
int cuDevicePrimaryCtxRetain(void **retained, int) { return *retained = &primary_context, SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxPushCurrent_v2(void *pushed) { return contexts[++context] = pushed, SUCCESS; }
int cuCtxPopCurrent_v2(void **popped) { return *popped = contexts[context--], SUCCESS; }
int cuCtxSetCurrent(void *set) { return contexts[context] = set, SUCCESS; }

int cuStreamCreate(void **stream, unsigned) { return *stream = &primary_context, entered(); }
int cuStreamDestroy_v2(void *) { return entered(); }
int cuStreamSynchronize(void *) { return entered(); }
int cuStreamBeginCapture_v2(void *, int) { return captured = new Work, entered(); }
int cuStreamEndCapture(void *, void **graph) {
    *graph = captured;
    captured = nullptr;
    return entered();
}
int cuGraphInstantiateWithFlags(void **whole, void *graph, unsigned long long) {
    *whole = new Work(*static_cast<Work *>(graph));
    return SUCCESS;
}
int cuGraphDestroy(void *graph) { return delete static_cast<Work *>(graph), SUCCESS; }
int cuGraphExecDestroy(void *whole) { return delete static_cast<Work *>(whole), SUCCESS; }
int cuGraphLaunch(void *whole, void *) {
    ++graphs_launched;
    for (const auto &work : *static_cast<Work *>(whole)) work();
    return entered();
}

int cuMemAlloc_v2(uint64_t *address, size_t bytes) {
    *address = reinterpret_cast<uint64_t>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
    return entered();
}
int cuMemFree_v2(uint64_t address) {
    return std::free(reinterpret_cast<void *>(address)), entered();
}
int cuMemHostAlloc(void **address, size_t bytes, unsigned) {
    *address = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    return entered();
}
int cuMemFreeHost(void *address) { return std::free(address), entered(); }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *) {
    return ask([=] { std::memcpy(reinterpret_cast<void *>(to), from, bytes); });
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *) {
    return ask([=] { std::memcpy(to, reinterpret_cast<void *>(from), bytes); });
}
int cuMemsetD8Async(uint64_t at, unsigned char value, size_t bytes, void *) {
    return ask([=] { std::memset(reinterpret_cast<void *>(at), value, bytes); });
}

int cuModuleLoadData(void **module, const void *image) {
    const std::string ptx = static_cast<const char *>(image);
    // Machine code, which is NVRTC's.
    if (ptx.find(".version") == std::string::npos)
        return INVALID_IMAGE;
    const bool messages = ptx.find(".entry sums(") != std::string::npos;
    *module = new Module{messages ? "messages" : "atoms-32", ptx};
    return entered();
}
int cuModuleUnload(void *module) { return delete static_cast<Module *>(module), entered(); }
int cuModuleGetFunction(void **function, void *module, const char *name) {
    const auto &[file, ptx] = *static_cast<Module *>(module);
    const size_t entry = ptx.find(".entry " + std::string(name) + "(");
    if (entry == std::string::npos)
        return NOT_FOUND;
    const size_t size = std::strtoul(ptx.c_str() + ptx.find('[', entry) + 1, nullptr, 10);
    *function = new Function{file, name, size};
    return entered();
}
int cuFuncSetAttribute(void *, int, int) { return entered(); }
int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned, unsigned threads, unsigned,
                   unsigned, unsigned shared, void *, void **arguments, void **) {
    const Function kernel = *static_cast<Function *>(function);
    if (const int code = asked_for(kernel.name.c_str()))
        return code;
    const auto *const from = static_cast<const char *>(arguments[0]);
    const std::vector<char> copy(from, from + kernel.size);
    return ask([=] {
        const unsigned grid[] = {x, y};
        const char *const wrong = shim()(kernel.module.c_str(), kernel.name.c_str(), grid, threads,
                                         shared, copy.data(), copy.size());
        if (wrong) {
            std::fprintf(stderr, "driver: kernel %s: %s\n", kernel.name.c_str(), wrong);
            std::abort();
        }
    });
}
}
