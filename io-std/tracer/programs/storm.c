/* SIGPROF a thousand times a second: the handler writes a line, opens and closes. Meanwhile the program reads, and its
   small signal stack is the handler's. With "jump", some handlers leave by siglongjmp. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static int log_fd, jumps;
static volatile sig_atomic_t writes, may_jump;
static sigjmp_buf back;

static void handler(int number) {
    int before = errno;
    char line[64];
    memset(line, 'x', sizeof line);
    line[63] = '\n';
    (void)number;
    if (write(log_fd, line, sizeof line) == (ssize_t)sizeof line)
        writes++;
    int fd = open("/dev/null", O_WRONLY);
    close(fd);
    errno = before;
    if (may_jump && jumps && writes % 16 == 0) {
        may_jump = 0;
        siglongjmp(back, 1);
    }
}

int main(int argc, char **argv) {
    /* As small as the kernel lets it be, and a little more for what the handler itself puts there. */
    size_t size = (size_t)sysconf(_SC_MINSIGSTKSZ) + 2048;
    stack_t stack = {.ss_sp = malloc(size), .ss_size = size};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    struct itimerval timer = {{0, 1000}, {0, 1000}}, off = {{0, 0}, {0, 0}};
    volatile int reads = 0;
    int fd = open("/etc/passwd", O_RDONLY), count = atoi(argv[2]);
    char byte;
    jumps = strcmp(argv[1], "jump") == 0;
    log_fd = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    if (argc < 4 || log_fd < 0 || sigaltstack(&stack, NULL) || sigaction(SIGPROF, &action, NULL))
        return 1;
    setitimer(ITIMER_PROF, &timer, NULL);
    sigsetjmp(back, 1);
    while (reads < count || writes < 200) {
        may_jump = 1;
        errno = 12345;
        if (pread(fd, &byte, 1, 0) != 1)
            return 2;
        if (errno != 12345)
            return 3;
        may_jump = 0;
        reads++;
    }
    setitimer(ITIMER_PROF, &off, NULL);
    if (!jumps)
        printf("expect pread %d\n", reads);
    printf("expect write %d\n", (int)writes);
    fflush(stdout);
    return 0;
}
