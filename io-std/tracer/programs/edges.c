/* Writes before main, after it, in destructors of threads and of the program: none of it hangs, all of it is seen. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int fd = -1;
static pthread_key_t key;

static void line(void) {
    if (fd < 0)
        fd = open("/dev/null", O_WRONLY);
    if (pwrite(fd, "x", 1, 0) != 1)
        abort();
}

__attribute__((constructor)) static void before(void) { line(); }
__attribute__((destructor)) static void after(void) { line(); }
static void destroy(void *value) { (void)value; line(); }

static void *thread(void *value) {
    pthread_setspecific(key, value);
    line();
    return NULL;
}

int main(void) {
    pthread_t threads[8];
    atexit(line);
    pthread_key_create(&key, destroy);
    for (int i = 0; i < 8; i++)
        if (pthread_create(&threads[i], NULL, thread, &fd))
            return 1;
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    printf("expect pwrite %d\n", 1 + 8 * 2 + 1 + 1);
    fflush(stdout);
    return 0;
}
