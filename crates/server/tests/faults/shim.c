/* Makes writes to the files of a data directory fail, for the test `faults`.
 *
 * Preloaded into a real server. The file named by FAULT_FILE says what fails: a word and a part of a path, as in
 * "full journal.db", or a whole name, as in "full =ledger.db", which leaves its log alone. Without that file, or when
 * it is empty, nothing does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int wanted_path(const char *path, const char *word) {
    const char *file = getenv("FAULT_FILE");
    char fault[256] = {0};
    int words = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    if (words < 0) return 0;
    ssize_t got = read(words, fault, sizeof fault - 1);
    close(words);
    char *part = got > 0 ? strchr(fault, ' ') : NULL;
    if (!part) return 0;
    *part++ = 0;
    part[strcspn(part, "\n")] = 0;
    if (strcmp(fault, word) != 0) return 0;
    if (*part != '=') return strstr(path, part) != NULL;
    const char *name = strrchr(path, '/');
    return strcmp(name ? name + 1 : path, part + 1) == 0;
}

static int wanted(int fd, const char *word) {
    char path[1024] = {0}, link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return readlink(link, path, sizeof path - 1) > 0 && wanted_path(path, word);
}

static int fails(int fd) {
    if (wanted(fd, "full")) errno = ENOSPC;
    else if (wanted(fd, "read_only")) errno = EROFS;
    else if (wanted(fd, "io")) errno = EIO;
    else return 0;
    return 1;
}

static int may_open(const char *path, int flags) {
    int fd = wanted_path(path, "read_only") && (flags & O_ACCMODE) != O_RDONLY;
    if (fd) errno = EROFS;
    return !fd;
}

int open64(const char *path, int flags, ...) {
    int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & O_CREAT) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return may_open(path, flags) ? next(path, flags, mode) : -1;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    ssize_t (*next)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    return fails(fd) ? -1 : next(fd, bytes, count, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    ssize_t (*next)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
    return fails(fd) ? -1 : next(fd, bytes, count, at);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    ssize_t (*next)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    return fails(fd) ? -1 : next(fd, bytes, count);
}

int fdatasync(int fd) {
    int (*next)(int) = dlsym(RTLD_NEXT, "fdatasync");
    if (!wanted(fd, "sync")) return next(fd);
    errno = EIO;
    return -1;
}

int fsync(int fd) {
    int (*next)(int) = dlsym(RTLD_NEXT, "fsync");
    if (!wanted(fd, "sync")) return next(fd);
    errno = EIO;
    return -1;
}
