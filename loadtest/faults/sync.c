/*
 * Makes fsync and fdatasync slow or fail, for files below one folder; for LD_PRELOAD.
 *
 * TORTURE_SYNC_DIR      the folder, as /proc/self/fd names it
 * TORTURE_SYNC_CONTROL  a file that is read before every call:
 *                       "slow <milliseconds>", "fail <number> <token>", "lie" (says yes and does
 *                       nothing), or anything else for none.
 *                       A number of 0 fails until the file changes; a new token starts a new count.
 *
 * A call that fails here does nothing: what was written stays in the page cache and is lost only if
 * the machine dies. syncfs, and programs that make system calls by themselves, are not seen.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_long seen_token = -1;
static atomic_long failed;

static int ours(int fd) {
    const char *dir = getenv("TORTURE_SYNC_DIR");
    char link[64], path[PATH_MAX];
    if (dir == NULL) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    size_t prefix = strlen(dir);
    return strncmp(path, dir, prefix) == 0 && (path[prefix] == '/' || path[prefix] == 0);
}

/* 1 if the call has to fail, 2 if it has to lie. */
static int disturb(int fd) {
    const char *control = getenv("TORTURE_SYNC_CONTROL");
    if (control == NULL || !ours(fd)) return 0;
    int file = open(control, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    char text[128] = {0};
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0) return 0;
    long number = 0, token = 0;
    if (sscanf(text, "slow %ld", &number) == 1) {
        struct timespec time = {number / 1000, (number % 1000) * 1000000};
        while (nanosleep(&time, &time) != 0 && errno == EINTR) {}
        return 0;
    }
    if (strncmp(text, "lie", 3) == 0) return 2;
    if (sscanf(text, "fail %ld %ld", &number, &token) == 2) {
        if (atomic_exchange(&seen_token, token) != token) atomic_store(&failed, 0);
        if (number == 0 || atomic_fetch_add(&failed, 1) < number) {
            fprintf(stderr, "sync fault: EIO\n");
            return 1;
        }
    }
    return 0;
}

static int pass_on(const char *name, int fd) {
    int how = disturb(fd);
    if (how == 2) return 0;
    if (how == 1) {
        errno = EIO;
        return -1;
    }
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fsync(int fd) { return pass_on("fsync", fd); }
int fdatasync(int fd) { return pass_on("fdatasync", fd); }
