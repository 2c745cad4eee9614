/* So many threads, on the smallest stacks that there are, do so many reads and writes at once, with paths among them; some
   are cancelled while they read. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int count, empty[2];

static void *work(void *unused) {
    int fd = open("/etc/passwd", O_RDONLY), null = open("/dev/null", O_WRONLY);
    struct stat status;
    char byte;
    for (int i = 0; i < count; i++) {
        if (pread(fd, &byte, 1, i % 8) != 1 || pwrite(null, &byte, 1, 0) != 1)
            abort();
        if (i % 8 == 0 && stat("/usr/share/common-licenses/../common-licenses/GPL-3", &status) == 12345)
            abort();
    }
    close(fd);
    close(null);
    return unused;
}

static int cleaned;
static void clean(void *unused) {
    (void)unused;
    __atomic_fetch_add(&cleaned, 1, __ATOMIC_SEQ_CST);
}

static void *stuck(void *unused) {
    char byte;
    pthread_cleanup_push(clean, NULL);
    (void)!read(empty[0], &byte, 1);
    pthread_cleanup_pop(0);
    return unused;
}

int main(int argc, char **argv) {
    int threads = atoi(argv[1]);
    pthread_t ids[256], held[8];
    count = argc > 2 ? atoi(argv[2]) : 0;
    pthread_attr_t small;
    if (pipe(empty) || pthread_attr_init(&small) || pthread_attr_setstacksize(&small, (size_t)sysconf(_SC_THREAD_STACK_MIN)))
        return 1;
    for (int i = 0; i < 8; i++)
        pthread_create(&held[i], NULL, stuck, NULL);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&ids[i], &small, work, NULL))
            return 2;
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    for (int i = 0; i < 8; i++) {
        void *result;
        pthread_cancel(held[i]);
        pthread_join(held[i], &result);
        if (result != PTHREAD_CANCELED)
            return 3;
    }
    /* What unwinds a cancelled thread has come through the tracer. */
    if (cleaned != 8)
        return 4;
    printf("expect pread %d\nexpect pwrite %d\nexpect stat %d\n", threads * count, threads * count,
           threads * ((count + 7) / 8));
    fflush(stdout);
    return 0;
}
