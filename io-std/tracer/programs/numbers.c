/* Uses every number that a descriptor can have, also those that a tracer might like. Prints what it got; the same with and
   without a tracer. "pass" gives each number back, "keep" keeps them all; "threads" does it while others read. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int over;

static void work(int count) {
    char byte;
    int fd = open("/etc/passwd", O_RDONLY);
    for (int i = 0; i < count; i++)
        if (pread(fd, &byte, 1, 0) != 1)
            exit(9);
    close(fd);
}

static void *reader(void *unused) {
    char byte;
    int fd = open("/etc/passwd", O_RDONLY);
    while (!over)
        if (pread(fd, &byte, 1, 0) != 1)
            exit(9);
    return unused;
}

static int bad;

/* A file of its own is everywhere; nobody else may write to it. */
static void take(int file, int fd, int keep) {
    struct stat status;
    if (dup2(file, fd) != fd && bad++ < 5)
        printf("dup2 to %d: %d\n", fd, errno);
    if (fstat(fd, &status) || status.st_size != 0)
        printf("%d is not the program's\n", fd);
    if (!keep && close(fd) && bad++ < 5)
        printf("close of %d: %d\n", fd, errno);
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    int keep = strcmp(how, "keep") == 0, threads = strcmp(how, "threads") == 0, status = 0;
    char name[] = "/tmp/numbers-XXXXXX";
    pthread_t thread[4];
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    int most = limit.rlim_cur < 5000 ? (int)limit.rlim_cur : 5000, file = mkstemp(name);
    unlink(name);
    printf("the first is %d, %d is none: %d\n", file, (int)limit.rlim_cur, dup2(1, (int)limit.rlim_cur));
    for (int i = 0; threads && i < 4; i++)
        pthread_create(&thread[i], NULL, reader, NULL);
    work(1200);
    for (int round = 0; round < (threads ? 2 : 1); round++) {
        for (int fd = file + 8; fd < most; fd++)
            take(file, fd, keep);
        work(1200);
        for (int fd = most - 1; fd >= file + 8; fd--)
            take(file, fd, keep);
        work(1200);
    }
    over = 1;
    for (int i = 0; threads && i < 4; i++)
        pthread_join(thread[i], NULL);
    fflush(stdout);
    if (fork() == 0) {
        for (int fd = file; fd < most; fd++)
            close(fd);
        work(600);
        printf("a child's first is %d\n", open("/dev/null", O_RDONLY));
        fflush(stdout);
        _exit(5);
    }
    wait(&status);
    printf("%d bad, the child %x\n", bad, status);
    fflush(stdout);
    return 7;
}
