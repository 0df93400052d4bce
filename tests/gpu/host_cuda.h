// What the CUDA sources need in order to run as C++ on a host: the words of the
// language, the numbers of threads, and barriers. Threads of a block run one after the
// other; where a kernel has barriers, each is a fibre that is left at a barrier and
// entered again when the others have come to it.

#include <math.h>
#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>
#include <utility>
#include <vector>

struct float2 {
    float x, y;
};

static inline float2 make_float2(float x, float y) { return {x, y}; }

struct Numbers {
    unsigned x = 1, y = 1, z = 1;
};

static thread_local Numbers blockIdx, blockDim, threadIdx, gridDim;

#define __global__ static
#define __device__ static
#define __shared__ static thread_local

namespace host {

const size_t kStack = 1 << 16;

// A thread of a block: made once, and then one block's work after another's.
struct Fibre {
    ucontext_t first;
    jmp_buf again;
    std::vector<char> stack;
    bool begun = false;
    bool done = false;
};

struct Call {
    virtual void operator()() = 0;
};

static thread_local jmp_buf scheduler;
static thread_local std::vector<Fibre> fibres;
static thread_local Call* call;

static void leave(unsigned me)
{
    if (!_setjmp(fibres[me].again)) _longjmp(scheduler, 1);
}

static void live()
{
    const unsigned me = threadIdx.x;
    for (;;) {
        (*call)();
        fibres[me].done = true;
        leave(me);
    }
}

static __attribute__((noinline)) void enter(unsigned t)
{
    threadIdx.x = t;
    if (_setjmp(scheduler)) return;
    if (fibres[t].begun) _longjmp(fibres[t].again, 1);
    fibres[t].begun = true;
    setcontext(&fibres[t].first);
}

// Threads of one block, round by round from barrier to barrier.
static void run_with_barriers(unsigned n_threads)
{
    if (fibres.empty()) {
        fibres.resize(n_threads);
        for (Fibre& fibre : fibres) {
            fibre.stack.resize(kStack);
            getcontext(&fibre.first);
            fibre.first.uc_stack.ss_sp = fibre.stack.data();
            fibre.first.uc_stack.ss_size = kStack;
            fibre.first.uc_link = nullptr;
            makecontext(&fibre.first, live, 0);
        }
    }
    for (Fibre& fibre : fibres) fibre.done = false;
    for (bool busy = true; busy;) {
        busy = false;
        for (unsigned t = 0; t < n_threads; ++t) {
            if (fibres[t].done) continue;
            enter(t);
            busy = busy || !fibres[t].done;
        }
    }
}

template <class... A, size_t... I>
void run(
    void (*kernel)(A...), std::index_sequence<I...>, long long n_blocks,
    unsigned n_threads, void** arguments, bool barriers)
{
    struct Bound : Call {
        void (*kernel)(A...);
        void** arguments;
        void operator()() override { kernel(*static_cast<A*>(arguments[I])...); }
    } bound;
    bound.kernel = kernel;
    bound.arguments = arguments;
    call = &bound;
    gridDim.x = n_blocks;
    blockDim.x = n_threads;
    for (long long block = 0; block < n_blocks; ++block) {
        blockIdx.x = block;
        if (barriers) {
            run_with_barriers(n_threads);
            continue;
        }
        for (threadIdx.x = 0; threadIdx.x < n_threads; ++threadIdx.x) bound();
    }
    call = nullptr;
}

template <class... A>
void launch(
    void (*kernel)(A...), long long n_blocks, unsigned n_threads, void** arguments,
    bool barriers)
{
    run(kernel, std::index_sequence_for<A...>(), n_blocks, n_threads, arguments,
        barriers);
}

}  // namespace host

static inline void __syncthreads()
{
    host::leave(threadIdx.x);
}
