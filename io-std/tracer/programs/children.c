/* Children of every kind, each of which reads: by fork, in a signal handler, from one of several threads, by clone, by the
   bare system call, by vfork and exec, by posix_spawn; and one of each that ends at once. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static int total;
enum { EACH = 600 };

static void work(void) {
    char byte;
    int fd = open("/etc/passwd", O_RDONLY);
    for (int i = 0; i < EACH; i++)
        if (pread(fd, &byte, 1, 0) != 1)
            _exit(9);
    close(fd);
}

static void reap(pid_t pid) {
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 3)
        exit(8);
    total += EACH;
}

static void child(pid_t pid) {
    if (pid == 0) {
        work();
        _exit(3);
    }
    reap(pid);
}

/* Its end is a bare exit(2) of its one thread. */
static int cloned(void *unused) {
    (void)unused;
    work();
    return 3;
}

static void on_signal(int number) { (void)number; child(fork()); }

static volatile int stop;
static void *busy(void *unused) {
    char byte;
    int fd = open("/etc/passwd", O_RDONLY);
    while (!stop)
        if (read(fd, &byte, 1) < 0)
            abort();
    close(fd);
    return unused;
}

int main(int argc, char **argv) {
    char *again[] = {argv[0], "again", NULL}, *bare[] = {"PATH=/bin", NULL};
    pthread_t threads[4];
    pid_t pid;
    if (argc > 1 && strcmp(argv[1], "again") == 0) {
        work();
        return 3;
    }
    work();
    total += EACH;
    child(fork());
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    child((pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    static char stack[1 << 16];
    reap(clone(cloned, stack + sizeof stack, SIGCHLD, NULL));
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, busy, NULL);
    for (int i = 0; i < 20; i++)
        child(fork());
    stop = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    pid = vfork();
    if (pid == 0) {
        int fd = open("/dev/null", O_RDONLY);
        dup2(fd, 77);
        close(fd);
        execv("/proc/self/exe", again);
        _exit(9);
    }
    reap(pid);
    pid = vfork();
    if (pid == 0)
        _exit(3);
    reap(pid);
    total -= EACH;
    if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, again, environ))
        return 7;
    reap(pid);
    pid = fork();
    if (pid == 0) {
        execlp("/nowhere/at/all", "x", (char *)NULL);
        execle("/proc/self/exe", argv[0], "again", (char *)NULL, environ);
        _exit(9);
    }
    reap(pid);
    pid = fork();
    if (pid == 0) {
        execve("/proc/self/exe", again, bare);
        _exit(9);
    }
    reap(pid);
    total -= EACH;
    printf("expect pread %d\n", total);
    fflush(stdout);
    return 0;
}
