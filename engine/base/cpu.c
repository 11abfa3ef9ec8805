/* SPDX-License-Identifier: MIT
 *
 * cpu.c: what this processor can run. Not which path an op takes: registry.c chooses among those left by the mask.
 *
 * Invariant: a feature is reported only if the processor has every instruction that compilers may use for the path AND
 * the operating system saves the registers (XCR0), so that a path whose `needs` are reported never traps.
 */
#include "base/cpu.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined __x86_64__
#include <cpuid.h>
#include <xmmintrin.h>
#elif defined __aarch64__
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

/* ---- names of paths, lowest first ---- */

typedef struct level {
    const char *name;
    uint64_t needs; /* also all that stays when it is the highest */
} level;

static const level levels[] = {
    {"scalar", 0},
    {"avx2", HEED_CPU_AVX2},
    {"avx512", HEED_CPU_AVX2 | HEED_CPU_AVX512},
    {"avx512_bf16", HEED_CPU_AVX2 | HEED_CPU_AVX512 | HEED_CPU_AVX512_BF16},
    {"neon", HEED_CPU_NEON},
    {"neon_bf16", HEED_CPU_NEON | HEED_CPU_NEON_BF16},
};
#define LEVELS (sizeof levels / sizeof *levels)

const char *cpu_path(uint64_t features, uint32_t index)
{
    for (size_t i = 0; i < LEVELS; i++)
        if (!(levels[i].needs & ~features) && index-- == 0) return levels[i].name;
    return NULL;
}

int32_t cpu_mask(const char *isa, uint64_t *features, heed_error *error)
{
    if (!isa || !*isa || !strcmp(isa, "all")) return HEED_OK;
    const level *found = NULL;
    for (size_t i = 0; i < LEVELS; i++)
        if (!strcmp(isa, levels[i].name)) found = &levels[i];
    if (found && !(found->needs & ~*features)) {
        *features &= found->needs;
        return HEED_OK;
    }
    char can[64];
    size_t n = 0;
    const char *name;
    for (uint32_t i = 0; (name = cpu_path(*features, i)); i++)
        n += (size_t)snprintf(can + n, sizeof can - n, "%s%s", i ? ", " : "", name);
    if (found) return error_set(error, HEED_E_UNSUPPORTED, "path \"%s\" cannot run here; these can: %s", isa, can);
    return error_set(error, HEED_E_ARGUMENT, "no path is called \"%.32s\"; these can run here: %s", isa, can);
}

/* ---- features ---- */

#if defined __x86_64__

/* All bits of `set` in CPUID leaf.subleaf, register 0 - 3 = eax - edx. */
typedef struct need {
    uint64_t feature;
    uint32_t leaf, subleaf, reg, set;
} need;

#define BIT(n) (1u << (n))

static const need needs[] = {
    {HEED_CPU_AVX2, 1, 0, 2, BIT(12) | BIT(22) | BIT(27) | BIT(28) | BIT(29)},         /* FMA MOVBE OSXSAVE AVX F16C */
    {HEED_CPU_AVX2, 7, 0, 1, BIT(3) | BIT(5) | BIT(8)},                                /* BMI1 AVX2 BMI2 */
    {HEED_CPU_AVX2, 0x80000001u, 0, 2, BIT(5)},                                        /* LZCNT */
    {HEED_CPU_AVX512, 7, 0, 1, BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31)},       /* F DQ CD BW VL */
    {HEED_CPU_AVX512_BF16, 7, 1, 0, BIT(5)},
};

#define XCR0_YMM 0x06u /* xmm and ymm state */
#define XCR0_ZMM 0xe6u /* and opmask, upper halves of zmm0 - 15, zmm16 - 31 */

static uint32_t xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

uint64_t cpu_detect(void)
{
    uint64_t have = HEED_CPU_AVX2 | HEED_CPU_AVX512 | HEED_CPU_AVX512_BF16;
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
        const need *n = &needs[i];
        uint32_t r[4];
        int there = __get_cpuid_count(n->leaf, 0, &r[0], &r[1], &r[2], &r[3]);
        if (there && n->subleaf) { /* leaf.0's eax tells the highest subleaf; a higher one is junk on some processors */
            there = r[0] >= n->subleaf;
            __cpuid_count(n->leaf, n->subleaf, r[0], r[1], r[2], r[3]);
        }
        if (!there || n->set & ~r[n->reg]) have &= ~n->feature;
    }
    /* xgetbv itself is legal only with OSXSAVE, which AVX2 has implied so far */
    if (!(have & HEED_CPU_AVX2)) return 0;
    uint32_t saved = xcr0();
    if (XCR0_YMM & ~saved) return 0;
    if (XCR0_ZMM & ~saved) have &= ~(uint64_t)HEED_CPU_AVX512;
    return have & HEED_CPU_AVX512 ? have : have & HEED_CPU_AVX2;
}

uint64_t cpu_float_plain(void)
{
    uint32_t former = _mm_getcsr();
    if (former != 0x1f80) _mm_setcsr(0x1f80); /* all exceptions masked, nearest, neither FTZ nor DAZ */
    return former;
}

void cpu_float_restore(uint64_t former)
{
    _mm_setcsr((uint32_t)former);
}

#elif defined __aarch64__

uint64_t cpu_detect(void)
{
    const unsigned long caps = getauxval(AT_HWCAP), more = getauxval(AT_HWCAP2);
    if (!(caps & HWCAP_ASIMD)) return 0;
    return HEED_CPU_NEON | (caps & HWCAP_SVE ? HEED_CPU_SVE : 0) | (more & HWCAP2_BF16 ? HEED_CPU_NEON_BF16 : 0);
}

uint64_t cpu_float_plain(void)
{
    uint64_t former;
    __asm__ volatile("mrs %0, fpcr" : "=r"(former));
    if (former) __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0)); /* nearest, no FZ, no DN, no traps */
    return former;
}

void cpu_float_restore(uint64_t former)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(former));
}

#else

uint64_t cpu_detect(void) { return 0; }
uint64_t cpu_float_plain(void) { return 0; }
void cpu_float_restore(uint64_t former) { (void)former; }

#endif

/* ---- the name, for reports ---- */

/* Value of the first line of /proc/cpuinfo with this key, or NULL. */
static char *cpuinfo(const char *key, char *line, int n)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    char *value = NULL;
    while (f && !value && fgets(line, n, f)) {
        if (strncmp(line, key, strlen(key)) || !(value = strchr(line, ':'))) continue;
        value += 1 + strspn(value + 1, " \t");
        value[strcspn(value, "\n")] = 0;
    }
    if (f) fclose(f);
    return value;
}

/* arm64 kernels tell numbers only: MIDR implementer << 12 | part. */
static const struct {
    uint32_t id;
    const char *name;
} arm_parts[] = {
    {0x41d03, "Arm Cortex-A53"},   {0x41d05, "Arm Cortex-A55"},   {0x41d07, "Arm Cortex-A57"},
    {0x41d08, "Arm Cortex-A72"},   {0x41d0b, "Arm Cortex-A76"},   {0x41d0c, "Arm Neoverse N1"},
    {0x41d40, "Arm Neoverse V1"},  {0x41d49, "Arm Neoverse N2"},  {0x41d4f, "Arm Neoverse V2"},
    {0xc0ac3, "Ampere-1"},         {0x48d01, "HiSilicon TSV110"}, {0x46001, "Fujitsu A64FX"},
};

const char *cpu_brand(char *buffer, size_t n)
{
    char line[256], *value;
#if defined __x86_64__
    uint32_t r[13] = {0}; /* 48 characters, and their end */
    if (__get_cpuid(0x80000004u, &r[0], &r[1], &r[2], &r[3])) {
        for (uint32_t i = 0; i < 3; i++)
            __get_cpuid(0x80000002u + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]);
        value = (char *)r;
        value += strspn(value, " ");
        for (size_t end = strlen(value); end && value[end - 1] == ' ';) value[--end] = 0;
        if (*value) return snprintf(buffer, n, "%s", value), buffer;
    }
#endif
    if ((value = cpuinfo("model name", line, sizeof line)) && *value) return snprintf(buffer, n, "%s", value), buffer;
    uint32_t implementer = 0, part = 0;
    if ((value = cpuinfo("CPU implementer", line, sizeof line))) implementer = (uint32_t)strtoul(value, NULL, 0);
    if ((value = cpuinfo("CPU part", line, sizeof line))) part = (uint32_t)strtoul(value, NULL, 0);
    for (size_t i = 0; i < sizeof arm_parts / sizeof *arm_parts; i++)
        if (arm_parts[i].id == (implementer << 12 | part)) return snprintf(buffer, n, "%s", arm_parts[i].name), buffer;
    if (implementer) snprintf(buffer, n, "arm64, implementer 0x%02x part 0x%03x", implementer, part);
    else snprintf(buffer, n, "unknown processor");
    return buffer;
}
