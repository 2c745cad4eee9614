/* Loads the proof object, lends it two threads, holds a read against the plain system call, and waits for a
   socket. malloc is replaced by one that aborts while the object is at work. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int proof_start(void);
void *proof_worker(void *);
int64_t proof_pread(int, uint8_t *, size_t, int64_t);
int64_t proof_recv(int, uint8_t *, size_t);
uint64_t proof_waiting(void);
int proof_stop(void);
int proof_workers(void);

static volatile int armed;
void *__libc_malloc(size_t);
void *malloc(size_t size) {
    if (armed) {
        static const char text[] = "malloc was called\n";
        (void)!write(2, text, sizeof text - 1);
        _exit(3);
    }
    return __libc_malloc(size);
}

static void check(int good, const char *what) {
    if (!good) {
        armed = 0;
        fprintf(stderr, "failed: %s\n", what);
        exit(1);
    }
}

static int sockets[2];
static uint8_t received[16];

static void *receive(void *unused) {
    (void)unused;
    return (void *)(intptr_t)proof_recv(sockets[0], received, sizeof received);
}

int main(int argc, char **argv) {
    static uint8_t ours[1 << 20], theirs[1 << 20];
    pthread_t workers[2], receiver;
    void *count;
    int file = open(argc > 1 ? argv[1] : argv[0], O_RDONLY | O_CLOEXEC);
    check(file >= 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0, "open");
    check(proof_start() == 0, "start");
    for (int i = 0; i < 2; i++)
        check(pthread_create(&workers[i], NULL, proof_worker, NULL) == 0, "pthread_create");
    /* A thread that has not joined yet cannot be sent home. */
    while (proof_workers() < 2)
        sched_yield();
    armed = 1;
    for (int64_t at = 0; at < 64 * 4096; at += 4096) {
        ssize_t want = pread(file, theirs, 70000, at);
        check(proof_pread(file, ours, 70000, at) == want, "count");
        check(want < 0 || memcmp(ours, theirs, (size_t)want) == 0, "content");
    }
    check(proof_pread(-1, ours, 1, 0) == -9, "EBADF");
    check(proof_pread(sockets[0], ours, 1, 0) == -29, "ESPIPE");
    /* A new thread's stack may come from malloc. */
    armed = 0;
    check(pthread_create(&receiver, NULL, receive, NULL) == 0, "pthread_create");
    while (proof_waiting() < 1)
        sched_yield();
    armed = 1;
    check(write(sockets[1], "through", 7) == 7, "write");
    check(pthread_join(receiver, &count) == 0, "pthread_join");
    check((intptr_t)count == 7 && memcmp(received, "through", 7) == 0, "socket content");
    check(proof_stop() == 0, "stop");
    armed = 0;
    for (int i = 0; i < 2; i++)
        check(pthread_join(workers[i], NULL) == 0, "pthread_join");
    puts("proof: reads through epoll and its offload, waits for a socket, no malloc");
    return 0;
}
