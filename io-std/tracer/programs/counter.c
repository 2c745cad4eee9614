/* Forbids itself the processor's counter, and works on. (What it started then would end in the loader.) */
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(void) {
    char byte;
    int fd = open("/etc/passwd", O_RDONLY);
    for (int i = 0; i < 3000; i++) {
        if (i == 1500 && prctl(PR_SET_TSC, PR_TSC_SIGSEGV) != 0)
            return 77;
        if (pread(fd, &byte, 1, 0) != 1)
            return 9;
    }
    return 7;
}
