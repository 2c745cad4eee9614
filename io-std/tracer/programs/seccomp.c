/* Forbids itself what the tracer needs, in the middle of its work: by an error, or by death; or only the ring. */
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

int main(int argc, char **argv) {
    int kill = argc > 1 && strcmp(argv[1], "kill") == 0, fd = open("/etc/passwd", O_RDONLY);
    unsigned no = kill ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | EPERM;
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
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (argc > 1 && strcmp(argv[1], "ring") == 0)
        program = (struct sock_fprog){sizeof ring / sizeof *ring, ring};
    work(fd, 700);
    printf("expect pread %d\n", reads + 3000);
    fflush(stdout);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return 2;
    if (argc > 2 ? syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)
                 : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return 3;
    work(fd, 3000);
    return 5;
}
