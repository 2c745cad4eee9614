/* Reads so many bytes, says so, and ends in the way that is asked for. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int count = argc > 2 ? atoi(argv[2]) : 0, fd = open("/etc/passwd", O_RDONLY);
    const char *how = argc > 1 ? argv[1] : "";
    char byte;
    void (*watch)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "tracer_watch");
    if (watch)
        watch();
    for (int i = 0; i < count; i++)
        if (pread(fd, &byte, 1, i % 8) != 1)
            return 1;
    if (strcmp(how, "exec") != 0)
        printf("expect pread %d\n", strcmp(how, "again") == 0 ? 2 * count : count);
    fflush(stdout);
    if (strcmp(how, "exit") == 0) exit(7);
    if (strcmp(how, "_exit") == 0) _exit(7);
    if (strcmp(how, "_Exit") == 0) _Exit(7);
    if (strcmp(how, "quick_exit") == 0) quick_exit(7);
    if (strcmp(how, "abort") == 0) abort();
    if (strcmp(how, "kill") == 0) kill(getpid(), SIGKILL);
    if (strcmp(how, "segv") == 0) *(volatile int *)0 = 1;
    if (strcmp(how, "term") == 0) raise(SIGTERM);
    if (strcmp(how, "exec") == 0) execl("/proc/self/exe", argv[0], "again", argv[2], (char *)NULL);
    return 7;
}
