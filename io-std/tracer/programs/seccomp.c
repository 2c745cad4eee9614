/* Forbids itself what the tracer needs, in the middle of its work: by an error, or by death; or only the ring. With
   "inline" behind the tracer's back, by the instruction; "odd" is an error for which nobody would look there. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int reads;

static void work(int fd, int count) {
    char byte;
    for (int i = 0; i < count; i++, reads++)
        if (pread(fd, &byte, 1, 0) != 1)
            _exit(9);
}

#define NO(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, no)

static long inlined(long number, long a, long b, const void *c) {
#ifdef __x86_64__
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
#else
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
    register const void *x2 __asm__("x2") = c;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
#endif
}

int main(int argc, char **argv) {
    int kill = argc > 1 && strcmp(argv[1], "kill") == 0, fd = open("/etc/passwd", O_RDONLY);
    int odd = argc > 1 && strcmp(argv[1], "odd") == 0;
    unsigned no = kill ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | (odd ? EINVAL : EPERM);
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        NO(pwrite64), NO(pwritev), NO(pwritev2), NO(epoll_wait), NO(epoll_pwait), NO(fstat),
        NO(io_uring_enter), NO(io_uring_setup), NO(prlimit64), NO(openat), NO(futex), NO(sched_yield),
        NO(rt_sigprocmask), NO(sigaltstack), NO(getpid), NO(gettid),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_filter ring[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        NO(io_uring_enter), NO(io_uring_setup), NO(epoll_create1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_filter enter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        NO(io_uring_enter),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    int is_inline = argc > 2 && strcmp(argv[2], "inline") == 0, rest = is_inline ? 30000 : 3000;
    if (odd)
        program = (struct sock_fprog){sizeof enter / sizeof *enter, enter};
    if (argc > 1 && strcmp(argv[1], "ring") == 0)
        program = (struct sock_fprog){sizeof ring / sizeof *ring, ring};
    work(fd, 700);
    printf("expect pread %d\n", reads + rest);
    fflush(stdout);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return 2;
    if (is_inline) {
        if (inlined(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
            return 4;
    } else if (argc > 2 ? syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)
                        : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return 3;
    work(fd, rest);
    return 5;
}
