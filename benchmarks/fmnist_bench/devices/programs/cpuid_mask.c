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
enum level { SSE, AVX2, AVX512 };
#define BIT(n) (1u << (n))

static enum level level;

static void hide(unsigned leaf, unsigned subleaf, unsigned *eax, unsigned *ebx, unsigned *ecx, unsigned *edx) {
    if (leaf == 7 && subleaf == 0) {
        *ecx &= ~BIT(11);                                  // AVX512_VNNI
        *edx &= ~(BIT(22) | BIT(23) | BIT(24) | BIT(25));  // AMX_BF16, AVX512_FP16, AMX_TILE, AMX_INT8
        if (level <= AVX2) {
            *ebx &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31));  // AVX512 F DQ IFMA CD BW VL
            *ecx &= ~(BIT(1) | BIT(6) | BIT(12) | BIT(14));                        // VBMI VBMI2 BITALG VPOPCNTDQ
            *edx &= ~BIT(8);                                                       // AVX512_VP2INTERSECT
        }
        if (level <= SSE) {
            *ebx &= ~(BIT(3) | BIT(5) | BIT(8));  // BMI1, AVX2, BMI2
            *ecx &= ~(BIT(9) | BIT(10));          // VAES, VPCLMULQDQ
        }
    }
    if (leaf == 7 && subleaf == 1) {
        *eax &= ~(BIT(4) | BIT(5));   // AVX_VNNI, AVX512_BF16
        *edx &= ~(BIT(4) | BIT(10));  // AVX_VNNI_INT8, AVX_VNNI_INT16
    }
    if (leaf == 1 && level <= SSE) *ecx &= ~(BIT(12) | BIT(26) | BIT(27) | BIT(28) | BIT(29));  // FMA XSAVE OSXSAVE AVX F16C
}

static void on_fault(int signal_number, siginfo_t *info, void *context) {
    (void)info;
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *code = (const unsigned char *)r[REG_RIP];
    if (!(code[0] == 0x0f && code[1] == 0xa2)) {  // not CPUID: a crash like any other
        signal(signal_number, SIG_DFL);
        return;
    }
    unsigned leaf = r[REG_RAX], subleaf = r[REG_RCX], eax, ebx, ecx, edx;
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
    __asm__ volatile("cpuid" : "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx) : "a"(leaf), "c"(subleaf));
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
    hide(leaf, subleaf, &eax, &ebx, &ecx, &edx);
    r[REG_RAX] = eax, r[REG_RBX] = ebx, r[REG_RCX] = ecx, r[REG_RDX] = edx;
    r[REG_RIP] += 2;
}

__attribute__((constructor(101))) static void begin(void) {
    const char *wanted = getenv("CPUID_MASK");
    if (!wanted) return;
    level = !strcmp(wanted, "avx512") ? AVX512 : !strcmp(wanted, "avx2") ? AVX2 : SSE;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    sigaction(SIGSEGV, &action, NULL);
    if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0)) _exit(REFUSED);
}
