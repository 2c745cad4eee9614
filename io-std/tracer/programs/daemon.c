/* Closes everything that it does not know, in each of the ways that daemons do, and goes on. The last one is behind the
   tracer's back; then it opens as many files as it takes to get those numbers itself. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int reads;

static void work(void) {
    char byte;
    int fd = open("/etc/passwd", O_RDONLY);
    for (int i = 0; i < 1500; i++, reads++)
        if (pread(fd, &byte, 1, 0) != 1)
            exit(9);
    close(fd);
}

/* The numbers that the tracer has: all that are open and that this program has not opened. */
static int theirs[64], count;

static void look(void) {
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        int fd = atoi(entry->d_name);
        if (fd > 100 && count < 64)
            theirs[count++] = fd;
    }
    if (dir)
        closedir(dir);
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    work();
    look();
    if (count == 0)
        return 8;
    if (strcmp(how, "loop") == 0) {
        for (int fd = 3; fd < 4096; fd++)
            if (close(fd) == 0 && fd >= 900)
                return 1;
    } else if (strcmp(how, "range") == 0) {
        if (close_range(3, ~0U, 0) || close_range(1010, 1020, 0) || close_range(2000, 4000, 0))
            return 2;
        if (close_range(9, 5, 0) != -1 || errno != EINVAL)
            return 3;
    } else if (strcmp(how, "from") == 0) {
        closefrom(3);
    } else if (strcmp(how, "over") == 0) {
        for (int fd = 100; fd < 1024; fd++) {
            if (dup2(1, fd) != fd || close(fd))
                return 4;
        }
        for (int i = 0; i < count; i++) {
            if (dup2(1, theirs[i]) != theirs[i] || close(theirs[i]))
                return 4;
        }
    } else if (strcmp(how, "raw") == 0) {
        char name[64];
        struct stat status;
        if (syscall(SYS_close_range, 3, ~0U, 0))
            return 5;
        snprintf(name, sizeof name, "/tmp/tracer-victim-%d", (int)getpid());
        int file = open(name, O_RDWR | O_CREAT, 0600);
        /* Its own file is now where the tracer's was. */
        for (int i = 0; i < count; i++)
            if (syscall(SYS_dup2, file, theirs[i]) != theirs[i])
                return 6;
        work();
        if (fstat(file, &status) || status.st_size != 0)
            return 7;
        unlink(name);
    }
    work();
    printf("expect pread %d\n", reads);
    fflush(stdout);
    return 0;
}
