/* An allocator in front of the C library's that counts the calls which come from the tracer's object, and does I/O of its
   own inside of each, from the first one on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void __libc_free(void *);
static volatile int counted, all;
static uintptr_t from, to;

static int find(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size, (void)unused;
    if (info->dlpi_name && strstr(info->dlpi_name, "libio_tracer"))
        for (int i = 0; i < info->dlpi_phnum; i++) {
            uintptr_t end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
            from = info->dlpi_addr;
            to = end > to ? end : to;
        }
    return 0;
}

static void count(void *caller) {
    uintptr_t at = (uintptr_t)caller;
    int fd = open("/dev/null", O_WRONLY);
    if (fd >= 0 && write(fd, "x", 1) == 1)
        close(fd);
    all++;
    if (at >= from && at < to)
        counted++;
}

/* After all constructors: from then on nothing may come from there. */
__attribute__((destructor)) static void tell(void) {
    char line[64];
    int len = snprintf(line, sizeof line, "allocations %d %d\n", counted, all > 0);
    (void)!write(1, line, (size_t)len);
}

void tracer_watch(void) { dl_iterate_phdr(find, NULL); }
void *malloc(size_t size) { count(__builtin_return_address(0)); return __libc_malloc(size); }
void *calloc(size_t n, size_t size) { count(__builtin_return_address(0)); return __libc_calloc(n, size); }
void *realloc(void *p, size_t size) { count(__builtin_return_address(0)); return __libc_realloc(p, size); }
void free(void *p) { count(__builtin_return_address(0)); __libc_free(p); }
