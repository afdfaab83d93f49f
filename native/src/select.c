/* Which instruction sets this build has and this processor runs, the fastest first. */
#include <string.h>

#include "kernels.h"

const Kernels *kernels_plain(void);
static int always(void) { return 1; }

#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>

const Kernels *kernels_avx512vnni(void);
const Kernels *kernels_avxvnni(void);
const Kernels *kernels_avx2(void);

/* What the system saves of registers when it switches threads: an instruction that is there may not be used. */
static uint64_t saved(void) {
    uint32_t low, high, a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static int has_avx2(void) {
    uint32_t a, b, c, d;
    if ((saved() & 6) != 6 || !__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const int fma = c >> 12 & 1, halves = c >> 29 & 1;
    return fma && halves && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 5 & 1);
}

static int has_avxvnni(void) {
    uint32_t a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}

static int has_avx512vnni(void) {
    uint32_t a, b, c, d;
    if (!has_avx2() || (saved() & 0xe6) != 0xe6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    return (b >> 16 & 1) && (b >> 17 & 1) && (b >> 30 & 1) && (b >> 31 & 1) && (c >> 11 & 1); /* F, DQ, BW, VL; VNNI */
}
#elif defined(__aarch64__)
const Kernels *kernels_i8mm(void);
const Kernels *kernels_dotprod(void);

#if defined(__linux__)
#include <sys/auxv.h>
static int has_dotprod(void) { return getauxval(16) >> 20 & 1; } /* AT_HWCAP, ASIMDDP */
static int has_i8mm(void) { return has_dotprod() && (getauxval(26) >> 13 & 1); } /* AT_HWCAP2, I8MM */
#elif defined(__APPLE__)
#include <sys/sysctl.h>
static int says(const char *name) {
    int found = 0;
    size_t size = sizeof found;
    return !sysctlbyname(name, &found, &size, NULL, 0) && found;
}
static int has_dotprod(void) { return says("hw.optional.arm.FEAT_DotProd"); }
static int has_i8mm(void) { return says("hw.optional.arm.FEAT_I8MM"); }
#elif defined(_WIN32)
__declspec(dllimport) int IsProcessorFeaturePresent(unsigned long);
static int has_dotprod(void) { return IsProcessorFeaturePresent(43); }
static int has_i8mm(void) { return has_dotprod() && IsProcessorFeaturePresent(66); }
#else
static int has_dotprod(void) { return 0; }
static int has_i8mm(void) { return 0; }
#endif
#endif

static const struct {
    const char *name;
    int (*runs)(void);
    const Kernels *(*get)(void);
} KNOWN[] = {
#if defined(__x86_64__) || defined(_M_X64)
    {"avx512vnni", has_avx512vnni, kernels_avx512vnni},
    {"avxvnni", has_avxvnni, kernels_avxvnni},
    {"avx2", has_avx2, kernels_avx2},
#elif defined(__aarch64__)
    {"i8mm", has_i8mm, kernels_i8mm},
    {"dotprod", has_dotprod, kernels_dotprod},
#endif
    {"plain", always, kernels_plain},
};
enum { COUNT = sizeof KNOWN / sizeof *KNOWN };

const Kernels *kernels(const char *name) {
    for (int i = 0; i < COUNT; i++)
        if ((!name || !strcmp(name, KNOWN[i].name)) && KNOWN[i].runs()) return KNOWN[i].get();
    return NULL;
}

const char *kernels_known(int i, int *runs) {
    if (i < 0 || i >= COUNT) return NULL;
    *runs = KNOWN[i].runs();
    return KNOWN[i].name;
}
