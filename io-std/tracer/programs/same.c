/* Prints all that a program can see of its own: results, errno, offsets, numbers of descriptors and their flags. Run
   with and without the tracer, it prints the same. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SAY(call) do { errno = 77; long result = (long)(call); printf("%s = %ld, %d\n", #call, result, errno); } while (0)

static int by_number(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static void descriptors(void) {
    int list[4096], count = 0;
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(dir));)
        if (atoi(entry->d_name) < 1000 && entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(dir))
            list[count++] = atoi(entry->d_name);
    closedir(dir);
    qsort(list, (size_t)count, sizeof *list, by_number);
    for (int i = 0; i < count; i++)
        printf("%d:%d ", list[i], fcntl(list[i], F_GETFD));
    printf("\n");
}

int main(int argc, char **argv) {
    printf("errno = %d\n", errno);
    char name[256], other[300], buf[64];
    struct stat status;
    struct iovec vec = {buf, 4};
    int pair[2];
    snprintf(name, sizeof name, "%s/same-file", argc > 1 ? argv[1] : "/tmp");
    snprintf(other, sizeof other, "%s-2", name);
    descriptors();
    SAY(open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
    SAY(open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
    SAY(open((char *)8, O_RDONLY));
    SAY(open((char *)8, -1));
    SAY(open(NULL, O_RDONLY));
    SAY(stat((char *)8, &status));
    SAY(rename((char *)8, NULL));
    SAY(openat(12345, "x", O_RDONLY));
    SAY(unlink("/nowhere/at/all"));
    SAY(mkdir("/proc/x", 0700));
    SAY(write(3, "hello, world", 12));
    SAY(lseek(3, 3, SEEK_SET));
    SAY(read(3, buf, 4));
    SAY(lseek(3, 0, SEEK_CUR));
    SAY(pread(3, buf, 60, 2));
    SAY(pwrite(3, "HE", 2, 0));
    SAY(readv(3, &vec, 1));
    SAY(readv(3, (void *)8, 1));
    SAY(writev(3, &vec, -1));
    SAY(preadv(3, &vec, 1, 0));
    SAY(pwritev2(3, &vec, 1, 0, 0));
    SAY(lseek(3, 0, SEEK_CUR));
    SAY(read(3, (void *)8, 4));
    SAY(ftruncate(3, 5));
    SAY(fstat(3, &status));
    SAY(status.st_size);
    SAY(status.st_mode);
    SAY(fsync(3));
    SAY(fdatasync(-1));
    SAY(dup(3));
    SAY(dup2(3, 40));
    SAY(dup3(3, 3, 0));
    SAY(dup3(3, 41, O_CLOEXEC));
    SAY(fcntl(3, F_DUPFD, 50));
    SAY(fcntl(3, F_DUPFD_CLOEXEC, 50));
    SAY(fcntl(3, F_GETFL));
    SAY(pipe2(pair, O_CLOEXEC));
    SAY(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    SAY(send(pair[0], "abc", 3, 0));
    SAY(recv(pair[1], buf, 2, MSG_PEEK));
    SAY(recvfrom(pair[1], buf, 64, 0, NULL, NULL));
    SAY(connect(3, NULL, 0));
    SAY(accept(pair[0], NULL, NULL));
    SAY(socket(12345, 0, 0));
    SAY(sendfile(3, 1, NULL, 1));
    SAY(copy_file_range(-1, NULL, 3, NULL, 1, 0));
    SAY(rename(name, other));
    SAY(access(other, R_OK));
    descriptors();
    SAY(close(40));
    SAY(close(40));
    SAY(close(-1));
    SAY(close_range(41, 60, 0));
    SAY(close_range(4, 3, 0));
    SAY(fclose(fopen(other, "r")));
    FILE *stream = fopen(other, "r+");
    SAY(fopen("/nowhere/at/all", "r") == NULL);
    SAY(fgetc(stream));
    SAY(fread(buf, 1, 3, stream));
    SAY(fgets(buf, 10, stream) != NULL);
    SAY(fgetc(stream));
    SAY(feof(stream));
    SAY(fseek(stream, 0, SEEK_SET));
    SAY(ftell(stream));
    SAY(fputs("yes", stream));
    SAY(fwrite("no", 1, 2, stream));
    SAY(fflush(stream));
    SAY(fileno(stream));
    SAY(fclose(stream));
    SAY(unlink(other));
    descriptors();
    fflush(stdout);
    return 42;
}
