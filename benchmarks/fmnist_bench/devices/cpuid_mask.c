// Hides CPU features from a program at native speed: CPUID_MASK=avx2 LD_PRELOAD=./cpuid_mask.so program ...
//
// Linux can make CPUID fault in a process (arch_prctl ARCH_SET_CPUID, where /proc/cpuinfo lists cpuid_fault). The
// handler executes the real instruction and clears bits of what it tells (Intel's manual, volume 2A, CPUID).
// CPUID_MASK=avx512 hides VNNI and AMX; avx2 also AVX-512; sse also AVX, AVX2 and FMA.

#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { ARCH_SET_CPUID = 0x1012, REFUSED = 99 };
#define BIT(n) (1u << (n))
static int no_avx512, no_avx;

static void hide(unsigned leaf, unsigned subleaf, unsigned *eax, unsigned *ebx, unsigned *ecx, unsigned *edx) {
    if (leaf == 7 && subleaf == 0) {
        *ecx &= ~BIT(11);                                  // AVX512_VNNI
        *edx &= ~(BIT(22) | BIT(23) | BIT(24) | BIT(25));  // AMX_BF16, AVX512_FP16, AMX_TILE, AMX_INT8
        if (no_avx512) *ebx &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31));  // F DQ IFMA CD BW VL
        if (no_avx512) *ecx &= ~(BIT(1) | BIT(6) | BIT(12) | BIT(14)), *edx &= ~BIT(8);  // VBMI VBMI2 BITALG VPOPCNTDQ VP2I
        if (no_avx) *ebx &= ~(BIT(3) | BIT(5) | BIT(8)), *ecx &= ~(BIT(9) | BIT(10));    // BMI1 AVX2 BMI2 VAES VPCLMULQDQ
    }
    if (leaf == 7 && subleaf == 1) *eax &= ~(BIT(4) | BIT(5)), *edx &= ~(BIT(4) | BIT(10));  // AVX_VNNI, AVX512_BF16, INT8, INT16
    if (leaf == 1 && no_avx) *ecx &= ~(BIT(12) | BIT(26) | BIT(27) | BIT(28) | BIT(29));     // FMA XSAVE OSXSAVE AVX F16C
}

static void on_fault(int number, siginfo_t *info, void *context) {
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *code = (const unsigned char *)r[REG_RIP];
    if (code[0] != 0x0f || code[1] != 0xa2) { signal(number, SIG_DFL); return; }  // not CPUID: a crash like any other
    unsigned leaf = r[REG_RAX], subleaf = r[REG_RCX], eax, ebx, ecx, edx;
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
    __asm__ volatile("cpuid" : "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx) : "a"(leaf), "c"(subleaf));
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
    hide(leaf, subleaf, &eax, &ebx, &ecx, &edx);
    r[REG_RAX] = eax, r[REG_RBX] = ebx, r[REG_RCX] = ecx, r[REG_RDX] = edx, r[REG_RIP] += 2;
}

__attribute__((constructor(101))) static void begin(void) {
    const char *wanted = getenv("CPUID_MASK");
    if (!wanted) return;
    no_avx = !strcmp(wanted, "sse"), no_avx512 = no_avx || !strcmp(wanted, "avx2");
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    sigaction(SIGSEGV, &action, NULL);
    if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0)) _exit(REFUSED);
}
